//! A job is paid for once: across deliveries, processes, crashes and outages of the ledger.

mod bucket;
mod crash;
mod doubt;
mod outage;
mod process;
mod refusals;
mod restart;
mod reuse;

use crate::harness::broker::{JOBS, Message};
use crate::harness::wait::{EVENTUALLY, eventually};
use crate::harness::world::World;
use lapin::BasicProperties;
use serde_json::Value;

/// Publishes a job word for word, so that it can be published again.
async fn publish(world: &World, job: &Value) {
    let properties = BasicProperties::default().with_content_type("application/json".into());
    world.broker.publish("", JOBS, [(job.to_string().into_bytes(), properties)]).await;
}

/// Waits for so many events of a job.
async fn events(world: &World, job: &str, count: usize) -> Vec<Message> {
    eventually(&format!("{count} events of job {job}"), EVENTUALLY, async || {
        let events = world.events_for(job).await;
        if events.len() >= count { Ok(events) } else { Err(format!("{} events", events.len())) }
    })
    .await
}
