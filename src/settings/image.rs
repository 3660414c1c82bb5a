//! `[image]`: what is inspected before a call is paid for.

use antispoof_core::image::{Format, Verify};
use antispoof_core::stream_digest::DigestKind;
use schemars::JsonSchema;
use serde::de::IntoDeserializer as _;
use serde::{Deserialize, Deserializer};

use super::findings::Findings;
use super::invalid::{InvalidValue, nearest_to, quoted};
use super::values::{Choice, Int, Size, list, variants};

/// What is inspected before a call is paid for, and what is made of an image that is not sent as it is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Formats to be converted to JPEG; never [`Format::Jpeg`].
    #[serde(deserialize_with = "formats")]
    #[schemars(with = "Vec<String>")]
    pub convert: Vec<Format>,
    /// What to do about an EXIF orientation other than 1.
    #[serde(with = "Choice::<OrientationPolicy>")]
    pub orientation: OrientationPolicy,
    /// Longest side in pixels of what is sent; 0 = no limit.
    #[serde(with = "Int::<0, 65_535>")]
    pub max_side: u32,
    /// Quality of what is encoded.
    #[serde(with = "Int::<1, 100>")]
    pub quality: u8,
    /// How far a JPEG is looked into before its call is paid for.
    #[serde(with = "Choice::<Verify>")]
    pub verify: Verify,
    /// Bytes for decoded images of all jobs together.
    #[serde(with = "Size::<16_777_216, 68_719_476_736>")]
    pub conversion_memory: u64,
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
    /// Turn the pixels upright and send that.
    Apply,
    /// Refuse the image.
    Reject,
}

impl Image {
    pub(super) fn validate(&self, findings: &mut Findings<'_>) {
        let (least, most) = (u64::from(self.min_side).pow(2), self.max_pixels);
        if least > most {
            findings.error(
                &["image.min_side", "image.max_pixels"],
                format!("asks for at least {least} pixels, and image.max_pixels allows {most}: no image passes"),
                "lower image.min_side or raise image.max_pixels",
            );
        }
        let (min_side, max_side) = (self.min_side, self.max_side);
        if max_side > 0 && max_side < min_side {
            findings.error(
                &["image.max_side", "image.min_side"],
                format!(
                    "scales to sides of at most {max_side} pixels what image.min_side wants at least {min_side} of"
                ),
                "raise image.max_side or lower image.min_side",
            );
        }
    }
}

/// Names of formats other than JPEG, which needs no conversion.
fn formats<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Format>, D::Error> {
    let names = variants::<Format>();
    let convertible: Vec<&str> = names.iter().copied().filter(|name| *name != Format::Jpeg.name()).collect();
    list(deserializer, |text| {
        let known = convertible.contains(&text).then(|| {
            let name: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
            Format::deserialize(name).ok()
        });
        known.flatten().ok_or_else(|| {
            let remedy = format!("{}write some of {}", nearest_to(text, &convertible), convertible.join(", "));
            let what = if text == Format::Jpeg.name() {
                "\"jpeg\" is what is converted to".to_owned()
            } else {
                format!("{} is no format that is converted", quoted(text))
            };
            InvalidValue::new(what, remedy)
        })
    })
}
