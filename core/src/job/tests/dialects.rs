//! Properties and headers in the spellings of their senders.

use super::*;

const BODY: &[u8] = br#"{"bucket":"kyc-uploads","key":"a.jpg"}"#;

fn of(headers: &[(&str, Option<&str>)]) -> Properties {
    with(Properties::default(), headers)
}

fn with(mut properties: Properties, headers: &[(&str, Option<&str>)]) -> Properties {
    properties.read_headers(headers);
    properties
}

fn event<'a>(prefix: &str, id: &'a str) -> Vec<(String, Option<&'a str>)> {
    [("specversion", "1.0"), ("id", id), ("source", "/portal"), ("type", "kyc.selfie"), ("correlationid", "c-1")]
        .map(|(name, value)| (format!("{prefix}{name}"), Some(value)))
        .into()
}

fn read(headers: &[(String, Option<&str>)]) -> Result<Job, Failure> {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    Job::decode(BODY, &of(&headers), &Admission::default())
}

#[test]
fn events_in_every_dialect_are_jobs_by_their_own_ids() {
    // The AMQP binding, the Python SDK 2.2's RabbitMQ binding, that of Kafka, and the user properties of MQTT 5.
    for prefix in ["cloudEvents_", "cloudEvents:", "cloudevents_", "ce-", "CE-", "ce_", ""] {
        let [first, second] = ["e-1", "e-2"].map(|id| read(&event(prefix, id)).expect(prefix));
        assert_eq!((first.id(), second.id()), ("e-1", "e-2"), "{prefix}: two events about one object are two jobs");
        assert_eq!(first.origin().correlation_id.as_deref(), Some("c-1"), "{prefix}");
    }
}

#[test]
fn a_message_with_a_specversion_is_never_a_plain_job() {
    for prefix in ["cloudEvents_", "cloudEvents:", "ce-", "ce_", ""] {
        let whole = event(prefix, "e-1");
        for left_out in ["id", "source", "type"] {
            let name = format!("{prefix}{left_out}");
            let part: Vec<_> = whole.iter().filter(|(given, _)| *given != name).cloned().collect();
            let refused = read(&part).expect_err(&name);
            assert_eq!(
                refused.message(),
                format!("the CloudEvent's {left_out} is missing; CloudEvents 1.0 asks for it")
            );
        }
        for odd in [None, Some("")] {
            let mut odd_one = whole.clone();
            odd_one[0].1 = odd;
            assert!(read(&odd_one).expect_err(prefix).message().contains("specversion"), "{prefix}");
        }
        let mut old = whole.clone();
        old[0].1 = Some("0.3");
        assert!(read(&old).expect_err(prefix).message().contains("CloudEvents 1.0 are read"), "{prefix}");
    }
    let alone = read(&[("SpecVersion".to_owned(), Some("1.0"))]).expect_err("no id");
    assert!(alone.message().contains("id is missing"), "{alone}");
}

#[test]
fn common_words_are_no_attributes_without_a_specversion() {
    let properties = of(&[
        ("id", Some("e-1")),
        ("source", Some("s")),
        ("type", Some("t")),
        ("ce", Some("x")),
        ("ce-id", Some("e-2")),
    ]);
    let job = Job::decode(BODY, &properties, &Admission::default()).expect("a plain job");
    assert!(job.id().starts_with("obj-"), "{}", job.id());
}

#[test]
fn an_attribute_that_is_no_text_gives_way_to_one_that_is() {
    let mut headers = event("ce-", "e-1");
    headers.insert(0, ("ce-id".to_owned(), None));
    assert_eq!(read(&headers).expect("a job").id(), "e-1");
}

#[test]
fn ids_that_had_no_room_in_the_properties_stand_in_for_them() {
    let name = |properties: &Properties| {
        let job = Job::decode(BODY, properties, &Admission::default()).expect("a job");
        (job.id().to_owned(), job.origin().correlation_id.clone())
    };
    let pair = |id: &str, correlation: &str| (id.to_owned(), Some(correlation.to_owned()));
    let both = [("x-message-id", Some("m-1")), ("x-correlation-id", Some("c-1"))];
    assert_eq!(name(&of(&both)), pair("m-1", "c-1"));
    let given =
        Properties { message_id: Some("m-0".into()), correlation_id: Some("c-0".into()), ..Properties::default() };
    assert_eq!(name(&with(given, &both)), pair("m-0", "c-0"), "the properties come first");
    let derived = name(&of(&[])).0;
    let long = "m".repeat(300);
    assert_eq!(name(&of(&[("x-message-id", Some(&long))])), pair(&derived, &long));
    assert_eq!(name(&of(&[("x-message-id", Some("two words"))])), pair(&derived, "two words"));
    assert_eq!(name(&of(&[("x-message-id", Some(&long)), ("x-correlation-id", Some("c-1"))])), pair(&derived, "c-1"));
    assert_eq!(name(&of(&[("as-correlation-id", Some(&long))])), pair(&derived, &long), "as a copy carries it");
    let longer = "m".repeat(MAX_CORRELATION_BYTES + 1);
    for unusable in [None, Some(""), Some(longer.as_str())] {
        assert_eq!(name(&of(&[("x-message-id", unusable), ("x-correlation-id", unusable)])), (derived.clone(), None));
    }
    let named = Properties { message_id: Some("m-0".into()), ..Properties::default() };
    assert_eq!(name(&with(named, &[("x-message-id", Some(&long))])), pair("m-0", "m-0"));
}

#[test]
fn frameworks_are_known_by_their_headers() {
    for (header, framework) in [
        ("NServiceBus.EnclosedMessageTypes", Some(properties::Framework::NServiceBus)),
        ("rbs2-msg-type", Some(properties::Framework::Rebus)),
        ("__TypeId__", None),
    ] {
        assert_eq!(of(&[(header, Some("Kyc.Job"))]).framework, framework, "{header}");
        assert!(Job::decode(BODY, &of(&[(header, Some("Kyc.Job"))]), &Admission::default()).is_ok(), "{header}");
    }
}
