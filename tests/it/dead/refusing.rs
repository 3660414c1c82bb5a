//! A queue of our own that takes nothing.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::json;

use crate::harness::broker::PARKED;
use crate::harness::daemon::Daemon;
use crate::harness::wait::{EVENTUALLY, SOON, eventually, eventually_equals};
use crate::harness::world::World;
use crate::images::jpeg;

const SLOTS: u64 = 4;

async fn held(daemon: &Daemon) -> Option<f64> {
    daemon.metric("antispoofd_copies_held{queue=\"parked\"}").await
}

#[tokio::test]
async fn a_full_parked_queue_holds_up_nothing_while_slots_are_free() {
    let world = World::new("parked_full").await;
    let daemon = world.daemon().set("worker.concurrency", SLOTS.to_string()).start_ready().await;
    world.broker.put_policy_in_effect("^antispoof\\.parked$", json!({ "max-length": 1 })).await;
    // A queue takes some more than its limit; these fill it.
    let mut failing = Vec::new();
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let all_but_one = (SLOTS - 1) as f64;
    while held(&daemon).await < Some(all_but_one) {
        let number = failing.len();
        failing.push(
            world.submit_job(json!({ "key": format!("{number}.jpg"), "expires_at": "2020-01-01T00:00:00Z" })).await,
        );
        world.events_for_all(&failing).await;
        eventually("it to be parked or held", EVENTUALLY, async || {
            let (parked, held) = (world.broker.depth(PARKED).await.unwrap_or(0), held(&daemon).await.unwrap_or(0.0));
            let settled = f64::from(parked) + held;
            if settled >= f64::from(u32::try_from(failing.len()).unwrap_or(u32::MAX)) {
                Ok(())
            } else {
                Err(format!("{parked} parked, {held} held"))
            }
        })
        .await;
    }
    let good = world.submit(&world.upload("good.jpg", jpeg::tiny(1)).await.key).await;
    assert_eq!(world.event_for(&good).await.failure_code(), None, "other work goes on");
    assert_eq!(daemon.metric("antispoofd_gate_open").await, Some(1.0));

    let last = world.submit_job(json!({ "key": "last.jpg", "expires_at": "2020-01-01T00:00:00Z" })).await;
    world.event_for(&last).await;
    let closed = async || daemon.metric("antispoofd_gate_closed{reason=\"queue_outage\"}").await;
    eventually_equals("the gate to be closed", EVENTUALLY, Some(1.0), closed).await;
    daemon.wait_logged("nothing is consumed until queue_outage is over").await;
    // Said at the first try of each job and then ever more rarely, with the job's id.
    let refused =
        async || daemon.metric("antispoofd_copies_published_total{queue=\"parked\",status=\"refused\"}").await;
    eventually("many tries", EVENTUALLY, async || match refused().await {
        Some(tries) if tries >= 20.0 => Ok(()),
        tries => Err(format!("{tries:?}")),
    })
    .await;
    let said = eventually("the last one to be named", SOON, async || {
        let lines = daemon.logs().into_iter();
        let said: Vec<_> = lines.filter(|line| line.contains("its copy for the parked queue is held")).collect();
        if said.iter().any(|line| line.contains(&last)) { Ok(said) } else { Err(format!("{said:?}")) }
    })
    .await;
    let tries = refused().await.unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let lines = said.len() as f64;
    assert!(lines <= tries * 0.8, "{lines} lines for {tries} tries");

    world.broker.put_policy_in_effect("^antispoof\\.parked$", json!({ "max-length": 1000 })).await;
    failing.push(last);
    eventually_equals("everything to be parked", EVENTUALLY, u32::try_from(failing.len()).ok(), async || {
        world.broker.depth(PARKED).await
    })
    .await;
    eventually_equals("the gate to open", EVENTUALLY, Some(1.0), async || daemon.metric("antispoofd_gate_open").await)
        .await;
    // Each is held until the confirm of its copy has come.
    eventually_equals("nothing to be held", SOON, Some(0.0), async || held(&daemon).await).await;
    assert_eq!(world.simulator.count("billed").await, 1);
    world.assert_drained().await;
}

/// A job that is held neither keeps a session after a lost one at one job, nor, as a suspect, keeps everybody else waiting.
#[tokio::test]
async fn a_held_job_does_not_stand_in_the_way_of_those_that_come_one_at_a_time() {
    let world = World::new("parked_held").await;
    let daemon = world.daemon().set("worker.concurrency", "8").start_ready().await;
    world.broker.put_policy_in_effect("^antispoof\\.parked$", json!({ "max-length": 1 })).await;
    let mut number = 0;
    let mut hold = async |least: f64, properties: BasicProperties| {
        while held(&daemon).await < Some(least) {
            number += 1;
            let late = json!({ "key": format!("late-{number}.jpg"), "expires_at": "2020-01-01T00:00:00Z" });
            let (job, body) = world.job(late);
            world.broker.publish_job(&body, properties.clone()).await;
            world.event_for(&job).await;
            // It is parked, or held.
            eventually("it to be settled or held", EVENTUALLY, async || {
                let parked = daemon.metric("antispoofd_settlements_total{kind=\"parked\"}").await.unwrap_or(0.0);
                let settled = parked + held(&daemon).await.unwrap_or(0.0);
                if settled >= f64::from(number) { Ok(()) } else { Err(format!("{settled} of {number}")) }
            })
            .await;
        }
    };
    let healthy = async |from: u64| {
        let mut keys = Vec::new();
        for number in from..from + 5 {
            keys.push(world.upload(&format!("{number}.jpg"), jpeg::tiny(number)).await.key);
        }
        let jobs = world.submit_all(keys.iter().map(String::as_str)).await;
        for event in world.events_for_all(&jobs).await {
            let late = event.json["data"]["image"]["key"].as_str().is_some_and(|key| key.starts_with("late"));
            assert!(late || event.failure_code().is_none(), "{:?}", event.json);
        }
    };
    hold(1.0, BasicProperties::default()).await;
    world.amqp_link.cut().await;
    world.amqp_link.restore().await;
    // The delivery that was cut and the one that followed may both count as held for a moment.
    eventually_equals("the first delivery to be lost", EVENTUALLY, Some(1.0), async || {
        daemon.metric("antispoofd_settlements_total{kind=\"lost\"}").await
    })
    .await;
    eventually_equals("it to be held again", EVENTUALLY, Some(1.0), async || held(&daemon).await).await;
    healthy(0).await;

    let mut headers = FieldTable::default();
    headers.insert("as-deliveries".into(), AMQPValue::LongLongInt(3));
    hold(2.0, BasicProperties::default().with_headers(headers)).await;
    daemon.wait_logged("it is run with nothing beside it").await;
    healthy(100).await;
    assert_eq!(daemon.metric("antispoofd_running_alone").await, Some(0.0));

    // What is held is on record: a worker that stops does not wait for the queue.
    daemon.term();
    assert!(daemon.wait_exit(SOON).await.success(), "{:?}", daemon.logs());
    world.broker.clear_policy().await;
    let _next = world.daemon().start_ready().await;
    world.assert_drained().await;
}
