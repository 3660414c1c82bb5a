//! The way through the delay queues and back, and what a message that comes again is worth.

use std::time::{Duration, Instant};

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use serde_json::{Value, json};

use crate::contract::assert_valid_event;
use crate::harness::broker::{JOBS, Message, PARKED};
use crate::harness::store::BUCKET;
use crate::harness::wait::{EVENTUALLY, SOON, eventually, eventually_equals, holds};
use crate::harness::world::World;
use crate::images::{jpeg, sha256};

/// Long enough for a busy machine to look into the queue while a message is there.
const DELAYS: &str = "5s,7s";
const SHORT: &str = "antispoof.retry.5s";
const LONG: &str = "antispoof.retry.7s";

#[tokio::test]
async fn a_job_moves_along_the_delays_and_every_one_of_them_is_waited_out() {
    let world = World::new("along_the_delays").await;
    let _daemon = world
        .daemon()
        .set("retry.max_attempts", "4")
        .set("retry.quick_attempts", "1")
        .set("retry.delays", DELAYS)
        .start_ready()
        .await;
    world.simulator.configure(json!({ "faults": "503=100%" })).await;
    let stored = world.upload("face.jpg", jpeg::tiny(1)).await;
    let started = Instant::now();
    let job = world.submit(&stored.key).await;

    let mut first_seen = None;
    for (queue, attempts) in [(SHORT, 1), (LONG, 2), (LONG, 3)] {
        let waiting = waiting_in(&world, queue, attempts).await;
        assert_eq!(world.simulator.count("calls").await, attempts, "the next call comes after the delay");
        assert_eq!(waiting.headers["as-code"], "api_unavailable");
        assert_eq!(waiting.headers["as-http-status"], 503);
        assert!(waiting.headers.get("as-parked-at").is_none());
        let seen = waiting.headers["as-first-seen"].as_i64().expect("a time");
        assert_eq!(*first_seen.get_or_insert(seen), seen, "it stays that of the first delivery");
    }
    let event = world.event_for(&job).await;
    // A delay queue never lets go early.
    assert!(started.elapsed() >= Duration::from_secs(5 + 7 + 7), "{:?}", started.elapsed());
    assert_eq!(event.failure_code(), Some("api_unavailable"));
    assert_eq!(event.json["data"]["check"]["attempts"], 4);
    assert_eq!(world.simulator.count("calls").await, 4);
    eventually_equals("the parked message", SOON, Some(1), async || world.broker.depth(PARKED).await).await;
    let parked = world.broker.parked().await;
    assert_eq!(parked[0].headers["as-attempt"], 4);
    assert_eq!(parked[0].headers["as-first-seen"].as_i64(), first_seen);

    // Nothing leaves the parked queue by itself, not even for longer than the longest delay. (The look is given back a moment after it.)
    eventually_equals("the parked message", SOON, Some(1), async || world.broker.depth(PARKED).await).await;
    holds("the parked message", Duration::from_secs(8), async || match world.broker.depth(PARKED).await {
        Some(1) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(world.simulator.count("calls").await, 4);
    assert_eq!(world.events_for(&job).await.len(), 1);
}

#[tokio::test]
async fn a_longer_wait_that_was_asked_for_picks_a_longer_delay() {
    let world = World::new("retry_after").await;
    let _daemon = world.daemon().set("retry.delays", DELAYS).start_ready().await;
    let asked = json!({ "faults": "429=x1", "retry_after": "6s" });
    world.simulator.configure(asked).await;
    let bytes = jpeg::tiny(1);
    let stored = world.upload("face.jpg", bytes.clone()).await;
    let started = Instant::now();
    let job = world.submit(&stored.key).await;
    waiting_in(&world, LONG, 1).await;
    let event = world.event_for(&job).await;
    assert!(started.elapsed() >= Duration::from_secs(7), "{:?}", started.elapsed());
    assert!(event.outcome().is_some(), "{}", event.json);
    assert_eq!(event.json["data"]["check"]["attempts"], 2);
    assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 1);
    assert_eq!(world.simulator.count("calls").await, 2, "no try in memory before the time");
}

#[tokio::test]
async fn a_copy_that_arrives_while_the_job_is_worked_on_waits_unspent_and_is_answered_from_the_ledger() {
    let world = World::new("busy").await;
    let daemon = world.daemon().set("retry.delays", DELAYS).start_ready().await;
    world.simulator.configure(json!({ "latency": "6s" })).await;
    let bytes = jpeg::tiny(1);
    let stored = world.upload("face.jpg", bytes.clone()).await;
    let job = json!({ "id": "busy", "bucket": BUCKET, "key": stored.key });
    publish(&world, &job, &[]).await;
    eventually_equals("the call", SOON, 1, async || world.simulator.count("in_flight").await).await;
    // This one has failed once before; that it has to wait costs it nothing.
    publish(&world, &job, &[("as-attempt", AMQPValue::LongLongInt(1))]).await;
    let waiting = waiting_in(&world, SHORT, 1).await;
    assert!(waiting.headers.get("as-code").is_none(), "it is nobody's fault: {}", waiting.headers);

    let events = eventually("both answers", EVENTUALLY, async || {
        let events = world.events_for("busy").await;
        if events.len() == 2 { Ok(events) } else { Err(format!("{} events", events.len())) }
    })
    .await;
    assert_same_verdict(&events);
    assert_eq!(events[0].json["data"]["check"]["reused"], false);
    assert_eq!(events[1].json["data"]["check"]["reused"], true);
    assert_eq!(events[1].json["data"]["check"]["attempts"], 1, "of the attempt that got the verdict");
    assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 1);
    assert_eq!(world.simulator.count("calls").await, 1);
    let returned = daemon.metric("antispoofd_settlements_total{kind=\"returned\"}").await;
    assert!(returned >= Some(1.0), "{returned:?}");
}

#[tokio::test]
async fn a_job_that_is_sent_again_is_answered_with_the_same_event_and_no_call() {
    let world = World::new("duplicates").await;
    let daemon = world.daemon().start_ready().await;
    let bytes = jpeg::tiny(1);
    let stored = world.upload("face.jpg", bytes.clone()).await;
    let job = json!({ "id": "twice", "bucket": BUCKET, "key": stored.key });
    for count in 1..=3 {
        publish(&world, &job, &[]).await;
        eventually_equals("its event", SOON, count, async || world.events_for("twice").await.len()).await;
    }
    let events = world.events_for("twice").await;
    assert_same_verdict(&events);
    let reused: Vec<_> = events.iter().map(|event| event.json["data"]["check"]["reused"] == true).collect();
    assert_eq!(reused, [false, true, true]);
    assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 1);

    // The same id for another image is another job; that is not hidden from anybody.
    let other = world.upload("other.jpg", jpeg::tiny(2)).await;
    publish(&world, &json!({ "id": "twice", "bucket": BUCKET, "key": other.key }), &[]).await;
    eventually_equals("its event", SOON, 4, async || world.events_for("twice").await.len()).await;
    let events = world.events_for("twice").await;
    assert_eq!(events[3].json["data"]["check"]["reused"], false);
    assert_ne!(events[3].message_id(), events[0].message_id());
    assert_eq!(world.simulator.count("billed").await, 2);
    eventually_equals("each to be counted", SOON, Some(4.0), async || daemon.metric("antispoofd_jobs_total").await)
        .await;
}

#[tokio::test]
async fn a_parked_job_that_is_replayed_gets_a_new_chance_and_a_new_event() {
    let world = World::new("replay").await;
    let _daemon = world.daemon().start_ready().await;
    let bytes = jpeg::tiny(1);
    let stored = world.upload("face.jpg", bytes.clone()).await;
    world.simulator.configure(json!({ "faults": "422=x2" })).await;
    let job = json!({ "id": "again", "bucket": BUCKET, "key": stored.key });
    publish(&world, &job, &[]).await;
    let first = world.event_for("again").await;
    assert_eq!(first.failure_code(), Some("api_rejected"));

    // A mere copy is no replay: it is told the same end again, without a call, and parked again.
    publish(&world, &job, &[]).await;
    eventually_equals("both parked", SOON, Some(2), async || world.broker.depth(PARKED).await).await;
    let events = world.events_for("again").await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[1].message_id(), events[0].message_id());
    assert_eq!(events[1].json, events[0].json, "word for word");
    assert_eq!(world.simulator.count("calls").await, 1);

    // Replayed while the fault lasts, and once more when it is over.
    let mut ids = vec![first.message_id().to_owned()];
    let mut parked = world.broker.parked().await.pop().expect("parked");
    for replay in 1..=2 {
        let properties = replayed(&parked, replay);
        world.broker.publish("", JOBS, [(parked.body.clone(), properties)]).await;
        let event = eventually("the event of the replay", SOON, async || {
            let events = world.events_for("again").await;
            events.get(1 + replay as usize).cloned().ok_or_else(|| format!("{} events", events.len()))
        })
        .await;
        assert_valid_event(&event);
        assert!(!ids.contains(&event.message_id().to_owned()), "a consumer that drops repetitions must see it");
        ids.push(event.message_id().to_owned());
        assert_eq!(event.failure_code().is_none(), replay == 2, "{}", event.json);
        assert_eq!(event.json["data"]["check"]["attempts"], 1);
        if replay == 1 {
            eventually_equals("three parked", SOON, Some(3), async || world.broker.depth(PARKED).await).await;
            let again = world.broker.parked().await.into_iter().find(|message| message.headers["as-replay"] == 1);
            parked = again.expect("how often stays on the message");
        }
    }
    assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 1);
    assert_eq!(world.simulator.count("calls").await, 3);
}

#[tokio::test]
async fn headers_that_make_the_broker_route_copies_do_not_travel() {
    let world = World::new("cc").await;
    let _daemon = world.daemon().set("retry.max_attempts", "2").set("retry.delays", DELAYS).start_ready().await;
    world.simulator.configure(json!({ "faults": "503=100%" })).await;
    let stored = world.upload("face.jpg", jpeg::tiny(1)).await;
    let routes = || {
        let names = [PARKED, LONG].map(|queue| AMQPValue::LongString(queue.into()));
        AMQPValue::FieldArray(FieldArray::from(names.to_vec()))
    };
    // Neither name is bound to the exchange that jobs are published to; both are to the one of the internal hops.
    let body = json!({ "id": "copied", "bucket": BUCKET, "key": stored.key }).to_string().into_bytes();
    let properties = properties(&[("CC", routes()), ("BCC", routes())]);
    world.broker.publish(JOBS, JOBS, [(body, properties)]).await;
    let waiting = waiting_in(&world, SHORT, 1).await;
    assert!(waiting.headers.get("CC").is_none() && waiting.headers.get("BCC").is_none(), "{}", waiting.headers);
    assert_eq!((world.broker.depth(LONG).await, world.broker.depth(PARKED).await), (Some(0), Some(0)));
    world.event_for("copied").await;
    world.assert_drained().await;
    // Once, when its time had come: the copy is made after the event.
    eventually_equals("the parked message", SOON, Some(1), async || world.broker.depth(PARKED).await).await;
    assert_eq!(world.events().await.len(), 1);
}

/// Waits until a message with so many attempts spent lies in a delay queue, and returns it. The look gives it back.
/// Looks only once the attempt has been made: from RabbitMQ 4.0 on each look at a message in a delay queue counts, and at the twenty-first it is let go.
async fn waiting_in(world: &World, queue: &str, attempts: u64) -> Message {
    eventually_equals("the calls", EVENTUALLY, true, async || world.simulator.count("calls").await >= attempts).await;
    eventually(&format!("a message with {attempts} attempts in {queue}"), EVENTUALLY, async || {
        let mut there = world.broker.peek(queue).await;
        there.retain(|message| message.headers["as-attempt"] == attempts);
        there.pop().ok_or_else(|| "none".to_owned())
    })
    .await
}

async fn publish(world: &World, job: &Value, headers: &[(&str, AMQPValue)]) {
    world.broker.publish_job(job.to_string().as_bytes(), properties(headers)).await;
}

fn properties(headers: &[(&str, AMQPValue)]) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert((*name).into(), value.clone());
    }
    BasicProperties::default().with_content_type("application/json".into()).with_headers(table)
}

/// The properties with which an operator's tool sends a parked message back: its attempts are forgotten, its replays counted.
fn replayed(parked: &Message, replay: u32) -> BasicProperties {
    let mut headers = parked.properties.headers().clone().unwrap_or_default().inner().clone();
    headers.retain(|name, _| !name.as_str().starts_with("x-") && !name.as_str().starts_with("as-"));
    headers.insert("as-replay".into(), AMQPValue::LongLongInt(replay.into()));
    parked.properties.clone().with_headers(headers.into())
}

fn assert_same_verdict(events: &[Message]) {
    let part = |event: &Message| {
        let mut json = event.json.clone();
        json["data"]["check"]["reused"] = Value::Null;
        json
    };
    for event in events {
        assert_valid_event(event);
        assert_eq!(part(event), part(&events[0]), "but for reused, word for word");
        assert_eq!(event.message_id(), events[0].message_id());
        assert_eq!(event.routing_key, events[0].routing_key);
    }
}
