//! What is learned from.

use std::time::Duration;

/// A call that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// When it started.
    pub started: Duration,
    /// When it ended.
    pub ended: Duration,
}
