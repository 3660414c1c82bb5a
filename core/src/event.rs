//! Terminal events: what came of a job, as a CloudEvents 1.0 JSON event with an id that every repetition shares.

use crate::failure::{Code, Failure};
use crate::image::{Facts, ImageRef, NULL_VERSION};
use crate::job::{Origin, short_hash};
use crate::retry::Attempt;
use crate::verdict::{Outcome, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The `datacontenttype` and the AMQP `content_type` of an event.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

const VERDICT_TYPE: &str = "antispoofd.verdict.v1";
const FAILURE_TYPE: &str = "antispoofd.failure.v1";

/// What is known of the image that was meant; grows while the job goes on.
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

/// How the answer was come by.
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
    /// True when no call was made because the answer was known.
    pub reused: bool,
    /// Calls for this job that may have been paid for without a verdict.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub in_doubt: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A verdict or a terminal failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The vendor judged.
    Verdict {
        /// What is to be done with it.
        outcome: Outcome,
        /// What it said.
        verdict: Verdict,
    },
    /// It will not be judged.
    Failure {
        /// The code's name.
        code: String,
        /// The explanation.
        message: String,
        /// Status of the answer that was the failure.
        http_status: Option<u16>,
    },
}

/// What came of a job: all that is needed to say it again, word for word. This is what a ledger keeps; it holds no image byte.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conclusion {
    /// The end.
    pub ending: Ending,
    /// The image; `None` when the message was no job.
    pub image: Option<ImageReport>,
    /// How.
    pub check: Check,
    /// When, in milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// How often the job had been replayed from the parked queue.
    pub replay: u32,
    /// When the job had ended in a failure before it was sent once more, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<i64>,
}

impl Conclusion {
    /// A terminal failure.
    pub fn failed(
        failure: &Failure,
        image: Option<ImageReport>,
        spent: Attempt,
        at: OffsetDateTime,
        replay: u32,
    ) -> Self {
        Self {
            ending: Ending::Failure {
                code: failure.code().name().to_owned(),
                message: failure.message().to_owned(),
                http_status: failure.http_status(),
            },
            image,
            check: Check { attempts: spent.count(), http_status: failure.http_status(), ..Check::default() },
            at_ms: millis(at),
            replay,
            after_ms: None,
        }
    }

    /// True for a verdict.
    pub fn is_verdict(&self) -> bool {
        matches!(self.ending, Ending::Verdict { .. })
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
    /// Puts a conclusion into words.
    pub fn new(source: &str, origin: &Origin, conclusion: &Conclusion) -> Result<Self, serde_json::Error> {
        let id = event_id(origin, conclusion);
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(conclusion.at_ms) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let time = at.format(&Rfc3339).unwrap_or_default();
        let (kind, routing_key) = match &conclusion.ending {
            Ending::Verdict { outcome, .. } => (VERDICT_TYPE, format!("verdict.{}", outcome.name())),
            Ending::Failure { code, .. } => (FAILURE_TYPE, format!("failure.{code}")),
        };
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
            data: data(origin, conclusion),
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

fn data<'a>(origin: &'a Origin, conclusion: &'a Conclusion) -> Data<'a> {
    let mut data = Data {
        job_id: &origin.job_id,
        outcome: None,
        spoof_detected: None,
        accuracy: None,
        failure: None,
        image: conclusion.image.as_ref(),
        check: &conclusion.check,
        metadata: origin.metadata.as_deref(),
    };
    match &conclusion.ending {
        Ending::Verdict { outcome, verdict } => {
            data.outcome = Some(*outcome);
            data.spoof_detected = Some(verdict.spoof_detected);
            data.accuracy = Some(verdict.accuracy);
        }
        Ending::Failure { code, message, http_status } => {
            // A ledger may hold a code of another version; its name still says what happened.
            let known = Code::from_name(code);
            data.failure = Some(FailureData {
                code,
                stage: known.map_or("", |code| code.stage().name()),
                class: known.map_or("", |code| code.class().name()),
                message,
                http_status: *http_status,
            });
        }
    }
    data
}

/// Attempt-independent: the job, what was judged (by version or `ETag`), and which round it is. A repetition shares it; the same job id with
/// other content, a replay, and a job that is sent once more after a failure do not, nor do two messages that are no jobs.
fn event_id(origin: &Origin, conclusion: &Conclusion) -> String {
    let empty = ImageReport::default();
    let image = conclusion.image.as_ref().unwrap_or(&empty);
    let version = image.version_id.as_deref().filter(|version| *version != NULL_VERSION);
    let content = version.or(image.etag.as_deref()).unwrap_or_default();
    let (replay, after) = (conclusion.replay.to_be_bytes(), conclusion.after_ms.unwrap_or_default().to_be_bytes());
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
