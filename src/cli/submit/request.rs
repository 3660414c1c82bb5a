//! A request becomes the body of a job, which the worker's own reader has accepted before it is published.

use super::super::problem::Problem;
use super::uri::S3Uri;
use crate::settings;
use antispoof_core::job::{Admission, Job, MAX_METADATA_BYTES, Properties, stable_key};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// An id has at most 128 characters; 32 of them come from the object, and one stands between.
const LONGEST_PREFIX: usize = 95;

/// A job as the user writes it. Unknown fields are errors, as they are for the worker.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<String>,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Box<RawValue>>,
}

/// A job, ready to be published.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub(super) id: String,
    /// `bucket/key`
    pub(super) object: String,
    pub(super) body: Vec<u8>,
}

/// What the arguments say about every job.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    id_prefix: String,
    metadata: Option<Box<RawValue>>,
    expires_in: Option<Duration>,
    admission: Admission,
}

/// A request is no job.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("read the job: {0}")]
    Json(String),
    #[error("{0}")]
    Refused(String),
    #[error("write the job: {0}")]
    Write(#[from] serde_json::Error),
    #[error("the time after --expires-in is beyond the calendar")]
    Expiry,
}

impl Request {
    /// An object that nothing is known about but its name.
    pub(super) fn object(uri: S3Uri) -> Self {
        Self { bucket: Some(uri.bucket), key: uri.key, ..Self::default() }
    }

    /// An object whose bytes are known by this `ETag`, where the store gave one.
    pub(super) fn pinned(uri: S3Uri, etag: Option<String>) -> Self {
        Self { etag, ..Self::object(uri) }
    }

    /// A line of a list: an S3 URI, or a job as JSON.
    pub(super) fn line(line: &str) -> Result<Self, RequestError> {
        if line.starts_with('{') {
            return serde_json::from_str(line).map_err(|error| RequestError::Json(error.to_string()));
        }
        let uri = line.parse::<S3Uri>();
        uri.map(Self::object)
            .map_err(|error| RequestError::Refused(format!("neither an S3 URI nor a JSON object: {error}")))
    }
}

impl Shape {
    pub(super) fn new(
        id_prefix: Option<&str>,
        metadata: Option<&str>,
        expires_in: Option<Duration>,
        s3: &settings::S3,
    ) -> Result<Self, Problem> {
        let id_prefix = match id_prefix {
            Some(prefix) if prefix.len() > LONGEST_PREFIX || !prefix.bytes().all(|b| b.is_ascii_graphic()) => {
                return Err(Problem::usage(format!(
                    "--id-prefix: at most {LONGEST_PREFIX} characters of printable ASCII without spaces"
                )));
            }
            Some(prefix) => joined(prefix),
            None => format!("{:08x}-", fastrand::u32(..)),
        };
        let metadata = metadata.map(object).transpose()?;
        // Which buckets are allowed is for the worker's settings to say, not for this command's.
        let admission = Admission { default_bucket: s3.default_bucket.clone(), buckets: None };
        Ok(Self { id_prefix, metadata, expires_in, admission })
    }

    /// Completes a request, and has it read as the worker will.
    pub(super) fn ready(&self, request: Request, now: OffsetDateTime) -> Result<Ready, RequestError> {
        let mut request = request;
        if request.metadata.is_none() {
            request.metadata.clone_from(&self.metadata);
        }
        if let (None, Some(after)) = (&request.expires_at, self.expires_in) {
            let at = time::Duration::try_from(after).ok().and_then(|after| now.checked_add(after));
            let at = at.and_then(|at| at.format(&Rfc3339).ok()).ok_or(RequestError::Expiry)?;
            request.expires_at = Some(at);
        }
        let read = |request: &Request| {
            let body = serde_json::to_vec(request)?;
            let job = Job::decode(&body, &Properties::default(), &self.admission)
                .map_err(|failure| RequestError::Refused(failure.message().to_owned()))?;
            Ok::<_, RequestError>((body, job))
        };
        let (_, job) = read(&request)?;
        let image = job.image();
        // What was left out must not depend on the worker's settings.
        request.bucket = Some(image.bucket.clone());
        if request.id.is_none() {
            let pin = image.version_id.as_deref().or(image.etag.as_deref()).unwrap_or_default();
            request.id = Some(format!("{}{}", self.id_prefix, stable_key(&[&image.bucket, &image.key, pin])));
        }
        let (body, job) = read(&request)?;
        Ok(Ready { id: job.id().to_owned(), object: format!("{}/{}", job.image().bucket, job.image().key), body })
    }
}

/// With a hyphen behind it, unless it is empty or ends with a separator of its own.
fn joined(prefix: &str) -> String {
    match prefix.bytes().last() {
        Some(last) if last.is_ascii_alphanumeric() => format!("{prefix}-"),
        _ => prefix.to_owned(),
    }
}

fn object(text: &str) -> Result<Box<RawValue>, Problem> {
    let wrong =
        |what: String| Problem::usage(format!("--metadata: {what}")).hint("write --metadata '{\"applicant\": \"42\"}'");
    let value: Box<RawValue> =
        serde_json::from_str(text.trim()).map_err(|error| wrong(format!("not JSON: {error}")))?;
    if !value.get().starts_with('{') {
        return Err(wrong("not a JSON object".to_owned()));
    }
    if value.get().len() > MAX_METADATA_BYTES {
        return Err(wrong(format!("{} bytes; at most {MAX_METADATA_BYTES}", value.get().len())));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(prefix: &str) -> Shape {
        Shape {
            id_prefix: prefix.to_owned(),
            metadata: None,
            expires_in: None,
            admission: Admission { default_bucket: Some("bucket".to_owned()), buckets: None },
        }
    }

    fn ready(shape: &Shape, line: &str) -> Result<Ready, RequestError> {
        shape.ready(Request::line(line)?, OffsetDateTime::UNIX_EPOCH)
    }

    fn json(ready: &Ready) -> serde_json::Value {
        serde_json::from_slice(&ready.body).unwrap()
    }

    #[test]
    fn the_same_object_under_the_same_prefix_is_the_same_job() {
        let first = ready(&shape("p-"), "s3://bucket/a.jpg").unwrap();
        assert!(first.id.starts_with("p-") && first.id.len() == 34, "{}", first.id);
        assert_eq!(first.object, "bucket/a.jpg");
        assert_eq!(json(&first), serde_json::json!({ "id": first.id, "bucket": "bucket", "key": "a.jpg" }));
        assert_eq!(ready(&shape("p-"), r#"{"key":"a.jpg"}"#).unwrap().id, first.id);
        assert_ne!(ready(&shape("p-"), "s3://bucket/b.jpg").unwrap().id, first.id);
        assert_ne!(ready(&shape("p-"), r#"{"key":"a.jpg","etag":"x"}"#).unwrap().id, first.id);
        assert_ne!(ready(&shape("q-"), "s3://bucket/a.jpg").unwrap().id, first.id);
    }

    #[test]
    fn a_prefix_is_joined_by_a_hyphen_unless_it_brings_a_separator() {
        for (prefix, start) in
            [("kyc", "kyc-"), ("kyc-", "kyc-"), ("kyc:", "kyc:"), ("a/b_", "a/b_"), ("2026", "2026-"), ("", "")]
        {
            assert_eq!(joined(prefix), start);
        }
        let longest = "p".repeat(LONGEST_PREFIX);
        assert_eq!(ready(&shape(&joined(&longest)), "s3://bucket/a.jpg").unwrap().id.len(), 128);
    }

    #[test]
    fn what_a_job_says_itself_wins_over_the_arguments() {
        let shape = Shape {
            metadata: Some(object(r#"{"a": 1}"#).unwrap()),
            expires_in: Some(Duration::from_hours(1)),
            ..shape("p-")
        };
        let plain = json(&ready(&shape, "s3://bucket/a.jpg").unwrap());
        assert_eq!((&plain["metadata"]["a"], &plain["expires_at"]), (&1.into(), &"1970-01-01T01:00:00Z".into()));
        let own = r#"{"id":"mine","key":"a","expires_at":"2030-01-01T00:00:00Z","metadata":{"b": 1.50}}"#;
        let own = ready(&shape, own).unwrap();
        assert_eq!(own.id, "mine");
        assert_eq!(json(&own)["expires_at"], "2030-01-01T00:00:00Z");
        assert!(String::from_utf8(own.body).unwrap().contains(r#"{"b": 1.50}"#), "metadata is passed on untouched");
    }

    #[test]
    fn a_line_that_is_no_job_is_refused_in_the_words_of_the_worker() {
        for (line, why) in [
            ("a.jpg", "neither an S3 URI nor a JSON object"),
            ("{", "EOF"),
            (r#"{"key":"a","colour":"red"}"#, "unknown field `colour`"),
            ("s3://bucket/a/../b", "\"..\""),
            (r#"{"id":"a b","key":"k"}"#, "id must be"),
        ] {
            let error = ready(&shape("p-"), line).unwrap_err().to_string();
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    #[test]
    fn metadata_is_an_object_of_bounded_size() {
        assert!(object("[1]").is_err());
        assert!(object("{").is_err());
        assert!(object(&format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_METADATA_BYTES))).is_err());
    }
}
