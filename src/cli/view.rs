//! A terminal event as a person looks at it. Events come from outside this process, so nothing of them is taken for granted.

use super::terminal::plain;
use serde::Deserialize;

/// What is shown of an event.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    /// The job's id.
    pub(super) job: String,
    /// When it ended, RFC 3339.
    pub(super) time: String,
    /// `bucket/key`; empty when the message named no image.
    pub(super) object: String,
    /// `live`, `spoof`, `review` or a failure code.
    pub(super) outcome: String,
    /// It ended without a verdict.
    pub(super) failed: bool,
    /// The vendor's, of a verdict.
    pub(super) accuracy: Option<f64>,
    /// Attempts spent.
    pub(super) attempts: u32,
    /// Of the last call.
    pub(super) api_ms: Option<u64>,
    /// The failure's message, or what is unusual about a verdict.
    pub(super) reason: String,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    time: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    job_id: String,
    outcome: Option<String>,
    accuracy: Option<f64>,
    failure: Option<Failure>,
    image: Option<Image>,
    #[serde(default)]
    check: Check,
}

#[derive(Deserialize)]
struct Failure {
    code: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Image {
    bucket: String,
    key: String,
    #[serde(default)]
    transformed: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Check {
    attempts: u32,
    api_duration_ms: Option<u64>,
    reused: bool,
}

impl View {
    /// Reads the body of an event; `None` when it is not one of ours.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let Event { time, data } = serde_json::from_slice(body).ok()?;
        let steps = data.image.as_ref().map(|image| image.transformed.join(", ")).unwrap_or_default();
        let reused = if data.check.reused { "reused: known from before, not paid for again" } else { "" };
        let unusual = if steps.is_empty() || reused.is_empty() { steps + reused } else { format!("{steps}; {reused}") };
        let failed = data.failure.is_some();
        let (outcome, reason) = match (data.outcome, data.failure) {
            (Some(outcome), None) => (outcome, unusual),
            (None, Some(failure)) => (failure.code, failure.message),
            _ => return None,
        };
        Some(Self {
            job: plain(&data.job_id),
            time: plain(&time),
            object: data.image.map(|image| plain(&format!("{}/{}", image.bucket, image.key))).unwrap_or_default(),
            outcome: plain(&outcome),
            failed,
            accuracy: data.accuracy,
            attempts: data.check.attempts,
            api_ms: data.check.api_duration_ms,
            reason: plain(&reason),
        })
    }

    /// The event on a line of its own.
    pub(super) fn line(&self) -> String {
        let time = self.time.split_once('.').map_or(self.time.clone(), |(seconds, _)| format!("{seconds}Z"));
        let accuracy = self.accuracy.map(|accuracy| format!("  accuracy {accuracy:.4}")).unwrap_or_default();
        let reason = if self.reason.is_empty() { String::new() } else { format!("  {}", self.reason) };
        let object = if self.object.is_empty() { "-".to_owned() } else { format!("s3://{}", self.object) };
        // As wide as the widest outcome of a verdict; failure codes stick out, which makes them easy to see.
        format!("{time}  {:<6}  {}  {object}{accuracy}{reason}", self.outcome, self.job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_and_a_failure_are_read() {
        let verdict = br#"{"time":"2026-11-23T00:00:01.25Z","data":{"job_id":"a","outcome":"live","accuracy":0.98996,
            "image":{"bucket":"b","key":"k"},"check":{"attempts":2,"api_duration_ms":7,"reused":true}}}"#;
        let view = View::read(verdict).unwrap();
        assert_eq!((view.attempts, view.api_ms, view.failed), (2, Some(7), false));
        assert_eq!(
            view.line(),
            "2026-11-23T00:00:01Z  live    a  s3://b/k  accuracy 0.9900  reused: known from before, not paid for again"
        );
        let converted = br#"{"time":"2026-11-23T00:00:01Z","data":{"job_id":"a","outcome":"live","accuracy":0.9,
            "image":{"bucket":"b","key":"k","transformed":["png\u2192jpeg","turned 6"]},"check":{"attempts":1}}}"#;
        let view = View::read(converted).unwrap();
        assert!(view.line().ends_with("  accuracy 0.9000  png\u{2192}jpeg, turned 6"), "{}", view.line());
        let failure = br#"{"time":"2026-11-23T00:00:01Z","data":{"job_id":"a","failure":{"code":"malformed_job","message":"no \u001b[1m key"},
            "check":{"attempts":1}}}"#;
        let view = View::read(failure).unwrap();
        assert!(view.failed);
        assert_eq!(view.line(), "2026-11-23T00:00:01Z  malformed_job  a  -  no \u{fffd}[1m key");
    }

    #[test]
    fn what_is_not_an_event_is_not_shown() {
        assert_eq!(View::read(b"{}"), None);
        assert_eq!(View::read(b"hello"), None);
        assert_eq!(View::read(br#"{"data":{"job_id":"a"}}"#), None);
    }
}
