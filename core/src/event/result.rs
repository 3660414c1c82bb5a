//! The result of a job: all that its event is made from.

use crate::failure::{Code, Failure};
use crate::image::{Facts, ImageRef};
use crate::retry::Attempt;
use crate::verdict::{Outcome, Verdict};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

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
    /// `algorithm:hex` of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What was done to the object before the call, in this order: `png→jpeg`, `turned 6` (by EXIF orientation 6), `scaled 4000→2048` (the longer side).
    /// Empty where its own bytes were judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transformed: Vec<String>,
    /// What was judged instead of the object's own bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<SentImage>,
}

/// The image that was made of an object and judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentImage {
    /// Its length.
    pub bytes: u64,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// `algorithm:hex` of its bytes.
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
        // Of a TIFF not known at first; of what no JPEG can have there is nothing to tell.
        let known = |side: &u32| (1..=65_535).contains(side);
        self.width = Some(facts.width).filter(known);
        self.height = Some(facts.height).filter(known);
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
#[derive(Clone, Debug, PartialEq)]
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
