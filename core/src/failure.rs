//! The closed table of failure codes: the one place that says where a failure happens, whose fault it is, and where its job waits for the next try.
//!
//! Metric labels, message headers, events and the documentation all come from [`Code`].

use std::fmt;
use std::time::Duration;

/// Longest failure message that leaves the process, in bytes. It has to fit beside the other headers into one AMQP frame.
pub const MAX_MESSAGE_BYTES: usize = 512;

/// Where in the life of a job a failure happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The message was read.
    Decode,
    /// The job was checked against the settings and the clock.
    Admit,
    /// The image was asked for or was being read.
    Fetch,
    /// The first bytes of the image were looked at.
    Inspect,
    /// The vendor was called.
    Call,
    /// The event was published.
    Publish,
    /// The worker died or lost its connection, again and again, with this job in hand; or the broker dropped it.
    Crash,
}

impl Stage {
    /// The name in events and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Admit => "admit",
            Self::Fetch => "fetch",
            Self::Inspect => "inspect",
            Self::Call => "call",
            Self::Publish => "publish",
            Self::Crash => "crash",
        }
    }
}

/// Where a job that failed waits for its next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// It is parked.
    Never,
    /// In hand first, for `retry.quick_attempts`, then in the delay queues. Only for what cannot have been paid for, unless [`Failure::may_be_paid`] says
    /// otherwise.
    Quick,
    /// In the delay queues: an unanswered request and an unreadable success may both have been billed, so they wait for `retry.max_attempts`.
    Delayed,
    /// At the closed gate: one job probes, the others wait.
    Probe,
}

/// Whose fault a failure is, and so what may be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The job's own fault: trying again cannot help. Parked at once.
    Permanent,
    /// May pass: tried again, at first in hand, then through the delay queues, then parked.
    Transient,
    /// The account's, the settings' or the broker's fault: the job is requeued without spending an attempt.
    Systemic,
}

impl Class {
    /// The name in events and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::Systemic => "systemic",
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident $name:literal $stage:ident $class:ident $retry:ident,)+) => {
        /// Why a job did not get a verdict. The list is closed: consumers route on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)+
        }

        impl Code {
            /// Every code, in the order of the life of a job.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in events, headers, routing keys and metric labels.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Where it happens.
            pub const fn stage(self) -> Stage {
                match self { $(Self::$variant => Stage::$stage,)+ }
            }

            /// Whose fault it is.
            pub const fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class,)+ }
            }

            /// Where a job that failed with it waits for its next try.
            pub const fn retry(self) -> Retry {
                match self { $(Self::$variant => Retry::$retry,)+ }
            }
        }
    };
}

// Variant, name, stage, class, retry.
codes! {
    /// The message body is not a job, or names an object whose name the store refuses.
    MalformedJob "malformed_job" Decode Permanent Never,
    /// The message is not one of the accepted kinds of body.
    UnsupportedMessage "unsupported_message" Decode Permanent Never,
    /// `expires_at` has passed.
    JobExpired "job_expired" Admit Permanent Never,
    /// The bucket is not in `s3.buckets`.
    BucketNotAllowed "bucket_not_allowed" Admit Permanent Never,
    /// S3 says there is no such object. Transient, because an upload can lag behind its message.
    ObjectNotFound "object_not_found" Fetch Transient Quick,
    /// S3 refuses the read. Transient, because without the right to list a bucket a missing key looks like this too.
    ObjectForbidden "object_forbidden" Fetch Transient Quick,
    /// The pinned version or `ETag` is gone.
    ObjectChanged "object_changed" Fetch Permanent Never,
    /// The object has no bytes.
    ObjectEmpty "object_empty" Fetch Permanent Never,
    /// The object has more bytes than `s3.max_object_bytes`.
    ObjectTooLarge "object_too_large" Fetch Permanent Never,
    /// The store cannot be reached, refuses work, or broke off.
    StoreUnavailable "store_unavailable" Fetch Transient Quick,
    /// The store did not answer, or stopped sending, in time.
    StoreTimeout "store_timeout" Fetch Transient Quick,
    /// The store does not take the credentials, or there are none: unknown or expired key, wrong signature, clock skew.
    StoreUnauthorized "store_unauthorized" Fetch Systemic Probe,
    /// The bytes are no image that is known.
    NotAnImage "not_an_image" Inspect Permanent Never,
    /// The bytes are an image of a format that is not accepted.
    UnsupportedFormat "unsupported_format" Inspect Permanent Never,
    /// The bytes begin like an image and then break its rules.
    ImageCorrupt "image_corrupt" Inspect Permanent Never,
    /// Too few or too many pixels, or an orientation the settings refuse.
    ImageDimensions "image_dimensions" Inspect Permanent Never,
    /// The API refuses this image (400, 413, 415, 422).
    ApiRejected "api_rejected" Call Permanent Never,
    /// The API refuses the token, also a fresh one.
    ApiUnauthorized "api_unauthorized" Call Systemic Probe,
    /// The API refuses the account or does not know the address: 402, 403, 404 and every other 4xx that has no meaning of its own.
    ApiForbidden "api_forbidden" Call Systemic Probe,
    /// The server of `api.url` cannot be talked to: name, certificate, protocol, redirect, proxy.
    ApiUnreachable "api_unreachable" Call Systemic Probe,
    /// The API asks to slow down (429).
    ApiRateLimited "api_rate_limited" Call Transient Quick,
    /// The API cannot be reached or says it cannot work (406, 408, 425, 5xx).
    ApiUnavailable "api_unavailable" Call Transient Quick,
    /// The whole request was sent and no answer came: the call may have been paid for.
    ApiInDoubt "api_in_doubt" Call Transient Delayed,
    /// The API says success with a body that is not a verdict.
    ApiBadResponse "api_bad_response" Call Transient Delayed,
    /// The verdict is known, but no queue is bound to take it.
    ResultsUnroutable "results_unroutable" Publish Systemic Probe,
    /// The verdict is known, but the broker does not take it.
    BrokerUnavailable "broker_unavailable" Publish Systemic Probe,
    /// The job was delivered so often without an end that it is set aside.
    DeliveryLimit "delivery_limit" Crash Permanent Never,
    /// The broker took the job off the queue for a reason that the message names: the queue's length, a rejection.
    DroppedByBroker "dropped_by_broker" Crash Permanent Never,
}

impl Code {
    /// The code of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What went wrong with one job, in words that may leave the process: no secret, no image byte, no vendor body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    code: Code,
    message: String,
    http_status: Option<u16>,
    retry_after: Option<Duration>,
    request_sent: bool,
    request_id: Option<String>,
    repeatable_at_once: bool,
}

impl Failure {
    /// A failure with its explanation: a lowercase fragment, cut at [`MAX_MESSAGE_BYTES`], control characters blanked.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: presentable(message.into()),
            http_status: None,
            retry_after: None,
            request_sent: false,
            request_id: None,
            repeatable_at_once: false,
        }
    }

    /// Adds the status of the answer that was the failure.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.http_status = Some(status);
        self
    }

    /// Adds the wait that the other side asked for, already clamped by the caller.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Adds whether the whole request was handed over before the failure: the other side may have done the work.
    #[must_use]
    pub fn with_request_sent(mut self, sent: bool) -> Self {
        self.request_sent = sent;
        self
    }

    /// Adds the other side's own id of the request.
    #[must_use]
    pub fn with_request_id(mut self, id: Option<String>) -> Self {
        self.request_id = id;
        self
    }

    /// Adds whether one repetition, at once, may help and costs nothing: the token was refused and has been replaced, or the server has proved that it
    /// processed nothing, and its connection has been left.
    #[must_use]
    pub fn repeatable_at_once(mut self, repeatable: bool) -> Self {
        self.repeatable_at_once = repeatable;
        self
    }

    /// True when no verdict came back and the call may have been paid for all the same; then `api.in_doubt` decides about another.
    ///
    /// A gateway that had the whole request and says 502, 504 or 520 to 524 does not know what the vendor behind it has done.
    pub fn may_be_paid(&self) -> bool {
        match self.code {
            Code::ApiInDoubt | Code::ApiBadResponse => true,
            Code::ApiUnavailable => self.request_sent && matches!(self.http_status, Some(502 | 504 | 520..=524)),
            _ => false,
        }
    }

    /// Why.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The explanation.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The HTTP status that was the failure, where there was one.
    pub fn http_status(&self) -> Option<u16> {
        self.http_status
    }

    /// How long the other side asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the whole request was handed over before the failure.
    pub fn request_sent(&self) -> bool {
        self.request_sent
    }

    /// The other side's own id of the request, where it gave one.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Whether one repetition, at once, may help and costs nothing.
    pub fn is_repeatable_at_once(&self) -> bool {
        self.repeatable_at_once
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Failure {}

/// A text from outside, for a message about it: at most 64 characters, without control characters.
pub fn quoted(text: &str) -> String {
    const MOST: usize = 64;

    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(MOST + 1).collect();
    if let Some((cut, _)) = shown.char_indices().nth(MOST) {
        shown.truncate(cut);
        shown.push('…');
    }
    shown
}

fn presentable(mut message: String) -> String {
    if message.len() > MAX_MESSAGE_BYTES {
        let cut = (0..=MAX_MESSAGE_BYTES - '…'.len_utf8()).rev().find(|&at| message.is_char_boundary(at)).unwrap_or(0);
        message.truncate(cut);
        message.push('…');
    }
    if message.contains(char::is_control) {
        message = message.replace(char::is_control, " ");
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_again() {
        for &code in Code::ALL {
            assert_eq!(Code::from_name(code.name()), Some(code));
        }
        assert_eq!(Code::ALL.len(), 28);
        assert_eq!(Code::from_name("no_such_code"), None);
    }

    #[test]
    fn only_transient_codes_are_tried_again_at_once() {
        for &code in Code::ALL {
            let expected: &[Retry] = match code.class() {
                Class::Permanent => &[Retry::Never],
                Class::Transient => &[Retry::Quick, Retry::Delayed],
                Class::Systemic => &[Retry::Probe],
            };
            assert!(expected.contains(&code.retry()), "{code}");
        }
        assert_eq!(Code::ApiInDoubt.retry(), Retry::Delayed, "it may have been paid for");
        assert_eq!(Code::ApiBadResponse.retry(), Retry::Delayed, "it may have been paid for");
    }

    #[test]
    fn a_gateway_that_had_the_whole_request_leaves_a_doubt() {
        let answer = |code, status, sent| Failure::new(code, "x").with_status(status).with_request_sent(sent);
        for status in [502, 504, 520, 522, 524] {
            assert!(answer(Code::ApiUnavailable, status, true).may_be_paid(), "{status}");
            assert!(
                !answer(Code::ApiUnavailable, status, false).may_be_paid(),
                "{status}: the vendor cannot have had the image"
            );
            assert!(
                !answer(Code::ApiRejected, status, true).may_be_paid(),
                "{status}: api.statuses says that it is no gateway's"
            );
        }
        for status in [408, 500, 501, 503, 519, 525] {
            assert!(!answer(Code::ApiUnavailable, status, true).may_be_paid(), "{status}");
        }
        for &code in Code::ALL {
            let doubtful = matches!(code, Code::ApiInDoubt | Code::ApiBadResponse);
            assert_eq!(Failure::new(code, "x").may_be_paid(), doubtful, "{code}");
        }
    }

    #[test]
    fn a_message_is_cut_at_a_character_and_has_no_control_characters() {
        let failure = Failure::new(Code::MalformedJob, format!("a\n{}", "ü".repeat(600)));
        assert!(failure.message().len() <= MAX_MESSAGE_BYTES);
        assert!(failure.message().starts_with("a üü"));
        assert!(failure.message().ends_with('…'));
    }
}
