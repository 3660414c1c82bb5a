use super::*;
use serde_json::{Value, json};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const HOP: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

fn event(change: impl FnOnce(&mut Value)) -> Value {
    let mut event = json!({
        "specversion": "1.0", "id": "e-1", "source": "/portal", "type": "kyc.selfie.uploaded", "time": "2026-11-22T21:59:59Z",
        "datacontenttype": "application/json", "tenant": 42, "data": { "bucket": "kyc-uploads", "key": "a b.jpg" },
    });
    change(&mut event);
    event
}

fn structured(event: &Value, properties: Properties) -> Result<Job, Failure> {
    let content_type = Some("Application/CloudEvents+JSON; charset=utf-8".to_owned());
    Job::decode(event.to_string().as_bytes(), &Properties { content_type, ..properties }, &Admission::default())
}

fn attributes(pairs: &[(&str, &str)]) -> Attributes {
    let mut attributes = Attributes::default();
    for (name, value) in pairs {
        attributes.set(name, (*value).to_owned());
    }
    attributes
}

fn whole() -> Attributes {
    attributes(&[("specversion", "1.0"), ("id", "e-1"), ("source", "/portal"), ("TYPE", "kyc.selfie.uploaded")])
}

#[test]
fn the_event_s_id_stands_in_for_the_job_s_before_the_message_s() {
    let with_message_id = || Properties { message_id: Some("m-1".to_owned()), ..Properties::default() };
    let job = structured(&event(|_| {}), with_message_id()).expect("a job");
    assert_eq!((job.id(), job.image().key.as_str()), ("e-1", "a b.jpg"));
    assert_eq!(job.origin().correlation_id.as_deref(), Some("m-1"));
    let own = structured(&event(|event| event["data"]["id"] = "kyc-1".into()), with_message_id()).expect("a job");
    assert_eq!(own.id(), "kyc-1");
    let alone = structured(&event(|_| {}), Properties::default()).expect("a job");
    assert_eq!(alone.origin().correlation_id.as_deref(), Some("e-1"));
    let odd = event(|event| event["id"] = "two words".into());
    let refused = structured(&odd, with_message_id()).expect_err("spaces");
    assert!(refused.message().contains("CloudEvent's id"), "{refused}");
    let odd = event(|event| (event["id"], event["data"]["id"]) = ("two words".into(), "kyc-1".into()));
    assert_eq!(structured(&odd, Properties::default()).expect("named by itself").id(), "kyc-1");
}

#[test]
fn extensions_are_carried_where_the_message_says_nothing_itself() {
    let extended = event(|event| {
        event["correlationid"] = "onboarding-42".into();
        event["traceparent"] = TRACE.into();
        event["tracestate"] = "a=1".into();
    });
    let job = structured(&extended, Properties::default()).expect("a job");
    let origin = job.origin();
    assert_eq!(origin.correlation_id.as_deref(), Some("onboarding-42"));
    assert_eq!((origin.traceparent.as_deref(), origin.tracestate.as_deref()), (Some(TRACE), Some("a=1")));
    let said = Properties {
        correlation_id: Some("c-1".to_owned()),
        traceparent: Some(HOP.to_owned()),
        ..Properties::default()
    };
    let job = structured(&extended, said).expect("a job");
    let origin = job.origin();
    assert_eq!(origin.correlation_id.as_deref(), Some("c-1"));
    assert_eq!((origin.traceparent.as_deref(), origin.tracestate.as_deref()), (Some(HOP), None), "one context");
    let odd = event(|event| event["traceparent"] = "a\nb".into());
    assert_eq!(structured(&odd, Properties::default()).expect("a job").origin().traceparent, None);
}

#[test]
fn binary_mode_is_told_by_its_specversion() {
    let read = |attributes: Attributes, content_type: Option<&str>, body: &str| {
        let content_type = content_type.map(str::to_owned);
        let properties = Properties { content_type, cloud_event: attributes, ..Properties::default() };
        Job::decode(body.as_bytes(), &properties, &Admission::default())
    };
    let body = r#"{"bucket":"kyc-uploads","key":"a"}"#;
    for content_type in [None, Some("application/json"), Some("application/vnd.kyc.selfie+json; charset=utf-8")] {
        assert_eq!(read(whole(), content_type, body).expect("a job").id(), "e-1");
    }
    assert_eq!(read(whole(), Some("text/plain"), body).expect_err("text").code(), Code::UnsupportedMessage);
    let part = attributes(&[("specversion", "1.0"), ("id", "e-1"), ("source", "/portal")]);
    let refused = read(part, None, body).expect_err("no type");
    assert!(refused.message().contains("type is missing"), "{refused}");
    let unsaid = attributes(&[("id", "e-1"), ("source", "/portal"), ("type", "t")]);
    assert!(read(unsaid, None, body).expect("a plain job").id().starts_with("obj-"));
    let own = r#"{"bucket":"kyc-uploads","key":"a","id":"kyc-1"}"#;
    assert_eq!(read(whole(), None, own).expect("a job").id(), "kyc-1");
    let refused = read(whole(), None, r#"{"key":7}"#).expect_err("a number");
    assert!(refused.message().starts_with("the CloudEvent's data is not a job"), "{refused}");
    let old = attributes(&[("specversion", "0.3"), ("id", "e-1"), ("source", "/portal"), ("type", "t")]);
    assert_eq!(read(old, None, body).expect_err("old").code(), Code::UnsupportedMessage);
}

#[test]
fn what_is_wrong_with_an_event_is_named() {
    let remove = |name: &'static str| event(|event| drop(event.as_object_mut().expect("an object").remove(name)));
    for (event, code, words) in [
        (remove("id"), Code::MalformedJob, "the CloudEvent's id is missing"),
        (event(|event| event["source"] = "".into()), Code::MalformedJob, "source is no text, empty"),
        (event(|event| event["type"] = 7.into()), Code::MalformedJob, "type is no text"),
        (event(|event| event["specversion"] = "2.0".into()), Code::UnsupportedMessage, "specversion"),
        (event(|event| event["datacontenttype"] = "image/jpeg".into()), Code::UnsupportedMessage, "datacontenttype"),
        (event(|event| event["data"] = Value::Null), Code::MalformedJob, "has no data"),
        (event(|event| event["data"] = json!([1])), Code::MalformedJob, "data is not a job: it is an array"),
        (event(|event| event["data"] = json!("{\"key\":\"a\"}")), Code::MalformedJob, "data is not a job: a value has"),
        (event(|event| event["data"]["kye"] = 1.into()), Code::MalformedJob, "data is not a job: unknown field `kye`"),
        (event(|event| event["correlationid"] = "c".repeat(256).into()), Code::MalformedJob, "correlationid"),
        (json!([]), Code::MalformedJob, "the body is not a job"),
    ] {
        let refused = structured(&event, Properties::default()).expect_err("no job");
        assert_eq!(refused.code(), code, "{event}");
        assert!(refused.message().contains(words), "{event}: {refused}");
    }
    let base64 = json!({ "specversion": "1.0", "id": "e", "source": "s", "type": "t", "data_base64": "e30=" });
    assert!(structured(&base64, Properties::default()).expect_err("bytes").message().contains("data_base64"));
    let plain = Job::decode(event(|_| {}).to_string().as_bytes(), &Properties::default(), &Admission::default());
    assert!(plain.expect_err("not said").message().contains("application/cloudevents+json"));
    for content_type in ["application/cloudevents-batch+json", "application/cloudevents+avro"] {
        let content_type = Some(content_type.to_owned());
        let properties = Properties { content_type, ..Properties::default() };
        let refused = Job::decode(b"[]", &properties, &Admission::default()).expect_err("a batch");
        assert_eq!(refused.code(), Code::UnsupportedMessage);
    }
}
