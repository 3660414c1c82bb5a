//! One life of the connections: what is alive together dies together.

use super::outbox::Outbox;
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// How much is to be consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    /// Nothing: the gate is closed or the process drains.
    Paused,
    /// So many jobs at a time: one, to find out whether things have got better, or few, when they have just got better.
    AtMost(u16),
    /// As many as there are permits.
    Full,
}

impl Demand {
    /// The prefetch; 0 consumes nothing.
    pub fn prefetch(self, full: u16) -> u16 {
        match self {
            Self::Paused => 0,
            Self::AtMost(most) => most.min(full),
            Self::Full => full,
        }
    }
}

/// What has come of a demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// Nothing is consumed, because there is no session.
    NoSession,
    /// A consumer is being exchanged for another.
    Changing,
    /// It is met, and what was delivered before has been passed on.
    As(Demand),
}

/// What a session shares with those who publish.
pub(super) struct Session {
    pub(super) outbox: Outbox,
    pub(super) trouble: Trouble,
}

/// The first report ends the session; every part of it may report.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble {
    token: CancellationToken,
    reason: Arc<OnceLock<String>>,
}

impl Trouble {
    pub(super) fn report(&self, reason: String) {
        if self.reason.set(reason).is_ok() {
            self.token.cancel();
        }
    }

    pub(super) fn reported(&self) -> bool {
        self.token.is_cancelled()
    }

    pub(super) async fn wait(&self) -> String {
        self.token.cancelled().await;
        self.reason.get().cloned().unwrap_or_default()
    }
}
