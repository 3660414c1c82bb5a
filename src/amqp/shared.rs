//! What the parts of the broker's edge share.

use super::consume_mode::{ConsumeMode, ConsumeState};
use super::depths::Depths;
use super::session::Session;
use super::topology::Names;
use crate::settings;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(super) struct Shared {
    pub(super) settings: settings::Amqp,
    pub(super) names: Names,
    /// The worker's name, for `as-worker` and the names of connections.
    pub(super) worker: String,
    pub(super) session: watch::Sender<Option<Arc<Session>>>,
    /// When a session last ended as a whole, and not only the connection that consumes.
    pub(super) lost: watch::Sender<Option<Instant>>,
    /// What the worker wants to be consumed,
    pub(super) mode: watch::Sender<ConsumeMode>,
    /// and how far that is in effect.
    pub(super) consuming: watch::Sender<ConsumeState>,
    pub(super) depths: Depths,
    /// Cancelled when nothing more is to be read from the dead queue.
    pub(super) read_no_more: CancellationToken,
    /// Short tasks that nothing else waits for: connections that close, messages that are rejected.
    pub(super) tasks: TaskTracker,
}

impl Shared {
    pub(super) fn new(settings: settings::Amqp, names: Names, worker: String) -> Self {
        Self {
            settings,
            names,
            worker,
            session: watch::Sender::new(None),
            lost: watch::Sender::new(None),
            mode: watch::Sender::new(ConsumeMode::Paused),
            consuming: watch::Sender::new(ConsumeState::NoSession),
            depths: Depths::default(),
            read_no_more: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }
}
