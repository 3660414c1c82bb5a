//! The jobs of a run and what is to become of each.

use serde_json::json;

use super::oracle::Expected;
use crate::harness::store::BUCKET;
use crate::images::{jpeg, sha256};

/// What a job asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// An image of its own.
    Image,
    /// The same, published twice.
    Twice,
    /// An object that is text.
    Text,
    /// An object that is not there.
    Missing,
    /// A message that is no job.
    Malformed,
    /// A job whose time has passed.
    Expired,
}

/// A job of the run.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) sort: Sort,
    number: u64,
}

/// The jobs that follow from `seed`. Each sort is among the first of them, and from then on every twentieth or so is a special one.
pub(crate) fn jobs(count: usize, seed: u64) -> Vec<Job> {
    let mut dice = fastrand::Rng::with_seed(seed ^ 0x6a6f_6273);
    let first = [Sort::Missing, Sort::Text, Sort::Malformed, Sort::Expired, Sort::Twice];
    let sorts = first.into_iter().chain(std::iter::repeat_with(move || match dice.u32(0..100) {
        0..4 => Sort::Twice,
        4..6 => Sort::Text,
        6 => Sort::Missing,
        7 => Sort::Malformed,
        8 => Sort::Expired,
        _ => Sort::Image,
    }));
    let numbered = sorts.zip(0_u64..).take(count);
    numbered.map(|(sort, number)| Job { id: format!("chaos-{seed:x}-{number}"), sort, number }).collect()
}

// === impl Job ===

impl Job {
    /// What lies in the store for it, where something does.
    pub(crate) fn object(&self) -> Option<Vec<u8>> {
        match self.sort {
            Sort::Image | Sort::Twice | Sort::Expired => Some(jpeg::tiny(self.number)),
            Sort::Text => Some(format!("note {}: this is no image, whatever its name says", self.number).into_bytes()),
            Sort::Missing | Sort::Malformed => None,
        }
    }

    /// The message for it. `key` is where its object lies, or would.
    pub(crate) fn body(&self, key: &str) -> Vec<u8> {
        let mut job = json!({ "id": self.id, "bucket": BUCKET, "key": key });
        match self.sort {
            Sort::Malformed => return format!("{{\"id\": \"{}\", \"key\": ", self.id).into_bytes(),
            Sort::Expired => job["expires_at"] = json!("2020-01-01T00:00:00Z"),
            Sort::Image | Sort::Twice | Sort::Text | Sort::Missing => {}
        }
        job.to_string().into_bytes()
    }

    /// How often it is published.
    pub(crate) fn copies(&self) -> usize {
        if self.sort == Sort::Twice { 2 } else { 1 }
    }

    /// The one right end.
    pub(crate) fn expected(&self) -> Expected {
        match self.sort {
            Sort::Image | Sort::Twice => Expected::Verdict { digest: sha256(&jpeg::tiny(self.number)) },
            Sort::Text => Expected::Failure("not_an_image"),
            Sort::Missing => Expected::Failure("object_not_found"),
            Sort::Malformed => Expected::Failure("malformed_job"),
            Sort::Expired => Expected::Failure("job_expired"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_jobs_with_images_of_their_own() {
        let once = jobs(2000, 3);
        let again = jobs(2000, 3);
        assert!(once.iter().zip(&again).all(|(a, b)| a.id == b.id && a.sort == b.sort && a.object() == b.object()));
        let images: Vec<_> = once.iter().filter(|job| job.sort == Sort::Image).filter_map(Job::object).collect();
        let different: std::collections::HashSet<_> = images.iter().collect();
        assert!(images.len() == different.len() && (1700..1900).contains(&images.len()), "{}", images.len());
        for sort in [Sort::Twice, Sort::Text, Sort::Missing, Sort::Malformed, Sort::Expired] {
            assert!(once[..5].iter().any(|job| job.sort == sort), "{sort:?}");
        }
    }
}
