//! Terminal events: what came of a job, as a CloudEvents 1.0 JSON event with an id that every repetition shares.

use crate::failure::{Code, Failure, quoted};
use crate::image::{Facts, ImageRef, NULL_VERSION};
use crate::job::{Origin, short_hash};
use crate::retry::Attempt;
use crate::verdict::{Outcome, Verdict};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The `datacontenttype` and the AMQP `content_type` of an event.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

const VERDICT_TYPE: &str = "antispoofd.verdict.v1";
const FAILURE_TYPE: &str = "antispoofd.failure.v1";

/// What is known of the image of a job; grows while the job goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageReport {
    /// As in the job.
    pub bucket: String,
    /// As in the job.
    pub key: String,
    /// As in the job, else as S3 said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Without its quotes: as S3 said, else as in the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// By the bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Length of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Pixels, before any EXIF rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels, before any EXIF rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// `algorithm:hex` of the bytes that were judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl ImageReport {
    /// What the job itself says.
    pub fn of(image: &ImageRef) -> Self {
        Self {
            bucket: image.bucket.clone(),
            key: image.key.clone(),
            version_id: image.version_id.clone(),
            etag: image.etag.clone(),
            ..Self::default()
        }
    }

    /// Adds what the header said.
    pub fn learn(&mut self, facts: &Facts) {
        self.format = Some(facts.format.name().to_owned());
        self.width = Some(facts.width);
        self.height = Some(facts.height);
    }
}

/// How the result came about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Attempts spent on the job, this one included.
    pub attempts: u32,
    /// Milliseconds from the start of the last call to the end of its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_duration_ms: Option<u64>,
    /// Status of the last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The vendor's own id of the call, where it gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// True when no call was made because the verdict was known.
    pub reused: bool,
    /// Calls for this job that may have been paid for without a verdict.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub in_doubt: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What came of a job: all that is needed to publish it again, word for word. A ledger keeps it; it holds no image byte.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Stored")]
pub enum JobResult {
    /// The vendor gave a verdict.
    Verdict(VerdictResult),
    /// The job ended without one.
    Failure(FailureResult),
}

/// The vendor's verdict on a job.
#[derive(Clone, Debug, PartialEq)]
pub struct VerdictResult {
    /// What is to be done with it.
    pub outcome: Outcome,
    /// What the vendor said.
    pub verdict: Verdict,
    /// Image, check, time.
    pub report: Report,
}

/// The terminal failure of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct FailureResult {
    /// Why there is no verdict.
    pub code: Code,
    /// The explanation.
    pub message: String,
    /// Image, check, time. The status of the answer that was the failure is the check's.
    pub report: Report,
}

/// What a verdict and a failure both tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The image; `None` when the message was no job.
    pub image: Option<ImageReport>,
    /// How.
    pub check: Check,
    /// When, in milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// How often the job had been replayed from the parked queue.
    pub replay: u32,
    /// When the job had ended in a failure before it was sent once more, in milliseconds since 1970.
    pub after_ms: Option<i64>,
}

/// The form in which a ledger keeps a result. Records of earlier versions have it, too.
#[derive(Deserialize)]
struct Stored {
    ending: StoredEnding,
    image: Option<ImageReport>,
    check: Check,
    at_ms: i64,
    replay: u32,
    #[serde(default)]
    after_ms: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredEnding {
    Verdict { outcome: Outcome, verdict: Verdict },
    Failure { code: String, message: String },
}

/// [`Stored`] without a copy.
#[derive(Serialize)]
struct StoredRef<'a> {
    ending: StoredEndingRef<'a>,
    image: Option<&'a ImageReport>,
    check: &'a Check,
    at_ms: i64,
    replay: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_ms: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum StoredEndingRef<'a> {
    Verdict { outcome: Outcome, verdict: &'a Verdict },
    Failure { code: &'static str, message: &'a str, http_status: Option<u16> },
}

/// A stored failure has a code that this version does not know: a newer one wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no failure code of this version", quoted(.0))]
struct UnknownCode(String);

// === impl Report ===

impl Report {
    /// Of a job that has spent so many attempts; nothing is known of its check beyond that.
    pub fn new(image: Option<ImageReport>, attempts: Attempt, at: OffsetDateTime, replay: u32) -> Self {
        let check = Check { attempts: attempts.count(), ..Check::default() };
        Self { image, check, at_ms: millis(at), replay, after_ms: None }
    }
}

// === impl JobResult ===

impl JobResult {
    /// What a verdict and a failure both tell.
    pub fn report(&self) -> &Report {
        match self {
            Self::Verdict(verdict) => &verdict.report,
            Self::Failure(failure) => &failure.report,
        }
    }

    /// The same, to be changed.
    pub fn report_mut(&mut self) -> &mut Report {
        match self {
            Self::Verdict(verdict) => &mut verdict.report,
            Self::Failure(failure) => &mut failure.report,
        }
    }

    /// True for a verdict.
    pub fn is_verdict(&self) -> bool {
        matches!(self, Self::Verdict(_))
    }
}

impl Serialize for JobResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Report { image, check, at_ms, replay, after_ms } = self.report();
        let ending = match self {
            Self::Verdict(VerdictResult { outcome, verdict, .. }) => {
                StoredEndingRef::Verdict { outcome: *outcome, verdict }
            }
            Self::Failure(FailureResult { code, message, .. }) => {
                StoredEndingRef::Failure { code: code.name(), message, http_status: check.http_status }
            }
        };
        let (image, (at_ms, replay, after_ms)) = (image.as_ref(), (*at_ms, *replay, *after_ms));
        StoredRef { ending, image, check, at_ms, replay, after_ms }.serialize(serializer)
    }
}

impl TryFrom<Stored> for JobResult {
    type Error = UnknownCode;

    fn try_from(stored: Stored) -> Result<Self, UnknownCode> {
        let Stored { ending, image, check, at_ms, replay, after_ms } = stored;
        let report = Report { image, check, at_ms, replay, after_ms };
        Ok(match ending {
            StoredEnding::Verdict { outcome, verdict } => Self::Verdict(VerdictResult { outcome, verdict, report }),
            StoredEnding::Failure { code, message } => {
                let code = Code::from_name(&code).ok_or(UnknownCode(code))?;
                Self::Failure(FailureResult { code, message, report })
            }
        })
    }
}

// === impl FailureResult ===

impl FailureResult {
    /// A terminal failure. Status and request id of the failure are those of the check.
    pub fn new(failure: &Failure, report: Report) -> Self {
        let mut result = Self { code: failure.code(), message: failure.message().to_owned(), report };
        let check = &mut result.report.check;
        check.http_status = failure.http_status();
        check.request_id = failure.request_id().map(str::to_owned);
        result
    }

    /// The failure that it was.
    pub fn failure(&self) -> Failure {
        let failure = Failure::new(self.code, self.message.clone());
        match self.report.check.http_status {
            Some(status) => failure.with_status(status),
            None => failure,
        }
    }
}

/// Milliseconds since 1970 (UTC).
pub fn millis(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

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
