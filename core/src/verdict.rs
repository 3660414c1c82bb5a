//! The vendor's answer, read strictly: two well-typed fields or no verdict. Nothing is ever assumed to be `live`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest answer that is read, in bytes. A verdict takes about 60.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// What the vendor said, untouched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// True: the image shows an attack (print, replay, mask, …).
    pub spoof_detected: bool,
    /// 0 to 1. The vendor does not say of what; read as its confidence in whichever way the boolean points. Never inverted or rescaled.
    pub accuracy: f64,
}

/// The answer to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// No attack seen.
    Live,
    /// An attack seen.
    Spoof,
    /// The vendor was less sure than `api.review_below`, whichever way the boolean points.
    Review,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Live, Self::Spoof, Self::Review];

    /// The name in events, routing keys and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Spoof => "spoof",
            Self::Review => "review",
        }
    }
}

/// Why a 2xx body is not a verdict. Says where and what kind, never the body itself.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotAVerdict {
    /// Not JSON, or not with these two fields in these types.
    #[error("the answer is not a verdict ({kind} at byte {at} of {len})")]
    Shape {
        /// What the parser found wrong.
        kind: &'static str,
        /// Column (the vendor sends one line), 0 where unknown.
        at: usize,
        /// Length of the body in bytes.
        len: usize,
    },
    /// A number outside 0 to 1.
    #[error("the answer's accuracy is outside 0 to 1")]
    Range,
    /// Both fields, and beside them the word that something went wrong.
    #[error("the answer has a verdict and says in {0:?} that something went wrong")]
    Complaint(&'static str),
}

impl Verdict {
    /// Reads an answer. More fields than the two are fine, fewer or other types are not, nor is a `success` that is not true or an `error` or
    /// `errors` that is not empty: the vendor documents no error body, so the usual names of one are taken at their word.
    pub fn read(body: &[u8]) -> Result<Self, NotAVerdict> {
        #[derive(Deserialize)]
        struct Answer {
            spoof_detected: bool,
            accuracy: f64,
            success: Option<Value>,
            error: Option<Value>,
            errors: Option<Value>,
        }
        // Fields that are skipped over are not looked into, but JSON is text all through.
        let text = std::str::from_utf8(body).map_err(|error| NotAVerdict::Shape {
            kind: "not JSON",
            at: error.valid_up_to(),
            len: body.len(),
        })?;
        // Some servers write a byte order mark before their JSON (RFC 8259, 8.1 lets a reader skip it).
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let answer: Answer = serde_json::from_str(text).map_err(|error| NotAVerdict::Shape {
            kind: match error.classify() {
                serde_json::error::Category::Syntax => "not JSON",
                serde_json::error::Category::Eof => "cut off",
                serde_json::error::Category::Data => "a field is missing, doubled or of another type",
                serde_json::error::Category::Io => "unreadable",
            },
            at: error.column(),
            len: body.len(),
        })?;
        // The derived reader takes `[false, 0.9]` for the two fields in their order. It names neither, so it is no verdict.
        if !text.trim_ascii_start().starts_with('{') {
            return Err(NotAVerdict::Shape { kind: "not an object", at: 0, len: body.len() });
        }
        if answer.success.is_some_and(|success| success != Value::Bool(true)) {
            return Err(NotAVerdict::Complaint("success"));
        }
        for (name, complaint) in [("error", &answer.error), ("errors", &answer.errors)] {
            if complaint.as_ref().is_some_and(says_something) {
                return Err(NotAVerdict::Complaint(name));
            }
        }
        if !(0.0..=1.0).contains(&answer.accuracy) {
            return Err(NotAVerdict::Range);
        }
        Ok(Self { spoof_detected: answer.spoof_detected, accuracy: answer.accuracy })
    }

    /// The outcome, given `api.review_below` (0 turns the review band off).
    pub fn outcome(&self, review_below: f64) -> Outcome {
        if self.accuracy < review_below {
            Outcome::Review
        } else if self.spoof_detected {
            Outcome::Spoof
        } else {
            Outcome::Live
        }
    }
}

/// False for the values that stand for no error.
fn says_something(complaint: &Value) -> bool {
    match complaint {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) | Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_two_well_typed_fields_are_a_verdict() {
        let good = Verdict::read(br#" {"accuracy": 0.9899068176746368, "spoof_detected": true, "model": "x"} "#);
        assert_eq!(good, Ok(Verdict { spoof_detected: true, accuracy: 0.989_906_817_674_636_8 }));
        assert!(
            Verdict::read("\u{feff}{\"spoof_detected\":true,\"accuracy\":1}".as_bytes()).is_ok(),
            "a byte order mark"
        );
        for bad in [
            "",
            "null",
            "[]",
            "[false,0.9]",
            " [true,0.9]",
            "{}",
            "true",
            "<html>live</html>",
            "\u{feff}{}",
            r#"{"spoof_detected":false}"#,
            r#"{"accuracy":0.9}"#,
            r#"{"spoof_detected":"false","accuracy":0.9}"#,
            r#"{"spoof_detected":0,"accuracy":0.9}"#,
            r#"{"spoof_detected":null,"accuracy":0.9}"#,
            r#"{"spoof_detected":false,"accuracy":"0.9"}"#,
            r#"{"spoof_detected":false,"accuracy":null}"#,
            r#"{"spoof_detected":false,"accuracy":1.0001}"#,
            r#"{"spoof_detected":false,"accuracy":-0.1}"#,
            r#"{"spoof_detected":false,"accuracy":98.9}"#,
            r#"{"spoof_detected":false,"accuracy":1e999}"#,
            r#"{"spoof_detected":true,"spoof_detected":false,"accuracy":0.9}"#,
            r#"{"spoof_detected":false,"accuracy":0.9"#,
            r#"{"spoof_detected":false,"accuracy":0.9} {"spoof_detected":true}"#,
            r#"{"data":{"spoof_detected":false,"accuracy":0.9}}"#,
        ] {
            assert!(Verdict::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_verdict_beside_an_error_is_none() {
        let read =
            |beside: &str| Verdict::read(format!(r#"{{"spoof_detected":false,{beside},"accuracy":0.9}}"#).as_bytes());
        for good in [
            r#""success":true"#,
            r#""success":null"#,
            r#""error":null"#,
            r#""error":false"#,
            r#""error":"","errors":[]"#,
            r#""errors":{}"#,
            r#""Error":"not its name""#,
        ] {
            assert!(read(good).is_ok(), "{good}");
        }
        for (bad, member) in [
            (r#""success":false"#, "success"),
            (r#""success":"true""#, "success"),
            (r#""success":1"#, "success"),
            (r#""error":"no face""#, "error"),
            (r#""error":true"#, "error"),
            (r#""error":0"#, "error"),
            (r#""error":{"code":1}"#, "error"),
            (r#""success":true,"errors":[null]"#, "errors"),
        ] {
            assert_eq!(read(bad), Err(NotAVerdict::Complaint(member)), "{bad}");
        }
        assert!(read(r#""error":null,"error":"no face""#).is_err());
    }

    #[test]
    fn a_complaint_never_shows_the_body() {
        let error = Verdict::read(br#"{"spoof_detected":"patient name"}"#).expect_err("not a verdict");
        assert!(!error.to_string().contains("patient"));
    }

    #[test]
    fn review_is_symmetric_and_off_at_zero() {
        let verdict = |spoof_detected, accuracy| Verdict { spoof_detected, accuracy };
        assert_eq!(verdict(false, 0.6).outcome(0.7), Outcome::Review);
        assert_eq!(verdict(true, 0.6).outcome(0.7), Outcome::Review);
        assert_eq!(verdict(true, 0.7).outcome(0.7), Outcome::Spoof);
        assert_eq!(verdict(false, 0.0).outcome(0.0), Outcome::Live);
    }

    proptest! {
        #[test]
        fn reading_never_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _verdict = Verdict::read(&body);
        }

        #[test]
        fn what_is_read_is_what_was_written(spoof_detected: bool, accuracy in 0.0f64..=1.0) {
            let verdict = Verdict { spoof_detected, accuracy };
            prop_assert_eq!(Verdict::read(&serde_json::to_vec(&verdict).expect("serialises")), Ok(verdict));
        }
    }
}
