use super::*;
use crate::event::{Event, FailureResult, Report};
use crate::retry::Attempt;

fn refused(body: &str, properties: &Properties) -> Refused {
    let admission = Admission { default_bucket: Some("kyc-uploads".to_owned()), buckets: None };
    *Intake::read(body.as_bytes(), properties, &admission).expect_err(body)
}

fn named(message_id: &str) -> Properties {
    Properties { message_id: Some(message_id.to_owned()), ..Properties::default() }
}

#[test]
fn a_message_that_is_no_job_still_has_a_name() {
    assert_eq!(Origin::of_message(b"x", &named("m-1")).job_id, "m-1");
    let nameless = Origin::of_message(b"x", &Properties::default());
    assert_eq!(nameless.job_id, Origin::of_message(b"x", &Properties::default()).job_id);
    assert_ne!(nameless.job_id, Origin::of_message(b"y", &Properties::default()).job_id);
    assert_eq!(Origin::of_message(b"x", &named("two words")).job_id, nameless.job_id);
}

#[test]
fn what_is_sound_of_a_wrong_job_is_saved() {
    let body = r#"{"id":"kyc-1","key":"a.jpg","version_id":"","etag":"e","metadata":{ "applicant":"42" },"expires_at":"tomorrow"}"#;
    let refused = refused(body, &named("m-1"));
    assert_eq!(refused.origin.job_id, "kyc-1");
    assert_eq!(refused.origin.correlation_id.as_deref(), Some("m-1"));
    assert_eq!(refused.origin.metadata.map(|raw| raw.get().to_owned()).as_deref(), Some(r#"{ "applicant":"42" }"#));
    let image = refused.image.expect("an image");
    assert_eq!(
        (image.bucket.as_str(), image.key.as_str(), image.version_id, image.etag),
        ("kyc-uploads", "a.jpg", None, None)
    );
}

#[test]
fn a_wrong_job_is_not_taken_for_a_message_that_asks_for_nothing() {
    for more in [r#""Event":"s3:TestEvent""#, r#""Records":[]"#, r#""detail-type":"Object Deleted","source":"aws.s3""#]
    {
        let refused = refused(&format!(r#"{{"id":"kyc-1","key":"a",{more}}}"#), &Properties::default());
        assert!(refused.failure.message().contains("unknown field"), "{}", refused.failure);
    }
}

#[test]
fn names_are_saved_from_wherever_they_are_sound() {
    for (body, name) in [
        (r#"{"id":"kyc-1","kye":"a"}"#, "kyc-1"),
        (r#"{"id":"kyc-1","key":"a","metadata":{"a":"\ud800"}}"#, "kyc-1"),
        (r#"{"id":"kyc-1","key":["a"]}"#, "kyc-1"),
        (r#"{"id":"two words","key":"a"}"#, "m-1"),
        (r#"{"id":7,"key":"a"}"#, "m-1"),
        (r#"{"id":"a","id":"b","key":"a"}"#, "m-1"),
        (r#"{"id":"kyc-1","key":"#, "m-1"),
        (r#"{"id":"event-bridge","detail-type":"Object Created","source":"aws.s3"}"#, "m-1"),
        (r#"{"specversion":"1.0","id":"e-1","source":"s","type":"t","data":{"id":"kyc-1","kye":"a"}}"#, "kyc-1"),
        (r#"{"specversion":"1.0","id":"e-1","source":"s","type":"t","data":{"kye":"a"}}"#, "e-1"),
        (r#"{"specversion":"1.0","id":"e 1","source":"s","type":"t"}"#, "m-1"),
    ] {
        assert_eq!(refused(body, &named("m-1")).origin.job_id, name, "{body}");
    }
    let deep = format!(r#"{{"id":"kyc-1","key":"a","metadata":{}{}}}"#, "[".repeat(130), "]".repeat(130));
    assert_eq!(refused(&deep, &named("m-1")).origin.job_id, "kyc-1");
    let nameless = refused(r#"{"id":"two words","key":"a"}"#, &named("two words"));
    assert!(nameless.origin.job_id.starts_with("msg-"));
    let image = refused(r#"{"id":"kyc-1","key":"../b","metadata":[]}"#, &named("m-1")).image;
    assert_eq!(image, None, "a key that cannot be asked for is not repeated");
}

#[test]
fn two_bodies_with_one_name_have_two_events_and_one_body_has_one() {
    let id = |body: &str| {
        let refused = refused(body, &named("m-1"));
        let at = OffsetDateTime::UNIX_EPOCH;
        let result = FailureResult::new(&refused.failure, Report::new(None, Attempt::spent(1), at, 0));
        Event::failure("antispoofd/test", &refused.origin, &result).expect("an event").id
    };
    assert_ne!(id("one"), id("two"));
    assert_ne!(id(r#"{"id":"kyc-1","kye":"a"}"#), id(r#"{"id":"kyc-1","kye":"b"}"#));
    assert_eq!(id("one"), id("one"));
}

#[test]
fn what_a_sender_wrote_is_repeated_shortly_and_without_control_characters() {
    let name = format!("a\u{7}`, expected {}", "x".repeat(3000));
    let body = serde_json::json!({ "key": "a", name: 1 }).to_string();
    let kind = format!("text/{}", "y".repeat(200));
    let typed = Properties { content_type: Some(kind), ..Properties::default() };
    for (body, properties, says) in [
        (body.as_str(), Properties::default(), "unknown field `a`, expected xxx"),
        ("{}", typed, "content_type is \"text/yyy"),
    ] {
        let failure = Job::decode(body.as_bytes(), &properties, &Admission::default()).expect_err("no job");
        let message = failure.message();
        assert!(message.contains(says) && message.contains('…'), "{message}");
        assert!(message.len() < 300 && !message.contains(char::is_control), "{message}");
        assert!(!message.contains(&"x".repeat(64)) && !message.contains(&"y".repeat(64)), "{message}");
    }
}
