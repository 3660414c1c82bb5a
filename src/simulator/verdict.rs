//! The answer: a function of the image's bytes and of nothing else.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::body::ImageDigest;

/// Where the boolean of the answer comes from. The accuracy always comes from the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictRule {
    /// From the image: about one in five is a spoof.
    ByDigest,
    /// Every image is live.
    Live,
    /// Every image is a spoof.
    Spoof,
}

/// A text that is no [`VerdictRule`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("read the verdict rule `{0}`: write by-digest, live or spoof")]
pub struct VerdictRuleError(String);

/// The two fields of the vendor's answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Verdict {
    spoof_detected: bool,
    accuracy: f64,
}

// === impl Verdict ===

impl Verdict {
    pub(super) fn of(digest: &ImageDigest, rule: VerdictRule) -> Self {
        let part = |start: usize| u32::from_be_bytes(std::array::from_fn(|place| digest[start + place]));
        let spoof_detected = match rule {
            VerdictRule::ByDigest => part(0).is_multiple_of(5),
            VerdictRule::Live => false,
            VerdictRule::Spoof => true,
        };
        let fraction = f64::from(part(4)) / (f64::from(u32::MAX) + 1.0);
        Self { spoof_detected, accuracy: 0.5 + fraction / 2.0 }
    }
}

// === impl VerdictRule ===

impl FromStr for VerdictRule {
    type Err = VerdictRuleError;

    fn from_str(text: &str) -> Result<Self, VerdictRuleError> {
        match text {
            "by-digest" => Ok(Self::ByDigest),
            "live" => Ok(Self::Live),
            "spoof" => Ok(Self::Spoof),
            other => Err(VerdictRuleError(other.to_owned())),
        }
    }
}

impl fmt::Display for VerdictRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByDigest => "by-digest",
            Self::Live => "live",
            Self::Spoof => "spoof",
        })
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn about_one_in_five_is_a_spoof_and_the_accuracy_is_in_range() {
        let mut spoofs = 0;
        for number in 0..10_000_u32 {
            let digest = Sha256::digest(number.to_be_bytes()).into();
            let verdict = Verdict::of(&digest, VerdictRule::ByDigest);
            assert_eq!(verdict, Verdict::of(&digest, VerdictRule::ByDigest));
            assert!((0.5..1.0).contains(&verdict.accuracy));
            spoofs += u32::from(verdict.spoof_detected);
        }
        assert!((1_800..2_200).contains(&spoofs), "{spoofs}");
    }

    #[test]
    fn a_forced_verdict_keeps_the_accuracy() {
        let digest = Sha256::digest(b"x").into();
        let (live, spoof) = (Verdict::of(&digest, VerdictRule::Live), Verdict::of(&digest, VerdictRule::Spoof));
        assert!(!live.spoof_detected && spoof.spoof_detected);
        assert_eq!(serde_json::to_value(live).unwrap()["accuracy"], serde_json::to_value(spoof).unwrap()["accuracy"]);
    }

    #[test]
    fn a_rule_reads_and_prints_back() {
        for text in ["by-digest", "live", "spoof"] {
            assert_eq!(text.parse::<VerdictRule>().unwrap().to_string(), text);
        }
        assert!("random".parse::<VerdictRule>().is_err());
    }
}
