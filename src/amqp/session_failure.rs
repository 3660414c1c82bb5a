//! Why a session has to end.

use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// The first report ends the session; every part of it may report. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct SessionFailure {
    token: CancellationToken,
    reason: Arc<OnceLock<String>>,
}

impl SessionFailure {
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
