//! Different jobs in a row.

use std::collections::HashSet;

/// Jobs that met the same, by their ids, with nothing between them that ends the streak.
#[derive(Debug, Default)]
pub(super) struct Streak(HashSet<String>);

impl Streak {
    /// Adds a job. True when there are `most` of them; more are not kept.
    pub(super) fn grow(&mut self, job: &str, most: usize) -> bool {
        if self.0.len() < most && !self.0.contains(job) {
            self.0.insert(job.to_owned());
        }
        self.0.len() >= most
    }

    pub(super) fn end(&mut self) {
        if !self.0.is_empty() {
            self.0.clear();
        }
    }
}
