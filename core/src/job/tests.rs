use super::names::is_id;
use super::*;
use crate::failure::{Code, Failure};
use proptest::prelude::*;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

mod bodies;
mod cloud_events;
mod dialects;
mod notifications;
mod refusals;

fn decode(body: &str) -> Result<Job, Failure> {
    Job::decode(body.as_bytes(), &Properties::default(), &Admission::default())
}

#[test]
fn the_example_of_the_contract_is_a_job() {
    let job = decode(
        r#"{"id":"kyc-7f3a","bucket":"kyc-uploads","key":"2026/11/7f3a/selfie.jpg","version_id":"v1","etag":"\"abc\"",
            "expires_at":"2026-11-22T22:00:00Z","metadata":{ "applicant": "42", "n": 1.50 }}"#,
    )
    .expect("a job");
    assert_eq!(job.id(), "kyc-7f3a");
    assert_eq!(job.image().etag.as_deref(), Some("abc"));
    assert_eq!(
        job.origin().metadata.as_ref().map(|raw| raw.get()),
        Some(r#"{ "applicant": "42", "n": 1.50 }"#),
        "returned as it was written"
    );
}

#[test]
fn ids_are_given_or_the_message_s_or_derived() {
    let body = r#"{"bucket":"kyc-uploads","key":"a.jpg"}"#;
    let with = |properties: Properties| Job::decode(body.as_bytes(), &properties, &Admission::default());
    let by_message = with(Properties { message_id: Some("m-1".to_owned()), ..Properties::default() }).expect("a job");
    assert_eq!(by_message.id(), "m-1");
    assert_eq!(by_message.origin().correlation_id.as_deref(), Some("m-1"));
    let derived = with(Properties::default()).expect("a job");
    assert_eq!(derived.id(), decode(body).expect("a job").id(), "stable");
    let pinned = decode(r#"{"bucket":"kyc-uploads","key":"a.jpg","version_id":"2"}"#).expect("a job");
    assert_ne!(derived.id(), pinned.id());
    let bad = with(Properties { message_id: Some("two words".to_owned()), ..Properties::default() });
    assert!(bad.expect_err("spaces").message().contains("message_id"));
}

#[test]
fn mistakes_are_named_with_their_remedy() {
    for (body, words) in [
        ("", &["not JSON"][..]),
        ("{", &["not JSON", "line 1"]),
        ("[]", &["not a job"]),
        (r#"{"bucket":"kyc-uploads"}"#, &["missing field `key`"]),
        (r#"{"key":"a"}"#, &["bucket", "s3.default_bucket"]),
        (r#"{"bucket":"kyc-uploads","key":"a","kye":1}"#, &["unknown field `kye`", "column"]),
        (r#"{"bucket":"kyc-uploads","key":7}"#, &["wrong type", "expected a string"]),
        (r#"{"bucket":"kyc-uploads","key":"a","key":"b"}"#, &["duplicate field `key`"]),
        (r#"{"bucket":"Kyc","key":"a"}"#, &["bucket:"]),
        (r#"{"bucket":"a..b","key":"a"}"#, &["bucket:"]),
        (r#"{"bucket":"a/b","key":"a"}"#, &["bucket:"]),
        (r#"{"bucket":"kyc-uploads","key":""}"#, &["key:", "1024"]),
        (r#"{"bucket":"kyc-uploads","key":"a/../../other/b"}"#, &["key:", ".."]),
        (r#"{"bucket":"kyc-uploads","key":"a\nb"}"#, &["key:", "control"]),
        (r#"{"bucket":"kyc-uploads","key":"a","version_id":""}"#, &["version_id"]),
        (r#"{"bucket":"kyc-uploads","key":"a","etag":"a b"}"#, &["etag"]),
        (r#"{"bucket":"kyc-uploads","key":"a","etag":"\"a\", \"b\""}"#, &["etag"]),
        (r#"{"bucket":"kyc-uploads","key":"a","expires_at":"tomorrow"}"#, &["expires_at", "RFC 3339"]),
        (r#"{"bucket":"kyc-uploads","key":"a","metadata":[1]}"#, &["metadata", "object"]),
        (r#"{"bucket":"kyc-uploads","key":"a","metadata":{"a":"\ud800"}}"#, &["metadata", "surrogate", "byte 6"]),
        (r#"{"bucket":"kyc-uploads","key":"\ud800"}"#, &["escape", "column"]),
        (r#"{"bucket":"kyc-uploads","key":"a","id":"two words"}"#, &["id", "128"]),
        (r#"{"bucket":"kyc-uploads","key":"a","id":"é"}"#, &["id", "ASCII"]),
        (r#" ["id","kyc-uploads","a",null,null,null,null]"#, &["array", "object"]),
    ] {
        let failure = decode(body).expect_err(body);
        assert_eq!(failure.code(), Code::MalformedJob, "{body}");
        for word in words {
            assert!(failure.message().contains(word), "{body}: {failure}");
        }
    }
}

#[test]
fn a_complaint_never_shows_a_value() {
    for body in [
        r#""{\"key\":\"users/jane@example.com/selfie.jpg\"}""#,
        r#"{"bucket":"kyc-uploads","key":"a","metadata":{},"id":["jane@example.com"]}"#,
        r#""data:image/jpeg;base64,/9j/jane@example.com""#,
    ] {
        let failure = decode(body).expect_err("not a job");
        assert!(!failure.message().contains("jane"), "{failure}");
    }
}

#[test]
fn limits_are_exact() {
    let with_metadata = |n: usize| {
        let metadata = format!(r#"{{"a":"{}"}}"#, "x".repeat(n - 8));
        assert_eq!(metadata.len(), n);
        decode(&format!(r#"{{"bucket":"kyc-uploads","key":"a","metadata":{metadata}}}"#))
    };
    assert!(with_metadata(MAX_METADATA_BYTES).is_ok());
    assert!(with_metadata(MAX_METADATA_BYTES + 1).is_err());
    let with_key = |n: usize| decode(&format!(r#"{{"bucket":"kyc-uploads","key":"{}"}}"#, "k".repeat(n)));
    assert!(with_key(1024).is_ok());
    assert!(with_key(1025).is_err());
    let with_id = |n: usize| decode(&format!(r#"{{"bucket":"kyc-uploads","key":"a","id":"{}"}}"#, "k".repeat(n)));
    assert!(with_id(128).is_ok());
    assert!(with_id(129).is_err());
    assert!(decode(&" ".repeat(65 * 1024)).expect_err("long").message().contains("names an image"));
}

#[test]
fn content_types_other_than_json_are_refused_before_the_body_is_read() {
    let with = |content_type: &str| {
        let properties = Properties { content_type: Some(content_type.to_owned()), ..Properties::default() };
        Job::decode(br#"{"bucket":"kyc-uploads","key":"a"}"#, &properties, &Admission::default())
    };
    assert!(with("application/json").is_ok());
    assert!(with("Application/JSON; charset=utf-8").is_ok());
    assert_eq!(with("image/jpeg").expect_err("an image").code(), Code::UnsupportedMessage);
}

#[test]
fn admission_looks_at_bucket_and_clock() {
    let job = decode(r#"{"bucket":"kyc-uploads","key":"a","expires_at":"2026-11-22T22:00:00+02:00"}"#).expect("a job");
    let at = |text: &str| OffsetDateTime::parse(text, &Rfc3339).expect("a time");
    let any = Admission::default();
    assert_eq!(job.admit(&any, at("2026-11-22T19:59:59Z")), Ok(()));
    assert_eq!(job.admit(&any, at("2026-11-22T20:00:00Z")).expect_err("late").code(), Code::JobExpired);
    let others = Admission { buckets: Some(vec!["other-bucket".to_owned()]), ..Admission::default() };
    assert_eq!(job.admit(&others, at("2026-01-01T00:00:00Z")).expect_err("other").code(), Code::BucketNotAllowed);
}

proptest! {
    #[test]
    fn decoding_never_panics(
        start in prop::sample::select(vec![&b""[..], b"\x1f\x8b\x08", b"\x78\x9c", b"\0Sw\xa1", b"\0Su\xa0", b"\"", b"\xef\xbb\xbf"]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
        content_type in prop::option::of(".*"),
        content_encoding in prop::option::of(prop::sample::select(vec!["gzip", "deflate", "br", "gzip, br"])),
    ) {
        let body = [start, &rest].concat();
        let content_encoding = content_encoding.map(str::to_owned);
        let properties = Properties { content_type, content_encoding, ..Properties::default() };
        let _intake = Intake::read(&body, &properties, &Admission::default());
        let _origin = Origin::of_message(&body, &properties);
    }

    #[test]
    fn decoding_structured_noise_never_panics(id in ".*", bucket in "[a-z0-9.-]{0,70}", key in ".*", etag in ".*", at in ".*") {
        let body = serde_json::json!({"id": id, "bucket": bucket, "key": key, "etag": etag, "expires_at": at});
        if let Ok(job) = Job::decode(body.to_string().as_bytes(), &Properties::default(), &Admission::default()) {
            prop_assert!(is_id(job.id()) && is_bucket(&job.image().bucket));
        }
    }
}

#[test]
fn a_trace_id_is_that_of_a_sound_traceparent() {
    let body = r#"{"bucket":"kyc-uploads","key":"a.jpg"}"#;
    let trace_id = |traceparent: &str| {
        let properties = Properties { traceparent: Some(traceparent.to_owned()), ..Properties::default() };
        let job = Job::decode(body.as_bytes(), &properties, &Admission::default()).expect("a job");
        job.origin().trace_id().map(str::to_owned)
    };
    let sound = "0af7651916cd43dd8448eb211c80319c";
    assert_eq!(trace_id(&format!("00-{sound}-b7ad6b7169203331-01")).as_deref(), Some(sound));
    assert_eq!(trace_id(&format!("01-{sound}-b7ad6b7169203331-01-more")).as_deref(), Some(sound), "a later version");
    for unsound in [
        "",
        sound,
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "jane.doe@example.com",
    ] {
        assert_eq!(trace_id(unsound), None, "{unsound}");
    }
}
