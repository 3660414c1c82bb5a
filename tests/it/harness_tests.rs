//! The harness tried on itself: a scenario that passes because its tools are broken would prove nothing.

mod broker;
mod images;
mod link;
mod process;
mod services;
mod store;
mod tls;
mod wait;
mod world;
