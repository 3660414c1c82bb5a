//! What a failed run leaves behind: the daemons' logs and all that was seen, in a directory that is named.
#![expect(clippy::print_stderr, reason = "a run that panics says how to repeat it")]

use std::path::{Path, PathBuf};
use std::{fs, process, thread};

use super::plan::Plan;

/// A directory for one run.
pub(crate) struct Keepsake {
    dir: PathBuf,
    replay: String,
}

impl Keepsake {
    /// Makes it, below `target`.
    pub(crate) fn new(plan: &Plan) -> Self {
        let name = format!("{}-{}-{}-{}", plan.seed, plan.ledger, plan.replicas, process::id());
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/chaos").join(name);
        // What an earlier run of the same name left is of no use to this one.
        fs::remove_dir_all(&dir).ok();
        fs::create_dir_all(&dir).unwrap_or_else(|problem| panic!("failed to make {}: {problem}", dir.display()));
        Self { dir, replay: plan.replay() }
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Deletes it after a good run. None when it is gone.
    pub(crate) fn end(&self, good: bool) -> Option<PathBuf> {
        let deleted = good && fs::remove_dir_all(&self.dir).is_ok();
        (!deleted).then(|| self.dir.clone())
    }

    /// Keeps `text` under `name`.
    pub(crate) fn note(&self, name: &str, text: &str) {
        // The report comes all the same.
        fs::write(self.dir.join(name), text).ok();
    }
}

impl Drop for Keepsake {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("logs: {}\nagain: {}", self.dir.display(), self.replay);
        }
    }
}
