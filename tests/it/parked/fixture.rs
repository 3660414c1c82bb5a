//! Parked messages as workers and brokers leave them.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use serde_json::{Value, json};

use crate::harness::broker::PARKED;
use crate::harness::process::Process;
use crate::harness::store::BUCKET;
use crate::harness::wait::EVENTUALLY;
use crate::harness::world::World;

/// A job that a worker has parked.
pub(super) struct Parked {
    pub(super) id: String,
    number: u32,
    code: &'static str,
    key: String,
}

impl Parked {
    pub(super) fn new(number: u32, code: &'static str, key: &str) -> Self {
        Self { id: format!("parked-{number}"), number, code, key: key.to_owned() }
    }

    fn message(&self) -> (Vec<u8>, BasicProperties) {
        let text = |text: &str| AMQPValue::LongString(text.into());
        let integer = |value: u32| AMQPValue::LongLongInt(value.into());
        let headers = [
            ("as-attempt", integer(8)),
            ("as-first-seen", AMQPValue::LongLongInt(1_764_000_000_000)),
            ("as-parked-at", AMQPValue::LongLongInt(1_764_000_100_000 + i64::from(self.number))),
            ("as-code", text(self.code)),
            ("as-stage", text("fetch")),
            ("as-error", text("there is no such object")),
            ("as-worker", text("w-1")),
            ("tenant", AMQPValue::LongUInt(7)),
        ];
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert(name.into(), value);
        }
        if self.code == "api_in_doubt" {
            table.insert("as-in-doubt".into(), integer(1));
        }
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(2)
            .with_message_id(self.id.as_str().into())
            .with_headers(table);
        (json!({ "id": self.id, "bucket": BUCKET, "key": self.key }).to_string().into_bytes(), properties)
    }
}

/// Puts them into the parked queue.
pub(super) async fn park(world: &World, jobs: impl IntoIterator<Item = Parked>) {
    let messages: Vec<_> = jobs.into_iter().map(|job| job.message()).collect();
    world.broker.publish("", PARKED, messages).await;
}

/// Puts a job into the parked queue as the broker leaves one that it could not deliver: with `x-death`, without a header of ours.
pub(super) async fn dropped_by_the_broker(world: &World, key: &str, id: &str) {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut death = FieldTable::default();
    for (name, value) in [("queue", "antispoof.dead"), ("reason", "delivery_limit"), ("exchange", "")] {
        death.insert(name.into(), text(value));
    }
    let mut deaths = FieldArray::default();
    deaths.push(AMQPValue::FieldTable(death));
    let mut headers = FieldTable::default();
    headers.insert("x-death".into(), AMQPValue::FieldArray(deaths));
    headers.insert("x-correlation-id".into(), text("the-correlation"));
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_message_id(id.into())
        .with_headers(headers);
    let body = json!({ "bucket": BUCKET, "key": key }).to_string().into_bytes();
    world.broker.publish("", PARKED, [(body, properties)]).await;
}

/// Runs `antispoofd parked` with these arguments to its end.
pub(super) async fn command(world: &World, arguments: &[&str], exit: i32) -> Process {
    let process = world.daemon().command(&[&["parked"], arguments].concat());
    let status = process.wait_output(EVENTUALLY).await;
    assert_eq!(status.code(), Some(exit), "{arguments:?}: {:#?}", process.stderr());
    process
}

/// The messages of the parked queue in their order: the job's id, and the headers without those that count deliveries.
pub(super) async fn pickled(world: &World) -> Vec<(String, Value)> {
    let messages = world.broker.browse(PARKED).await;
    messages
        .into_iter()
        .map(|message| {
            let mut headers = message.headers.clone();
            let headers = headers.as_object_mut().expect("headers");
            headers.retain(|name, _| !name.starts_with("x-"));
            let id = message.json["id"].as_str().unwrap_or_default().to_owned();
            (id, Value::Object(std::mem::take(headers)))
        })
        .collect()
}
