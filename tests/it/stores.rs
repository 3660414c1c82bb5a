//! What real stores, and what stands in their place, do to the worker: credentials that change, answers that are no store's, names with two readings.

mod credentials;
mod integrity;
mod names;
mod stand_in;
mod strangers;

use serde_json::Value;

use crate::harness::broker::PARKED;
use crate::harness::daemon::{Daemon, DaemonBuilder};
use crate::harness::process::Process;
use crate::harness::wait::{EVENTUALLY, SOON, STARTED, eventually};
use crate::harness::world::World;

/// Settings with which a failure that may pass is the end after the second attempt.
fn two_attempts(world: &World) -> DaemonBuilder {
    world.daemon().set("retry.quick_attempts", "1").set("retry.delays", "1s").set("retry.max_attempts", "2")
}

/// Waits until a line of the log holds all of these.
async fn logged(daemon: &Daemon, parts: &[&str]) {
    eventually(&format!("{parts:?} in the log"), SOON, async || {
        let lines = daemon.logs();
        let there = lines.iter().any(|line| parts.iter().all(|part| line.contains(part)));
        if there { Ok(()) } else { Err(lines.last().cloned().unwrap_or_default()) }
    })
    .await;
}

/// What the failure of a job says.
async fn failure(world: &World, job: &str, code: &str) -> String {
    let event = world.event_for(job).await;
    assert_eq!(event.failure_code(), Some(code), "{}", event.json);
    event.json["data"]["failure"]["message"].as_str().expect("a message").to_owned()
}

/// Nothing was set aside.
async fn nothing_is_parked(world: &World) {
    assert_eq!(world.broker.depth(PARKED).await, Some(0), "{:?}", world.broker.parked().await);
}

async fn check(settings: DaemonBuilder) -> (Option<i32>, String) {
    let process: Process = settings.command(&["check", "--connect"]);
    let code = process.wait_output(STARTED).await.code();
    (code, process.stdout().join("\n"))
}

/// Waits for the event of whatever job there is.
async fn only_event(world: &World) -> Value {
    eventually("an event", EVENTUALLY, async || match world.events().await.as_slice() {
        [event] => Ok(event.json.clone()),
        events => Err(format!("{} events", events.len())),
    })
    .await
}
