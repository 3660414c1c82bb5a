//! The form in which a ledger keeps a result.

use super::result::{Check, FailureResult, ImageReport, JobResult, Report, VerdictResult};
use crate::failure::{Code, quoted};
use crate::verdict::{Outcome, Verdict};
use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// Records of earlier versions have this form, too.
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

impl<'de> Deserialize<'de> for JobResult {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Stored::deserialize(deserializer)?).map_err(D::Error::custom)
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
