//! A message becomes a job or a presentable failure.

use antispoof_core::event::{Event, FailureResult, ImageReport, Report};
use antispoof_core::failure::{Class, Code, Failure, Stage};
use antispoof_core::image::ImageRef;
use antispoof_core::job::{
    Admission, Attributes, Intake, Job, MAX_METADATA_BYTES, MAX_METADATA_DEPTH, Origin, Properties, Refused, is_bucket,
};
use antispoof_core::retry::Attempt;
use serde_json::{Map, Value};
use time::OffsetDateTime;

/// The first byte chooses the properties, the rest is the body.
pub fn job_decode(data: &[u8]) {
    let ([choice], body) = super::control(data);
    let properties = Properties { content_encoding: encoding(body), ..properties(choice) };
    let admission = Admission {
        default_bucket: (choice & 16 == 0).then(|| "uploads".to_owned()),
        buckets: (choice & 32 == 0).then(|| vec!["uploads".to_owned()]),
    };
    match Intake::read(body, &properties, &admission) {
        Ok(Intake::Job(job)) => {
            if properties.content_encoding.is_none() && body.first().is_some_and(|&byte| byte != 0) {
                let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
                assert!(text.starts_with(b"{") || text.starts_with(b"\""), "a job is an object, or one in a string");
            }
            sound(&job, &admission);
        }
        Ok(Intake::Several(bodies)) => {
            assert!(bodies.len() > 1, "one job is no several");
            for body in bodies {
                // As the messages are published: under no name.
                match Intake::read(&body, &Properties::default(), &admission) {
                    Ok(Intake::Job(job)) => sound(&job, &admission),
                    Err(refused) => told(*refused, &body),
                    Ok(other) => panic!("a part is a job or wrong: {other:?}"),
                }
            }
        }
        Ok(Intake::Nothing(nothing)) => {
            assert!(!nothing.what().is_empty() && nothing.what().len() < 200);
            assert!(!nothing.what().contains(char::is_control), "{}", nothing.what());
        }
        Err(refused) => told(*refused, body),
    }
}

fn sound(job: &Job, admission: &Admission) {
    well_formed(job);
    survives_being_written(job, admission);
    for now in [OffsetDateTime::UNIX_EPOCH, OffsetDateTime::UNIX_EPOCH + time::Duration::days(30_000)] {
        if let Err(failure) = job.admit(admission, now) {
            super::presentable(&failure);
            assert_eq!((failure.code().stage(), failure.code().class()), (Stage::Admit, Class::Permanent));
        }
    }
    let nothing_wrong = Failure::new(Code::JobExpired, "an end");
    published_as(&nothing_wrong, job.origin(), Some(job.image()));
}

fn told(refused: Refused, body: &[u8]) {
    let Refused { failure, origin, image } = refused;
    super::presentable(&failure);
    assert_eq!((failure.code().stage(), failure.code().class()), (Stage::Decode, Class::Permanent));
    assert!(is_token(&origin.job_id, 128), "{}", origin.job_id);
    assert!(origin.refused.is_some(), "its event is its own: {}", body.escape_ascii());
    if let Some(image) = &image {
        assert!(is_bucket(&image.bucket) && is_key(&image.key));
    }
    published_as(&failure, &origin, image.as_ref());
}

/// Its event can be read.
fn published_as(failure: &Failure, origin: &Origin, image: Option<&ImageRef>) {
    let at = OffsetDateTime::UNIX_EPOCH;
    let report = Report::new(image.map(ImageReport::of), Attempt::spent(1), at, 0);
    let event = Event::failure("antispoofd/fuzz", origin, &FailureResult::new(failure, report))
        .expect("an event of any failure");
    let event: Value = serde_json::from_slice(&event.body).expect("an event is JSON");
    assert_eq!(event["data"]["failure"]["message"], failure.message());
    assert!(origin.traceparent.as_ref().is_none_or(|trace| trace.len() <= 512));
}

/// Most often what the body is.
fn encoding(body: &[u8]) -> Option<String> {
    match body {
        [0x1f, ..] => Some("gzip".to_owned()),
        [0x78 | 0xab, ..] => Some("deflate".to_owned()),
        [b'Z', ..] => Some("gzip, deflate".to_owned()),
        _ => None,
    }
}

fn properties(choice: u8) -> Properties {
    let content_type = match choice % 4 {
        0 => None,
        1 => Some("application/json; charset=utf-8"),
        2 => Some("text/plain"),
        _ => Some("application/cloudevents+json"),
    };
    let message_id = match choice / 4 % 4 {
        0 => None,
        1 => Some("m-1"),
        2 => Some("with spaces\nand more"),
        _ => Some(""),
    };
    Properties {
        content_type: content_type.map(str::to_owned),
        message_id: message_id.map(str::to_owned),
        cloud_event: if choice & 64 == 0 { Attributes::default() } else { attributes(choice) },
        ..Properties::default()
    }
}

/// Those of binary mode; one may be missing.
fn attributes(choice: u8) -> Attributes {
    let mut attributes = Attributes::default();
    for (name, value) in
        [("specversion", "1.0"), ("source", "/portal"), ("type", "kyc.selfie"), ("traceparent", "00-a")]
    {
        attributes.set(name, value.to_owned());
    }
    if choice & 128 == 0 {
        attributes.set("id", "e-1".to_owned());
    }
    attributes
}

fn well_formed(job: &Job) {
    let image = job.image();
    assert!(is_token(job.id(), 128), "{}", job.id());
    assert!(is_bucket(&image.bucket), "{}", image.bucket);
    assert!(is_key(&image.key), "{}", image.key);
    assert!(image.version_id.as_ref().is_none_or(|version| is_token(version, 1024)));
    assert!(image.etag.as_ref().is_none_or(|etag| is_token(etag, 256) && !etag.contains('"')));
    if let Some(metadata) = &job.origin().metadata {
        assert!(metadata.get().len() <= MAX_METADATA_BYTES);
        let read: Value = serde_json::from_str(metadata.get()).expect("any parser can read it");
        assert!(read.is_object() && depth(&read) <= MAX_METADATA_DEPTH);
    }
}

/// What was understood, written down plainly, is understood the same; but for the second reading of a notification's key, of which a plain job has none.
fn survives_being_written(job: &Job, admission: &Admission) {
    let image = job.image();
    let mut plain = Map::new();
    plain.insert("id".to_owned(), job.id().into());
    plain.insert("bucket".to_owned(), image.bucket.clone().into());
    plain.insert("key".to_owned(), image.key.clone().into());
    for (name, value) in [("version_id", &image.version_id), ("etag", &image.etag)] {
        if let Some(value) = value {
            plain.insert(name.to_owned(), value.clone().into());
        }
    }
    let written = serde_json::to_vec(&plain).expect("JSON");
    let again = Job::decode(&written, &Properties::default(), admission).expect("a job written plainly");
    let read_once = ImageRef { other_key: None, ..image.clone() };
    assert_eq!((again.id(), again.image()), (job.id(), &read_once));
}

fn is_token(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_key(key: &str) -> bool {
    (1..=1024).contains(&key.len())
        && !key.contains(char::is_control)
        && key.split('/').all(|segment| segment != "." && segment != "..")
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
