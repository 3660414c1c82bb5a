//! The simulator over real sockets: its checks, its faults, its books, and how it stops.

mod admin;
mod checks;
mod client;
mod faults;
mod life;
