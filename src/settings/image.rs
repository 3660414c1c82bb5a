//! `[image]`: what is inspected before a call is paid for.

use antispoof_core::stream_digest::DigestKind;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::findings::Findings;
use super::invalid::quoted;
use super::values::{Choice, Int, list};

/// What is inspected before a call is paid for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Formats to be converted to JPEG. Empty in this version.
    #[serde(deserialize_with = "texts")]
    pub convert: Vec<String>,
    /// What to do about an EXIF orientation other than 1.
    #[serde(with = "Choice::<OrientationPolicy>")]
    pub orientation: OrientationPolicy,
    /// Shortest allowed side in pixels; 0 = no check.
    #[serde(with = "Int::<0, 65_535>")]
    pub min_side: u32,
    /// Most allowed pixels, at least `min_side` squared.
    #[serde(with = "Int::<1, 5_000_000_000>")]
    pub max_pixels: u64,
    /// Digest of the checked bytes.
    #[serde(with = "Choice::<DigestKind>")]
    pub digest: DigestKind,
}

/// What to do about an EXIF orientation other than 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrientationPolicy {
    /// Send the image as it is.
    Pass,
    /// Turn the pixels first. Refused by the loader in this version.
    Apply,
    /// Refuse the image.
    Reject,
}

impl Image {
    pub(super) fn validate(&self, findings: &mut Findings<'_>) {
        if let Some(format) = self.convert.first() {
            findings.error(
                &["image.convert"],
                format!("asks for {} to be converted, which is not available in this version", quoted(format)),
                "set image.convert = []; images that are not JPEG end as unsupported_format",
            );
        }
        if self.orientation == OrientationPolicy::Apply {
            let remedy = "use \"pass\" (sent as they are) or \"reject\"";
            findings.error(&["image.orientation"], "\"apply\" is not available in this version", remedy);
        }
        let (least, most) = (u64::from(self.min_side).pow(2), self.max_pixels);
        if least > most {
            findings.error(
                &["image.min_side", "image.max_pixels"],
                format!("asks for at least {least} pixels, and image.max_pixels allows {most}: no image passes"),
                "lower image.min_side or raise image.max_pixels",
            );
        }
    }
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    list(deserializer, |text| Ok(text.to_owned()))
}
