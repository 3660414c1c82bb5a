//! Clocks that differ: a signature is good for a quarter of an hour.

use std::time::{Duration, SystemTime};

/// How far this machine's clock is from the store's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Skew {
    pub(super) by: Duration,
    pub(super) ahead: bool,
}

impl Skew {
    /// Less than this is in every two clocks; stores allow a quarter of an hour.
    const MUCH: Duration = Duration::from_mins(5);

    pub(super) fn of(theirs: SystemTime) -> Option<Self> {
        let ours = SystemTime::now();
        let (by, ahead) = match ours.duration_since(theirs) {
            Ok(by) => (by, true),
            Err(error) => (error.duration(), false),
        };
        (by >= Self::MUCH).then(|| Self { by: Duration::from_secs(by.as_secs()), ahead })
    }
}
