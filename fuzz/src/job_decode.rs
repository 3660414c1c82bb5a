//! A message becomes a job or a presentable failure.

use antispoof_core::event::{Conclusion, Event};
use antispoof_core::failure::{Class, Stage};
use antispoof_core::job::{Admission, Job, MAX_METADATA_BYTES, Origin, Properties, is_bucket};
use antispoof_core::retry::Attempt;
use serde_json::{Map, Value};
use time::OffsetDateTime;

/// The first byte chooses the properties, the rest is the body.
pub fn job_decode(data: &[u8]) {
    let ([choice], body) = super::control(data);
    let properties = properties(choice);
    let admission = Admission {
        default_bucket: (choice & 16 == 0).then(|| "uploads".to_owned()),
        buckets: (choice & 32 == 0).then(|| vec!["uploads".to_owned()]),
    };
    match Job::decode(body, &properties, &admission) {
        Ok(job) => {
            assert_eq!(body.trim_ascii_start().first(), Some(&b'{'), "a job is an object");
            well_formed(&job);
            survives_being_written(&job, &admission);
            for now in [OffsetDateTime::UNIX_EPOCH, OffsetDateTime::UNIX_EPOCH + time::Duration::days(30_000)] {
                if let Err(failure) = job.admit(&admission, now) {
                    super::presentable(&failure);
                    assert_eq!((failure.code().stage(), failure.code().class()), (Stage::Admit, Class::Permanent));
                }
            }
        }
        Err(failure) => {
            super::presentable(&failure);
            assert_eq!((failure.code().stage(), failure.code().class()), (Stage::Decode, Class::Permanent));
            let origin = Origin::of_message(body, &properties);
            assert!(is_token(&origin.job_id, 128), "{}", origin.job_id);
            let conclusion = Conclusion::failed(&failure, None, Attempt::spent(1), OffsetDateTime::UNIX_EPOCH, 0);
            let event = Event::new("antispoofd/fuzz", &origin, &conclusion).expect("an event of any failure");
            let told: Value = serde_json::from_slice(&event.body).expect("an event is JSON");
            assert_eq!(told["data"]["failure"]["message"], failure.message());
        }
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
        ..Properties::default()
    }
}

fn well_formed(job: &Job) {
    let image = job.image();
    assert!(is_token(job.id(), 128), "{}", job.id());
    assert!(is_bucket(&image.bucket), "{}", image.bucket);
    assert!((1..=1024).contains(&image.key.len()) && !image.key.contains(char::is_control));
    assert!(image.key.split('/').all(|segment| segment != "." && segment != ".."), "{}", image.key);
    assert!(image.version_id.as_ref().is_none_or(|version| is_token(version, 1024)));
    assert!(image.etag.as_ref().is_none_or(|etag| is_token(etag, 256) && !etag.contains('"')));
    if let Some(metadata) = &job.origin().metadata {
        assert!(metadata.get().len() <= MAX_METADATA_BYTES);
        assert!(serde_json::from_str::<Map<String, Value>>(metadata.get()).is_ok() || is_too_deep(metadata.get()));
    }
}

/// What was understood, written down plainly, is understood the same.
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
    assert_eq!((again.id(), again.image()), (job.id(), image));
}

fn is_token(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Raw JSON is passed on without being built, so it may be nested deeper than a `Value` can be.
fn is_too_deep(text: &str) -> bool {
    text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() > 100
}
