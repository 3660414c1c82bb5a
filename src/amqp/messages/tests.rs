use super::*;
use crate::amqp::headers::{dropped, read, text};
use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, gen_frame};
use antispoof_core::failure::Code;
use antispoof_core::job::Attributes;
use antispoof_core::retry::Attempt;

const FRAME_MAX: usize = 131_072;

fn spent(attempts: u32, in_doubt: u32) -> Spent {
    Spent { attempts: Attempt::spent(attempts), in_doubt, deliveries: 0 }
}

fn delivered(headers: &[(&str, AMQPValue)]) -> JobLease {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert((*name).into(), value.clone());
    }
    let properties = job_message("m-1")
        .with_headers(table)
        .with_expiration("1000".into())
        .with_user_id("guest".into())
        .with_correlation_id("c-1".into());
    JobLease::for_test(properties)
}

#[test]
fn broker_headers_and_traps_stay_behind_and_the_rest_travels() {
    let lease = delivered(&[
        ("x-death", long("…")),
        ("x-delivery-count", AMQPValue::LongLongInt(3)),
        ("CC", long("elsewhere")),
        ("as-code", long("old")),
        ("as-replay", AMQPValue::LongLongInt(2)),
        ("as-deliveries", AMQPValue::LongLongInt(4)),
        ("tenant", long("42")),
    ]);
    let failure = Failure::new(Code::ApiUnavailable, "the API answered 503").with_status(503);
    let notes = CopyNotes { spent: spent(2, 1), why: Some(&failure), worker: "w", parked: true };
    let properties = copy_properties(&lease, &notes, FRAME_MAX);
    let headers = properties.headers().clone().unwrap_or_default();
    let headers = headers.inner();
    for gone in ["x-death", "x-delivery-count", "CC", "as-deliveries"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
    assert_eq!(text(&headers["tenant"]), Some("42"));
    assert_eq!(text(&headers["as-code"]), Some("api_unavailable"));
    assert_eq!(text(&headers["as-stage"]), Some("call"));
    assert_eq!(number(&properties, "as-http-status"), Some(503));
    assert_eq!(number(&properties, "as-attempt"), Some(2));
    assert_eq!(number(&properties, "as-in-doubt"), Some(1));
    assert_eq!(number(&properties, "as-replay"), Some(2));
    assert!(number(&properties, "as-parked-at").is_some());
    assert_eq!((properties.expiration(), properties.user_id()), (&None, &None));
    assert_eq!(*properties.delivery_mode(), Some(PERSISTENT));
    assert_eq!(properties.correlation_id().as_ref().map(ShortString::as_str), Some("c-1"));
}

#[test]
fn why_the_broker_dropped_a_message_is_its_newest_word_about_the_job_queue() {
    let death = |queue: &str, reason: &str| {
        let mut death = FieldTable::default();
        death.insert("queue".into(), long(queue));
        death.insert("reason".into(), long(reason));
        AMQPValue::FieldTable(death)
    };
    let read = |headers: &[(&str, AMQPValue)]| {
        let lease = delivered(headers);
        dropped(lease.raw(), "antispoof.jobs").reason().to_owned()
    };
    let deaths = |deaths: Vec<AMQPValue>| AMQPValue::FieldArray(deaths.into());
    let earlier = death("antispoof.retry.10s", "expired");
    let x_death = deaths(vec![death("antispoof.jobs", "maxlen"), earlier.clone(), death("antispoof.jobs", "expired")]);
    assert_eq!(read(&[("x-death", x_death), ("as-drop-reason", long("rejected"))]), "maxlen");
    // A copy of ours has no such header any more.
    assert_eq!(read(&[("as-drop-reason", long("rejected"))]), "rejected");
    assert_eq!(read(&[("x-death", deaths(vec![earlier]))]), "", "another queue's");
    assert_eq!(read(&[("x-death", long("…"))]), "");
    assert_eq!(read(&[]), "");
}

#[test]
fn why_it_was_dropped_travels_until_the_message_has_its_end() {
    let lease = delivered(&[("as-drop-reason", long("rejected")), ("as-deliveries", AMQPValue::LongLongInt(9))])
        .dead_letter_of("antispoof.jobs");
    let copy = |parked| {
        let notes = CopyNotes { spent: spent(2, 0), why: None, worker: "w", parked };
        let properties = copy_properties(&lease, &notes, FRAME_MAX);
        properties.headers().as_ref().and_then(|headers| headers.inner().get("as-drop-reason").cloned())
    };
    assert_eq!((copy(false), copy(true)), (Some(long("rejected")), None));
    assert_eq!(number(&part_properties(&lease, FRAME_MAX), "as-deliveries"), None);
    assert_eq!(lease.deliveries(), 0, "those of its time in the job queue do not count");
}

#[test]
fn a_job_that_merely_goes_back_does_not_carry_an_old_reason() {
    let lease = delivered(&[("as-code", long("old")), ("as-error", long("old"))]);
    let properties =
        copy_properties(&lease, &CopyNotes { spent: spent(0, 0), why: None, worker: "w", parked: false }, FRAME_MAX);
    let headers = properties.headers().clone().unwrap_or_default();
    assert!(!headers.contains_key("as-code") && !headers.contains_key("as-error"));
}

#[test]
fn trace_context_is_read_in_every_form_it_is_sent_in() {
    for value in [long("00-a"), AMQPValue::ShortString("00-a".into()), AMQPValue::ByteArray(b"00-a"[..].into())] {
        let lease = delivered(&[("traceparent", value)]);
        assert_eq!(read(lease.raw()).traceparent.as_deref(), Some("00-a"));
    }
}

/// The length of the frame that has these properties.
fn frame_length(properties: &BasicProperties) -> usize {
    let header = AMQPContentHeader { class_id: 60, body_size: 1, properties: properties.clone() };
    let frame = AMQPFrame::Header(1, header);
    gen_frame(&frame)(Vec::new().into()).expect("it can be written").into_inner().0.len()
}

#[test]
fn a_copy_fits_into_a_frame_whatever_it_was_made_of() {
    let nested = [("k".into(), AMQPValue::FieldArray(vec![AMQPValue::Boolean(true), AMQPValue::Void].into()))];
    let nested: std::collections::BTreeMap<ShortString, AMQPValue> = nested.into();
    let failure = Failure::new(Code::ApiUnavailable, "x".repeat(600)).with_status(503);
    let worker = "w".repeat(128);
    let longest = "i".repeat(255);
    for size in (3000..7500).step_by(7).chain([40_000, 130_900]) {
        let lease = JobLease::for_test(
            job_message(&longest)
                .with_type(longest.as_str().into())
                .with_correlation_id(longest.as_str().into())
                .with_content_encoding(longest.as_str().into())
                .with_headers(
                    std::collections::BTreeMap::from([
                        ("as-replay".into(), AMQPValue::LongLongInt(1)),
                        ("big".into(), long(&"x".repeat(size))),
                        ("table".into(), AMQPValue::FieldTable(nested.clone().into())),
                    ])
                    .into(),
                ),
        );
        for frame_max in [4096, 8192, FRAME_MAX] {
            let notes = CopyNotes { spent: spent(7, 3), why: Some(&failure), worker: &worker, parked: true };
            let properties = copy_properties(&lease, &notes, frame_max);
            assert!(frame_length(&properties) <= frame_max, "{size} into {frame_max}");
            let headers = properties.headers().clone().unwrap_or_default();
            let kept = headers.contains_key("big");
            let dropped = ["big", "table"].iter().filter(|&&name| !headers.contains_key(name)).count();
            assert_eq!(number(&properties, "as-headers-dropped").unwrap_or(0), i64::try_from(dropped).unwrap());
            assert_eq!((number(&properties, "as-replay"), number(&properties, "as-attempt")), (Some(1), Some(7)));
            assert!(headers.contains_key("as-error"));
            assert!(kept || frame_length(&properties) + size + 40 > frame_max, "{size} had room in {frame_max}");
        }
    }
}

#[test]
fn what_was_left_out_before_is_not_forgotten() {
    let lease = delivered(&[("as-headers-dropped", AMQPValue::LongLongInt(2)), ("big", long(&"x".repeat(9000)))]);
    let notes = || CopyNotes { spent: spent(0, 0), why: None, worker: "w", parked: false };
    assert_eq!(number(&copy_properties(&lease, &notes(), FRAME_MAX), "as-headers-dropped"), Some(2));
    assert_eq!(number(&copy_properties(&lease, &notes(), 8192), "as-headers-dropped"), Some(3));
}

#[test]
fn a_count_of_deliveries_on_a_message_that_was_not_delivered_is_not_the_broker_s() {
    use antispoof_core::ports::Lease as _;

    let lease = delivered(&[("x-delivery-count", AMQPValue::LongLongInt(19))]);
    assert_eq!(lease.deliveries(), 0);
}

#[test]
fn an_event_fits_into_a_frame_whatever_its_trace() {
    let event = Event {
        id: "e".repeat(64),
        source: format!("antispoofd/{}", "w".repeat(128)),
        kind: "antispoofd.verdict.v1",
        routing_key: "verdict.live".to_owned(),
        subject: "s".repeat(128),
        time: "2026-11-22T22:00:00.000Z".to_owned(),
        timestamp: 1,
        correlation_id: Some("c".repeat(255)),
        traceparent: Some("00-a".to_owned()),
        tracestate: Some("t".repeat(60_000)),
        body: Vec::new(),
    };
    for (frame_max, whole) in [(4096, false), (FRAME_MAX, true)] {
        let properties = event_properties(&event, frame_max);
        assert!(frame_length(&properties) <= frame_max);
        let headers = properties.headers().clone().unwrap_or_default();
        assert!(headers.contains_key("traceparent") && headers.contains_key("cloudEvents_subject"));
        assert_eq!(headers.contains_key("tracestate"), whole);
    }
}

#[test]
fn a_part_has_everything_but_the_name_and_the_past_of_the_whole() {
    let lease = delivered(&[
        ("tenant", long("42")),
        ("traceparent", long("00-a")),
        ("x-death", long("…")),
        ("as-attempt", AMQPValue::LongLongInt(3)),
        ("as-first-seen", AMQPValue::LongLongInt(77)),
        ("cloudEvents_id", long("e-1")),
        ("ce-id", long("e-1")),
        ("compression", long("application/x-gzip")),
    ]);
    let properties = part_properties(&lease, FRAME_MAX);
    let headers = properties.headers().clone().unwrap_or_default();
    let names: Vec<_> = headers.inner().keys().map(ShortString::as_str).collect();
    assert_eq!(names, ["as-first-seen", "tenant", "traceparent"]);
    assert_eq!(number(&properties, "as-first-seen"), Some(77));
    assert_eq!(properties.message_id(), &None);
    assert_eq!(properties.correlation_id().as_ref().map(ShortString::as_str), Some("c-1"));
    let relayed = JobLease::for_test(
        job_message("m-1")
            .with_content_type("text/plain".into())
            .with_content_encoding("gzip".into())
            .with_type("amqp-1.0".into()),
    );
    let properties = part_properties(&relayed, FRAME_MAX);
    assert_eq!(properties.correlation_id().as_ref().map(ShortString::as_str), Some("m-1"));
    assert_eq!(properties.content_type().as_ref().map(ShortString::as_str), Some("application/json"));
    assert_eq!((properties.content_encoding(), properties.kind()), (&None, &None), "a part is plain JSON");
}

#[test]
fn a_copy_can_be_read_and_named_as_the_message_could() {
    let message = |headers: &[(&str, AMQPValue)]| {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), value.clone()));
        let headers: std::collections::BTreeMap<ShortString, AMQPValue> = headers.collect();
        let properties = BasicProperties::default().with_content_encoding("gzip".into()).with_type("amqp-1.0".into());
        JobLease::for_test(properties.with_headers(headers.into()))
    };
    let long_id = "c".repeat(300);
    for headers in [
        vec![("compression", long("zlib")), ("ce-specversion", long("1.0")), ("ce_id", long("e-1"))],
        vec![("specversion", long("1.0")), ("id", long("e-1")), ("source", long("s")), ("type", long("t"))],
        vec![("x-message-id", long("m-1")), ("x-correlation-id", long("c-1"))],
        vec![("x-message-id", long("m-1")), ("x-correlation-id", long(&long_id))],
        vec![("x-message-id", long(&long_id))],
        vec![("x-message-id", AMQPValue::ByteArray(vec![0xff, 0x00].into()))],
    ] {
        let lease = message(&headers);
        let notes = || CopyNotes { spent: spent(1, 0), why: None, worker: "w", parked: false };
        let copy = copy_properties(&lease, &notes(), FRAME_MAX);
        assert_eq!(read(&copy), read(lease.raw()), "{headers:?}");
        let copy_of_a_copy = copy_properties(&JobLease::for_test(copy), &notes(), FRAME_MAX);
        assert_eq!(read(&copy_of_a_copy), read(lease.raw()), "{headers:?}");
        assert_eq!(copy_of_a_copy.kind().as_ref().map(ShortString::as_str), Some("amqp-1.0"));
        let names = copy_of_a_copy.headers().clone().unwrap_or_default();
        assert!(names.inner().keys().all(|name| !name.as_str().starts_with("x-")), "{names:?}");
    }
}

#[test]
fn attributes_of_a_cloud_event_are_read_in_every_dialect() {
    for (id, source) in [("cloudEvents:id", "cloudEvents:source"), ("cloudEvents_id", "cloudevents_source")] {
        let lease = delivered(&[(id, long("e-1")), (source, long("/portal")), ("cloudEvents", long("x"))]);
        let read = read(lease.raw()).cloud_event;
        assert_eq!((read.id.as_deref(), read.source.as_deref(), read.kind), (Some("e-1"), Some("/portal"), None));
    }
    for (id, source) in [("ce-id", "CE-source"), ("ce_id", "ce_source")] {
        let lease = delivered(&[(id, long("e-1")), (source, long("/portal")), ("ce", long("x"))]);
        let read = read(lease.raw()).cloud_event;
        assert_eq!((read.id.as_deref(), read.source.as_deref(), read.kind), (Some("e-1"), Some("/portal"), None));
    }
    let number = delivered(&[("ce-specversion", AMQPValue::Double(1.0))]);
    assert_eq!(read(number.raw()).cloud_event.specversion.as_deref(), Some(""), "there, and no text");
    let other = delivered(&[("cloudEvents-id", long("e-1")), ("xcloudEvents_id", long("e-1"))]);
    assert_eq!(read(other.raw()).cloud_event, Attributes::default());
}

#[test]
fn a_trace_that_began_here_goes_along_in_place_of_what_cannot_be_read() {
    let mut lease = delivered(&[("traceparent", long("nonsense")), ("tracestate", long("portal=1"))]);
    let notes = CopyNotes { spent: spent(1, 0), why: None, worker: "w", parked: false };
    let copies = |lease: &JobLease| {
        [copy_properties(lease, &notes, FRAME_MAX), part_properties(lease, FRAME_MAX)].map(|properties| {
            let headers = properties.headers().clone().unwrap_or_default();
            let value = |name| headers.inner().get(name).and_then(text).map(str::to_owned);
            (value("traceparent"), value("tracestate"))
        })
    };
    let untouched = (Some("nonsense".to_owned()), Some("portal=1".to_owned()));
    assert_eq!(copies(&lease), [untouched.clone(), untouched], "without traces");
    lease.trace_as("00-a".to_owned());
    let ours = (Some("00-a".to_owned()), None);
    assert_eq!(copies(&lease), [ours.clone(), ours]);
}
