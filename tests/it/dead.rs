//! What the broker does to jobs by itself: each of them has its event all the same.

mod limit;
mod poison;
mod policies;
mod refusing;

use std::collections::BTreeMap;

use crate::harness::broker::{DEAD, Message};
use crate::harness::wait::{EVENTUALLY, eventually};
use crate::harness::world::World;

/// The end of each job: `None` for a verdict, else the failure's code. No job has two ends, and what failed is parked under its code: once, unless a worker was
/// killed between the copy and the ack.
async fn ends(world: &World, jobs: &[String]) -> BTreeMap<String, Option<String>> {
    let mut ends: BTreeMap<String, Option<String>> = BTreeMap::new();
    for event in world.events_for_all(jobs).await {
        let job = event.job_id().expect("an event is about a job").to_owned();
        let end = event.failure_code().map(str::to_owned);
        let first = ends.entry(job.clone()).or_insert_with(|| end.clone());
        assert_eq!(*first, end, "{job} has two ends");
    }
    let failed: BTreeMap<&str, &str> =
        ends.iter().filter_map(|(job, end)| Some((job.as_str(), end.as_deref()?))).collect();
    eventually("what was not judged to be parked, and nothing else", EVENTUALLY, async || {
        let parked = world.broker.parked().await;
        let found: BTreeMap<String, String> =
            parked.iter().map(|message| (job_of(message), code_of(message))).collect();
        let same = found.len() == failed.len()
            && failed.iter().all(|(job, code)| found.get(*job).is_some_and(|found| found == code));
        if same { Ok(()) } else { Err(format!("{} of {} are parked", found.len(), failed.len())) }
    })
    .await;
    assert_eq!(world.broker.depth(DEAD).await, Some(0));
    ends
}

fn job_of(message: &Message) -> String {
    message.json["id"].as_str().expect("a job has an id").to_owned()
}

fn code_of(message: &Message) -> String {
    message.headers["as-code"].as_str().unwrap_or_default().to_owned()
}
