//! The simulator over real sockets: its checks, its faults, its books, and how it stops.

#![expect(clippy::disallowed_methods, reason = "a test looks at every answer itself")]

mod admin;
mod checks;
mod client;
mod connections;
mod early;
mod faults;
mod life;
