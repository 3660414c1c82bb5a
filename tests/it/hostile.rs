//! Messages whose properties are made to harm: each ends as its body says, once, and the jobs beside it do not notice.

#[path = "hostile/raw.rs"]
mod raw;

use lapin::options::{BasicGetOptions, BasicRejectOptions};
use serde_json::{Value, json};

use self::raw::{CONTENT_TYPE, HEADERS, KIND, MESSAGE_ID, Properties, Raw, field, integer, long, nested, short, text};
use crate::harness::broker::{JOBS, PARKED};
use crate::harness::daemon::{Daemon, DaemonBuilder};
use crate::harness::wait::{EVENTUALLY, SOON, STARTED, eventually, eventually_equals};
use crate::harness::world::World;
use crate::images::jpeg;

const INNOCENTS: usize = 30;
/// In no log, whatever is said about the header that it is in.
const CANARY: &[u8] = b"canary-of-a-hostile-header";
const NOT_TEXT: &[u8] = b"type/\xff\xfe";

/// A hostile message, and what has to be said of it in the end.
struct Hostile {
    name: &'static str,
    properties: Properties,
    /// What its copies say is missing.
    dropped: u64,
    /// Lines of the log for the two jobs that are sent with it.
    lines: usize,
}

fn hostile(name: &'static str, dropped: u64, properties: Properties) -> Hostile {
    Hostile { name, properties, dropped, lines: if dropped > 0 { 2 } else { 0 } }
}

/// All right as it comes, but too long for a copy with headers of ours.
fn without_room_to_spare(name: &'static str, field: Vec<u8>) -> Hostile {
    Hostile { lines: 1, ..with_headers(name, &[field]) }
}

fn with_headers(name: &'static str, fields: &[Vec<u8>]) -> Hostile {
    hostile(name, 1, Properties::with_headers(&fields.concat()))
}

#[tokio::test]
async fn headers_nested_too_deep_are_left_out() {
    // The sanitizer passes on 32: these would harm no parser.
    const TOO_DEEP: usize = 33;

    let canary = || field(b"tenant", &text(CANARY));
    scene(
        "hostile_nesting",
        World::daemon,
        [
            with_headers("arrays", &[canary(), field(b"deep", &nested(b'A', TOO_DEEP))]),
            with_headers("tables", &[canary(), field(b"deep", &nested(b'F', TOO_DEEP))]),
            with_headers("first", &[field(b"deep", &nested(b'A', TOO_DEEP)), canary()]),
        ],
    )
    .await;
}

#[tokio::test]
async fn strings_that_are_not_utf8_end_no_connection() {
    let routed = field(b"CC", &[&b"A"[..], &long(&text(JOBS.as_bytes()))].concat());
    scene(
        "hostile_strings",
        World::daemon,
        [
            with_headers("name", &[field(NOT_TEXT, &text(CANARY)), field(b"tenant", &text(b"42"))]),
            with_headers("name_inside", &[field(b"table", &[&b"F"[..], &long(&field(NOT_TEXT, b"V"))].concat())]),
            hostile("content_type", 1, Properties::new(CONTENT_TYPE, short(NOT_TEXT))),
            hostile("message_id", 1, Properties::new(MESSAGE_ID, short(NOT_TEXT))),
            hostile("two", 2, Properties::new(MESSAGE_ID | KIND, [short(NOT_TEXT), short(NOT_TEXT)].concat())),
            hostile("routing_key", 0, Properties::new(HEADERS, long(&routed)).routed_by(NOT_TEXT)),
        ],
    )
    .await;
}

#[tokio::test]
async fn headers_as_long_as_a_frame_end_no_connection() {
    let filling = |length: usize| field(b"filling", &text(&CANARY.repeat(length / CANARY.len())));
    scene(
        "hostile_length",
        World::daemon,
        [
            with_headers("near_the_limit", &[field(b"as-replay", &integer(0)), filling(130_900)]),
            with_headers("above_ours", &[filling(21_000)]),
        ],
    )
    .await;
}

#[tokio::test]
async fn with_small_frames_headers_of_larger_ones_end_no_connection() {
    let filling = |length: usize| field(b"filling", &text(&vec![b'x'; length]));
    scene(
        "hostile_small_frames",
        |world| {
            let url = world.services.amqp_url(&world.amqp_link.addr().to_string(), world.broker.vhost());
            world.daemon().set("amqp.url", format!("{url}?frame_max=8192&channel_max=4"))
        },
        [
            with_headers("above", &[filling(20_000)]),
            without_room_to_spare("at", filling(8192 - 8 - 14 - 4 - 8 - 5)),
            without_room_to_spare("below", filling(8000)),
        ],
    )
    .await;
}

/// Of each connection, 64 frames of the client's memory become resident in time.
#[tokio::test]
async fn frames_are_small_unless_the_url_says_otherwise() {
    let world = World::new("frame_sizes").await;
    let daemon = world.daemon().start_ready().await;
    assert_eq!(world.broker.frame_sizes(3).await, [32_768; 3], "to consume, to publish, for dead letters");
    daemon.term();
    assert!(daemon.wait_exit(STARTED).await.success());

    let url = world.services.amqp_url(&world.amqp_link.addr().to_string(), world.broker.vhost());
    let _daemon = world.daemon().set("amqp.url", format!("{url}?frame_max=131072")).start_ready().await;
    // Those of before are listed until the broker has sampled their end.
    eventually_equals("the larger frames", EVENTUALLY, vec![131_072; 3], async || world.broker.frame_sizes(3).await)
        .await;
}

#[tokio::test]
async fn a_count_that_the_producer_wrote_is_not_believed() {
    let world = World::new("hostile_count").await;
    declare(&world).await;
    let key = world.upload("face.jpg", jpeg::tiny(1)).await.key;
    let mut raw = Raw::connect(&world).await;
    let forged = Properties::with_headers(&field(b"x-delivery-count", &integer(19)));
    raw.publish(&body("returned", &key), &forged).await;
    take_and_return(&world).await;
    raw.publish(&body("forged", &key), &forged).await;

    let daemon = world.daemon().start_ready().await;
    for id in ["forged", "returned"] {
        let event = world.event_for(id).await;
        assert!(event.outcome().is_some(), "{id}: {:?}", event.failure_code());
    }
    assert_eq!(daemon.metric(r#"antispoofd_deliveries_total{redelivered="true"}"#).await, Some(1.0));
}

/// From now on the broker counts the deliveries of the one message that is there.
async fn take_and_return(world: &World) {
    let channel = world.broker.channel().await;
    let got = eventually("the message to be there", SOON, async || {
        let got = channel.basic_get(JOBS.into(), BasicGetOptions { no_ack: false }).await;
        got.map_err(|problem| problem.to_string())?.ok_or_else(|| "nothing".to_owned())
    })
    .await;
    let returned = got.delivery.acker.reject(BasicRejectOptions { requeue: true }).await;
    assert!(returned.expect("it can be returned"));
    channel.close(200, "done".into()).await.expect("a channel closes");
}

/// Hostile messages with 15 jobs before and 15 behind them, all there before the daemon is, so that they are in its hands together. Each hostile message
/// is sent twice: as a job that can be judged, and as one whose object is not there, which goes through a delay queue and is parked.
async fn scene<const N: usize>(name: &str, daemon: impl FnOnce(&World) -> DaemonBuilder, messages: [Hostile; N]) {
    let world = World::new(name).await;
    declare(&world).await;
    let key = world.upload("face.jpg", jpeg::tiny(1)).await.key;
    let mut raw = Raw::connect(&world).await;
    let innocents = |from| (from..from + INNOCENTS / 2).map(|n| format!("innocent-{n}"));
    let plain = Properties::new(CONTENT_TYPE, short(b"application/json"));
    for id in innocents(0) {
        raw.publish(&body(&id, &key), &plain).await;
    }
    for message in &messages {
        raw.publish(&body(message.name, &key), &message.properties).await;
        raw.publish(&body(&astray(message), "no-such-object.jpg"), &message.properties).await;
    }
    for id in innocents(INNOCENTS / 2) {
        raw.publish(&body(&id, &key), &plain).await;
    }

    let quick = daemon(&world).set("retry.max_attempts", "2").set("retry.delays", "1s");
    let daemon = quick.start_ready().await;
    for id in innocents(0).chain(innocents(INNOCENTS / 2)).chain(messages.iter().map(|message| message.name.to_owned()))
    {
        let event = world.event_for(&id).await;
        assert!(event.outcome().is_some(), "{id}: {:?}", event.failure_code());
        assert_eq!(event.json["data"]["check"]["attempts"], 1, "{id}");
    }
    for message in &messages {
        let event = world.event_for(&astray(message)).await;
        assert_eq!(event.failure_code(), Some("object_not_found"), "{}", message.name);
        assert_eq!(event.json["data"]["check"]["attempts"], 2, "{}", message.name);
    }
    assert_parked(&world, &messages).await;
    assert_unharmed(&world, &daemon, INNOCENTS + 2 * N).await;
    daemon.term();
    assert!(daemon.wait_output(STARTED).await.success());
    let said = daemon.logs().iter().filter(|line| line.contains("out of ") && line.contains("message")).count();
    assert_eq!(
        said,
        messages.iter().map(|message| message.lines).sum::<usize>(),
        "one line for each that lost something"
    );
    world.assert_drained().await;
}

async fn assert_parked(world: &World, messages: &[Hostile]) {
    eventually_equals("the parked messages", SOON, messages.len(), async || {
        world.broker.depth(PARKED).await.unwrap_or(0) as usize
    })
    .await;
    let parked = world.broker.parked().await;
    for message in messages {
        let body = body(&astray(message), "no-such-object.jpg");
        let copy = parked.iter().find(|copy| copy.body == body).unwrap_or_else(|| panic!("{}", message.name));
        let dropped = copy.headers["as-headers-dropped"].as_u64().unwrap_or(0);
        assert_eq!(dropped, message.dropped, "{}", message.name);
        assert_eq!((&copy.headers["as-attempt"], &copy.headers["as-code"]), (&json!(2), &json!("object_not_found")));
    }
}

async fn assert_unharmed(world: &World, daemon: &Daemon, jobs: usize) {
    assert_eq!(world.events().await.len(), jobs, "one event for each job");
    assert!(daemon.is_running());
    assert_eq!(daemon.metric("antispoofd_amqp_reconnects_total").await, Some(0.0));
    assert_eq!(daemon.metric(r#"antispoofd_deliveries_total{redelivered="true"}"#).await, Some(0.0));
    let canary = String::from_utf8_lossy(CANARY);
    assert!(!daemon.logs_contain(&canary), "a value of a header is in the log");
}

/// The daemon makes the queues; here they have to be there before it runs.
async fn declare(world: &World) {
    let declaring = world.daemon().set("retry.delays", "1s").start_ready().await;
    declaring.term();
    assert!(declaring.wait_exit(STARTED).await.success());
}

fn astray(message: &Hostile) -> String {
    format!("astray-{}", message.name)
}

fn body(id: &str, key: &str) -> Vec<u8> {
    let job: Value = json!({ "id": id, "key": key });
    job.to_string().into_bytes()
}
