//! The parked queue as an operator's commands see it: what is in it, and how a message leaves it.
//!
//! AMQP has no way to look at a message without taking it. So a look takes all of them, acks none, and the broker puts them back when
//! the channel closes. What leaves the queue is acked only when its replacement is confirmed.

mod entry;
mod exported;
mod pass;
mod publisher;

pub use entry::{Entry, Fingerprint, ParkedMessage};
pub use exported::{ExportedError, exported, imported};
pub use pass::{Held, Pass};
pub use publisher::{Destination, NotPublished, Publisher};

#[cfg(test)]
mod tests;
