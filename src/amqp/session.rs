//! What a session shares with the tasks that publish. Its connections, consumer and channels are closed together.

use super::outbox::Outbox;
use super::session_failure::SessionFailure;

pub(super) struct Session {
    pub(super) outbox: Outbox,
    pub(super) failure: SessionFailure,
}
