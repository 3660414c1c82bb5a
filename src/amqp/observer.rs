//! What the connections to the broker report to the rest of the process.

use super::version::Product;
use antispoof_core::dropped::Dropped;
use std::time::Duration;

/// Is called for what happens on the connections to the broker. No method may block.
pub trait Observer: Send + Sync + 'static {
    /// A session is up (`true`) or down.
    fn connected(&self, up: bool);
    /// The product of the broker that a new session is with.
    fn met(&self, broker: &Product);
    /// A session was lost and is being built again.
    fn reconnecting(&self, reason: &str);
    /// A message was delivered; `redelivered` as the broker says.
    fn delivered(&self, redelivered: bool);
    /// The connection that consumes from `queue` ended, while the broker answers on another: a message there may be what ends it.
    fn cut(&self, queue: Consumed);
    /// A message was delivered that the broker took off the job queue for this reason.
    fn dead_letter(&self, dropped: &Dropped);
    /// The consumer of such messages is registered with the broker (`true`) or not.
    fn reading_dead_letters(&self, on: bool);
    /// An alarm of the broker blocks (`true`) or no longer blocks publishing.
    fn blocked(&self, blocked: bool);
    /// The consumer of jobs is registered with the broker (`true`) or not.
    fn consuming(&self, on: bool);
    /// The broker confirmed, returned or refused a message, so long after it was published.
    fn published(&self, took: Duration);
    /// A confirm is late (`true`), or is waited for no longer.
    fn late(&self, waiting: bool);
}

/// A queue that the worker consumes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumed {
    /// The job queue.
    Jobs,
    /// The queue of messages that the broker took off the job queue by itself.
    Dead,
}
