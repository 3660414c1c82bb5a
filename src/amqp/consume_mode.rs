//! How many jobs are consumed at a time.

/// What the worker wants to be consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConsumeMode {
    /// Nothing: the circuit breaker is open, or the process drains.
    Paused,
    /// So many jobs at a time: one to find out whether a failure is over, or a few when it has just ended.
    AtMost(u16),
    /// As many jobs as there are permits.
    Full,
}

impl ConsumeMode {
    /// The prefetch; 0 consumes nothing.
    pub fn prefetch(self, full: u16) -> u16 {
        match self {
            Self::Paused => 0,
            Self::AtMost(most) => most.min(full),
            Self::Full => full,
        }
    }
}

/// How far the mode that the worker wants is in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConsumeState {
    /// Nothing is consumed, because there is no session.
    NoSession,
    /// A consumer is being exchanged for another.
    Changing,
    /// This mode is in effect, and what was delivered before has been passed on.
    As(ConsumeMode),
}
