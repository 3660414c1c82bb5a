//! Copies of jobs, as metrics and log lines name them.

use prometheus_client::metrics::gauge::Gauge;

/// A queue that copies of jobs go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// The delay queues.
    Retry,
    /// The parked queue.
    Parked,
    /// The job queue: the jobs that a message was divided into.
    Jobs,
    /// The dead queue: what the broker has dropped and has no end yet.
    Dead,
}

impl Copied {
    pub(super) const ALL: [Self; 4] = [Self::Retry, Self::Parked, Self::Jobs, Self::Dead];

    /// Its name in metrics and in the log.
    pub fn label(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Parked => "parked",
            Self::Jobs => "jobs",
            Self::Dead => "dead",
        }
    }
}

/// Something that counts in a gauge as long as it lives.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    pub(super) fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
