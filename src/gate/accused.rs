//! Jobs that have met what everybody was thought to meet.

use antispoof_core::failure::Code;
use std::collections::HashMap;

/// Far above the jobs that can close a gate before somebody looks; then all are forgotten.
const MOST: usize = 1024;

/// A systemic failure is no job's fault, unless it comes again to the same job after others have gone well: a firewall that refuses one image, a bucket whose
/// credentials are wrong.
#[derive(Debug, Default)]
pub(super) struct Accused {
    jobs: HashMap<String, (Code, u64)>,
    /// How often what closed the gate has been proved to be over.
    openings: u64,
}

impl Accused {
    /// What closed the gate is over.
    pub(super) fn acquit_others(&mut self) {
        self.openings += 1;
    }

    /// This job has met this. True when it is the job's own: it has met it before, and others have gone well since.
    pub(super) fn meets(&mut self, job: &str, code: Code) -> bool {
        let before = self.jobs.get(job).is_some_and(|&(met, openings)| met == code && openings < self.openings);
        if !before {
            if self.jobs.len() >= MOST {
                self.jobs.clear();
            }
            self.jobs.insert(job.to_owned(), (code, self.openings));
        }
        before
    }
}
