//! Terminal events: what came of a job, as a CloudEvents 1.0 JSON event with an id that every repetition shares.

mod result;
mod stored;

pub use result::{Check, FailureResult, ImageReport, JobResult, Report, SentImage, VerdictResult, millis};

use crate::image::NULL_VERSION;
use crate::job::{Origin, short_hash};
use crate::verdict::Outcome;
use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The `datacontenttype` and the AMQP `content_type` of an event.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

const VERDICT_TYPE: &str = "antispoofd.verdict.v1";
const FAILURE_TYPE: &str = "antispoofd.failure.v1";

/// An event, ready to be published.
#[derive(Clone, Debug)]
pub struct Event {
    /// The same for every repetition of the same end of the same job.
    pub id: String,
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `type`.
    pub kind: &'static str,
    /// `verdict.<outcome>` or `failure.<code>`.
    pub routing_key: String,
    /// The job's id.
    pub subject: String,
    /// When it ended, RFC 3339.
    pub time: String,
    /// The same in seconds since 1970, for the AMQP property.
    pub timestamp: u64,
    /// The job's correlation id, else its message id.
    pub correlation_id: Option<String>,
    /// Carried through.
    pub traceparent: Option<String>,
    /// Carried through.
    pub tracestate: Option<String>,
    /// The whole event as JSON.
    pub body: Vec<u8>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    r#type: &'static str,
    subject: &'a str,
    time: &'a str,
    datacontenttype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlationid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<&'a str>,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    job_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spoof_detected: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a ImageReport>,
    check: &'a Check,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct FailureData<'a> {
    code: &'a str,
    stage: &'a str,
    class: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
}

impl Event {
    /// The event of a result.
    pub fn new(source: &str, origin: &Origin, result: &JobResult) -> Result<Self, serde_json::Error> {
        match result {
            JobResult::Verdict(verdict) => Self::verdict(source, origin, verdict),
            JobResult::Failure(failure) => Self::failure(source, origin, failure),
        }
    }

    /// The event of a verdict.
    pub fn verdict(source: &str, origin: &Origin, result: &VerdictResult) -> Result<Self, serde_json::Error> {
        let data = Data {
            outcome: Some(result.outcome),
            spoof_detected: Some(result.verdict.spoof_detected),
            accuracy: Some(result.verdict.accuracy),
            ..Data::of(origin, &result.report)
        };
        let routing_key = format!("verdict.{}", result.outcome.name());
        Self::of(source, origin, &result.report, VERDICT_TYPE, routing_key, data)
    }

    /// The event of a terminal failure.
    pub fn failure(source: &str, origin: &Origin, result: &FailureResult) -> Result<Self, serde_json::Error> {
        let failure = FailureData {
            code: result.code.name(),
            stage: result.code.stage().name(),
            class: result.code.class().name(),
            message: &result.message,
            http_status: result.report.check.http_status,
        };
        let data = Data { failure: Some(failure), ..Data::of(origin, &result.report) };
        let routing_key = format!("failure.{}", result.code);
        Self::of(source, origin, &result.report, FAILURE_TYPE, routing_key, data)
    }

    fn of(
        source: &str,
        origin: &Origin,
        report: &Report,
        kind: &'static str,
        routing_key: String,
        data: Data<'_>,
    ) -> Result<Self, serde_json::Error> {
        let id = event_id(origin, report);
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(report.at_ms) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let time = at.format(&Rfc3339).unwrap_or_default();
        let body = serde_json::to_vec(&Envelope {
            specversion: "1.0",
            id: &id,
            source,
            r#type: kind,
            subject: &origin.job_id,
            time: &time,
            datacontenttype: "application/json",
            correlationid: origin.correlation_id.as_deref(),
            traceparent: origin.traceparent.as_deref(),
            tracestate: origin.tracestate.as_deref(),
            data,
        })?;
        Ok(Self {
            id,
            source: source.to_owned(),
            kind,
            routing_key,
            subject: origin.job_id.clone(),
            time,
            timestamp: u64::try_from(at.unix_timestamp()).unwrap_or_default(),
            correlation_id: origin.correlation_id.clone(),
            traceparent: origin.traceparent.clone(),
            tracestate: origin.tracestate.clone(),
            body,
        })
    }
}

impl<'a> Data<'a> {
    /// What every event has.
    fn of(origin: &'a Origin, report: &'a Report) -> Self {
        Self {
            job_id: &origin.job_id,
            outcome: None,
            spoof_detected: None,
            accuracy: None,
            failure: None,
            image: report.image.as_ref(),
            check: &report.check,
            metadata: origin.metadata.as_deref(),
        }
    }
}

/// Attempt-independent: the job, what was judged (by version or `ETag`), and which generation it is. A repetition shares it; the same job id with
/// other content, a replay, and a job that is sent once more after a failure do not, nor do two messages that are no jobs.
fn event_id(origin: &Origin, report: &Report) -> String {
    let empty = ImageReport::default();
    let image = report.image.as_ref().unwrap_or(&empty);
    let version = image.version_id.as_deref().filter(|version| *version != NULL_VERSION);
    let content = version.or(image.etag.as_deref()).unwrap_or_default();
    let (replay, after) = (report.replay.to_be_bytes(), report.after_ms.unwrap_or_default().to_be_bytes());
    let mut parts: Vec<&[u8]> = vec![
        b"event.v1",
        origin.job_id.as_bytes(),
        image.bucket.as_bytes(),
        image.key.as_bytes(),
        content.as_bytes(),
        &replay,
        &after,
    ];
    parts.extend(origin.refused.as_ref().map(String::as_bytes));
    short_hash("", &parts)
}

#[cfg(test)]
mod tests;
