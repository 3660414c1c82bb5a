//! Every failure code that this version can produce, as a producer and an operator see it: one event, one parked message, one bill.
//!
//! The codes that are nobody's fault (`store_unauthorized`, `api_unauthorized`, `api_forbidden`, `api_unreachable`, `results_unroutable`, `broker_unavailable`) end no job and are told of elsewhere.

#[path = "codes/doubt.rs"]
mod doubt;
#[path = "codes/limit.rs"]
mod limit;
#[path = "codes/permanent.rs"]
mod permanent;
#[path = "codes/transient.rs"]
mod transient;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::{Value, json};

use crate::contract::assert_valid_event;
use crate::harness::broker::{Message, PARKED, RESULTS};
use crate::harness::wait::{SOON, eventually, eventually_equals};
use crate::harness::world::World;

pub(crate) const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const PERSISTENT: u8 = 2;

/// Stage and class of each code, as the contract has them. Written out here, so that a change of the program's own table is noticed.
const TABLE: [(&str, &str, &str); 22] = [
    ("malformed_job", "decode", "permanent"),
    ("unsupported_message", "decode", "permanent"),
    ("job_expired", "admit", "permanent"),
    ("bucket_not_allowed", "admit", "permanent"),
    ("object_not_found", "fetch", "transient"),
    ("object_forbidden", "fetch", "transient"),
    ("object_changed", "fetch", "permanent"),
    ("object_empty", "fetch", "permanent"),
    ("object_too_large", "fetch", "permanent"),
    ("store_unavailable", "fetch", "transient"),
    ("store_timeout", "fetch", "transient"),
    ("not_an_image", "inspect", "permanent"),
    ("unsupported_format", "inspect", "permanent"),
    ("image_corrupt", "inspect", "permanent"),
    ("image_dimensions", "inspect", "permanent"),
    ("api_rejected", "call", "permanent"),
    ("api_rate_limited", "call", "transient"),
    ("api_unavailable", "call", "transient"),
    ("api_in_doubt", "call", "transient"),
    ("api_bad_response", "call", "transient"),
    ("delivery_limit", "crash", "permanent"),
    ("dropped_by_broker", "crash", "permanent"),
];

/// A message as its producer sent it.
pub(crate) struct Sent {
    /// The job's id, and the message's.
    pub(crate) id: String,
    body: Vec<u8>,
    properties: BasicProperties,
    metadata: Value,
}

/// How a job is to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub(crate) code: &'static str,
    /// A part of the message, for people.
    pub(crate) says: &'static str,
    pub(crate) http_status: Option<u16>,
    pub(crate) attempts: u32,
}

impl Ending {
    /// At the first attempt, with no HTTP status in it.
    pub(crate) fn at_once(code: &'static str, says: &'static str) -> Self {
        Self { code, says, http_status: None, attempts: 1 }
    }

    pub(crate) fn status(self, status: u16) -> Self {
        Self { http_status: Some(status), ..self }
    }

    pub(crate) fn after(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }
}

/// Sends a job with every property that a producer may set, and returns it. `fields` are those of the job; its id is `{name}`.
pub(crate) async fn send(world: &World, name: &str, mut fields: Value) -> Sent {
    let job = fields.as_object_mut().expect("a job is an object");
    job.insert("id".to_owned(), json!(name));
    let metadata = job.entry("metadata").or_insert_with(|| json!({ "applicant": name })).clone();
    let sent = sent(name, fields.to_string().into_bytes(), "application/json", metadata);
    world.broker.publish_job(&sent.body, sent.properties.clone()).await;
    sent
}

/// Sends a message whose body need not be a job.
pub(crate) async fn send_raw(world: &World, name: &str, body: &[u8], content_type: &str) -> Sent {
    let sent = sent(name, body.to_vec(), content_type, Value::Null);
    world.broker.publish_job(&sent.body, sent.properties.clone()).await;
    sent
}

fn sent(name: &str, body: Vec<u8>, content_type: &str, metadata: Value) -> Sent {
    let mut headers = FieldTable::default();
    headers.insert("tenant".into(), AMQPValue::LongString("42".into()));
    headers.insert("traceparent".into(), AMQPValue::LongString(TRACEPARENT.into()));
    headers.insert("x-request".into(), AMQPValue::LongString("stays behind".into()));
    let properties = BasicProperties::default()
        .with_content_type(content_type.into())
        .with_message_id(name.into())
        .with_correlation_id(format!("c-{name}").into())
        .with_type("kyc.selfie".into())
        .with_app_id("kyc-portal".into())
        .with_timestamp(1_795_384_799)
        .with_priority(3)
        .with_reply_to("amq.rabbitmq.reply-to.nobody".into())
        .with_headers(headers);
    Sent { id: name.to_owned(), body, properties, metadata }
}

/// Waits for the end of each job and holds event and parked message against what was expected.
pub(crate) async fn assert_ended(world: &World, expected: &[(Sent, Ending)]) {
    let ids: Vec<_> = expected.iter().map(|(sent, _)| sent.id.clone()).collect();
    world.events_for_all(&ids).await;
    let parked = eventually("all parked messages", SOON, async || {
        let parked = world.broker.parked().await;
        let missing = ids.iter().filter(|id| !parked.iter().any(|message| message.message_id() == id.as_str()));
        let missing: Vec<_> = missing.collect();
        if missing.is_empty() { Ok(parked) } else { Err(format!("without {missing:?}")) }
    })
    .await;
    for (sent, ending) in expected {
        let events = world.events_for(&sent.id).await;
        assert_eq!(events.len(), 1, "{}: {events:?}", sent.id);
        assert_event(&events[0], sent, *ending);
        let copies: Vec<_> = parked.iter().filter(|message| message.message_id() == sent.id).collect();
        assert_eq!(copies.len(), 1, "{}", sent.id);
        assert_parked(copies[0], sent, *ending);
        assert_eq!(copies[0].headers["as-error"], events[0].json["data"]["failure"]["message"]);
    }
}

/// Nothing is left in any queue, and these are all the events and parked messages that there ever were.
pub(crate) async fn assert_over(world: &World, events: usize, parked: u32) {
    world.assert_drained().await;
    let all: Vec<_> = world.events().await.into_iter().map(|event| (event.routing_key, event.json)).collect();
    assert_eq!(all.len(), events, "{all:?}");
    // Not at once: a look at the queue is given back a moment after it.
    eventually_equals("the parked messages", SOON, Some(parked), async || world.broker.depth(PARKED).await).await;
}

fn assert_event(event: &Message, sent: &Sent, ending: Ending) {
    let Ending { code, says, http_status, attempts } = ending;
    let about = &sent.id;
    assert_valid_event(event);
    let data = &event.json["data"];
    let failure = &data["failure"];
    let (_, stage, class) = TABLE.into_iter().find(|row| row.0 == code).expect("a code of the contract");
    assert_eq!(event.failure_code(), Some(code), "{about}: {failure}");
    assert_eq!((&failure["stage"], &failure["class"]), (&json!(stage), &json!(class)), "{about}");
    assert_eq!(failure["http_status"].as_u64(), http_status.map(Into::into), "{about}: {failure}");
    let message = failure["message"].as_str().expect("a message");
    assert!(message.contains(says), "{about}: {message}");
    assert_eq!(data["check"]["attempts"], attempts, "{about}");
    assert_eq!(data["check"]["reused"], false, "{about}");
    assert_eq!(data["metadata"], sent.metadata, "{about}");
    assert_eq!(event.json["subject"], *about);
    assert_eq!((event.exchange.as_str(), event.routing_key.as_str()), (RESULTS, format!("failure.{code}").as_str()));

    let properties = &event.properties;
    assert_eq!(event.json["id"], event.message_id(), "{about}");
    let correlation = format!("c-{about}");
    assert_eq!(text(properties.correlation_id().as_ref()), Some(correlation.as_str()));
    assert_eq!(event.json["correlationid"], correlation);
    assert_eq!(text(properties.kind().as_ref()), Some("antispoofd.failure.v1"));
    assert_eq!(text(properties.app_id().as_ref()), Some("antispoofd"));
    assert_eq!(text(properties.content_type().as_ref()), Some("application/cloudevents+json"));
    assert_eq!(*properties.delivery_mode(), Some(PERSISTENT));
    assert!(properties.timestamp().is_some_and(|at| at > 1_700_000_000), "{about}: {:?}", properties.timestamp());
    assert_eq!(event.json["traceparent"], TRACEPARENT);
    let mut headers = json!({ "traceparent": TRACEPARENT });
    for attribute in ["specversion", "id", "source", "type", "subject", "time", "datacontenttype"] {
        headers[format!("cloudEvents_{attribute}")] = event.json[attribute].clone();
    }
    assert_eq!(event.headers, headers, "{about}");
}

fn assert_parked(message: &Message, sent: &Sent, ending: Ending) {
    let about = &sent.id;
    assert_eq!(message.body, sent.body, "{about}: the body as it came");
    let (now, then) = (&message.properties, &sent.properties);
    assert_eq!(now.content_type(), then.content_type());
    assert_eq!(now.correlation_id(), then.correlation_id());
    assert_eq!(now.kind(), then.kind());
    assert_eq!(now.app_id(), then.app_id());
    assert_eq!(now.timestamp(), then.timestamp());
    assert_eq!(now.priority(), then.priority());
    assert_eq!(*now.delivery_mode(), Some(PERSISTENT));

    let mut headers = message.headers.clone();
    let headers = headers.as_object_mut().expect("headers");
    // The broker's own, which it sets at every look.
    headers.retain(|name, _| !["x-delivery-count", "x-acquired-count"].contains(&name.as_str()));
    let mut take = |name: &str| headers.remove(name).unwrap_or_else(|| panic!("{about}: no header {name}"));
    assert_eq!((take("tenant"), take("traceparent")), (json!("42"), json!(TRACEPARENT)));
    let (_, stage, _) = TABLE.into_iter().find(|row| row.0 == ending.code).expect("a code of the contract");
    assert_eq!((take("as-code"), take("as-stage")), (json!(ending.code), json!(stage)));
    assert_eq!(take("as-attempt"), ending.attempts);
    assert!(take("as-error").as_str().is_some_and(|error| error.contains(ending.says)));
    assert!(take("as-worker").as_str().is_some_and(|worker| !worker.is_empty()));
    let (first, parked) = (take("as-first-seen").as_i64(), take("as-parked-at").as_i64());
    assert!(first > Some(1_700_000_000_000) && parked >= first, "{about}: {first:?} {parked:?}");
    if let Some(status) = ending.http_status {
        assert_eq!(take("as-http-status"), status);
    }
    if ["api_in_doubt", "api_bad_response"].contains(&ending.code) || ending.http_status == Some(504) {
        assert_eq!(take("as-in-doubt"), ending.attempts, "{about}: a call in doubt for each attempt");
    }
    assert!(headers.is_empty(), "{about}: more headers than there should be: {headers:?}");
}

fn text(property: Option<&ShortString>) -> Option<&str> {
    property.map(ShortString::as_str)
}
