//! Many jobs at once, each with an image of its own, and what must hold of all of them in the end.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use crate::harness::broker::{Message, PARKED};
use crate::harness::wait::{EVENTUALLY, eventually};
use crate::harness::world::World;
use crate::images::{jpeg, sha256};

/// Jobs that were submitted or are to be.
pub(crate) struct Batch {
    keys: Vec<String>,
    digests: Vec<String>,
    pub(crate) jobs: Vec<String>,
}

impl Batch {
    /// Stores `count` images, all different. Nothing is submitted yet.
    pub(crate) async fn stored(world: &World, count: usize) -> Self {
        let mut batch = Self { keys: Vec::new(), digests: Vec::new(), jobs: Vec::new() };
        for number in 0..count {
            let bytes = jpeg::tiny(u64::try_from(number).expect("a small number"));
            batch.digests.push(sha256(&bytes));
            batch.keys.push(world.upload(&format!("{number}.jpg"), bytes).await.key);
        }
        batch
    }

    /// Stores `count` images and submits a job for each. A daemon must have declared the queues.
    pub(crate) async fn submitted(world: &World, count: usize) -> Self {
        let mut batch = Self::stored(world, count).await;
        batch.submit(world).await;
        batch
    }

    /// The keys of the images.
    pub(crate) fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Submits a job for each image.
    pub(crate) async fn submit(&mut self, world: &World) {
        self.jobs = world.submit_all(self.keys.iter().map(String::as_str)).await;
    }

    /// Submits a job for each of the next `count` images that have none yet.
    pub(crate) async fn submit_next(&mut self, world: &World, count: usize) {
        let next = self.keys.iter().skip(self.jobs.len()).take(count).map(String::as_str);
        self.jobs.extend(world.submit_all(next).await);
    }

    /// Waits until every job has ended with a verdict; all events of a job are the same. Nothing is parked.
    pub(crate) async fn verdicts(&self, world: &World) {
        let events = self.ended(world, EVENTUALLY).await;
        assert_agree(&events);
        let failed: Vec<_> = events.iter().filter_map(Message::failure_code).collect();
        assert!(failed.is_empty(), "jobs failed: {failed:?}");
        assert_eq!(world.broker.depth(PARKED).await, Some(0), "nothing is parked");
    }

    /// Waits until every job has an end, and returns all events.
    pub(crate) async fn ended(&self, world: &World, limit: Duration) -> Vec<Message> {
        eventually(&format!("the ends of {} jobs", self.jobs.len()), limit, async || {
            let events = world.events().await;
            let ended: std::collections::HashSet<_> = events.iter().filter_map(Message::job_id).collect();
            let missing = self.jobs.iter().filter(|job| !ended.contains(job.as_str())).count();
            if missing == 0 { Ok(events) } else { Err(format!("{missing} jobs without an event")) }
        })
        .await
    }

    /// What the simulator billed for each image.
    pub(crate) async fn billed(&self, world: &World) -> Vec<u64> {
        let stats = world.simulator.stats().await;
        let billed = |digest: &String| stats["images"][digest.as_str()]["billed"].as_u64().unwrap_or(0);
        self.digests.iter().map(billed).collect()
    }

    /// Each image was billed exactly once.
    pub(crate) async fn assert_paid_once(&self, world: &World) {
        assert_eq!(self.billed(world).await, vec![1; self.digests.len()], "each image is paid for once");
    }
}

/// All events of a job are copies of one: the same id, the same end.
pub(crate) fn assert_agree(events: &[Message]) {
    let different = disagreements(events);
    assert!(different.is_empty(), "jobs ended twice, differently: {different:?}");
}

/// The jobs whose events are not all the same.
pub(crate) fn disagreements(events: &[Message]) -> Vec<String> {
    let mut ends: HashMap<&str, (&str, &Value)> = HashMap::new();
    let mut different = Vec::new();
    for event in events {
        let job = event.job_id().unwrap_or_else(|| panic!("an event without a job: {}", event.json));
        let end = (event.routing_key.as_str(), &event.json["id"]);
        let first = *ends.entry(job).or_insert(end);
        if first != end {
            different.push(format!("{job}: {first:?} and {end:?}"));
        }
    }
    different
}
