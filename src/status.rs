//! What the status page shows: the state of the worker in a sentence, what to do about it, and the last hour.
//!
//! ```text
//!   metrics, gate, health, broker ── every five seconds ──> Recorder (an hour of samples)
//!                    └──────────── at a request ──────────> Facts ─> Sentence ─> JSON ─> page, `antispoofd status`
//! ```
//!
//! Nothing here is decided by; it is for people.

mod document;
mod facts;
mod recorder;
mod sentence;
mod sources;

pub use recorder::{Recorder, STEP};
pub use sources::Sources;

use std::sync::Arc;
use std::time::SystemTime;

/// The page, with style and script in it.
pub const PAGE: &str = include_str!("status/page.html");

/// Where the status comes from. Cheap to clone.
#[derive(Clone)]
pub struct Status {
    sources: Arc<Sources>,
}

impl Status {
    /// A status of these.
    pub fn new(sources: Sources) -> Self {
        Self { sources: Arc::new(sources) }
    }

    /// The document of `/status`: docs/status.md lists its fields. `history` adds the samples of the last hour.
    pub fn json(&self, history: bool) -> String {
        let now = SystemTime::now();
        let facts = facts::Facts::gather(&self.sources, now);
        document::document(&self.sources, &facts, now, history).to_string()
    }
}
