//! `[image]`: what is looked at before a call is paid for.

use super::reader::{Reader, quoted};

/// What is looked at before a call is paid for.
#[derive(Clone, Debug)]
pub struct Image {
    /// Formats to be converted to JPEG. Empty in this version.
    pub convert: Vec<String>,
    /// What to do about an EXIF orientation other than 1.
    pub orientation: OrientationPolicy,
    /// Shortest allowed side in pixels; 0 = no check. At most 65535.
    pub min_side: u32,
    /// Most allowed pixels. 1 to 5 000 000 000, at least `min_side` squared.
    pub max_pixels: u64,
    /// Digest of the judged bytes.
    pub digest: DigestKind,
}

/// What to do about an EXIF orientation other than 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrientationPolicy {
    /// Send the image as it is.
    Pass,
    /// Turn the pixels first. Refused by the loader in this version.
    Apply,
    /// Refuse the image.
    Reject,
}

/// Digest of the judged bytes, in the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestKind {
    /// SHA-256.
    Sha256,
    /// BLAKE3.
    Blake3,
    /// None.
    Off,
}

impl Image {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let image = Self {
            convert: r.list("image.convert", |text| Ok(text.to_owned())),
            orientation: r.choice(
                "image.orientation",
                &[
                    ("pass", OrientationPolicy::Pass),
                    ("apply", OrientationPolicy::Apply),
                    ("reject", OrientationPolicy::Reject),
                ],
            ),
            min_side: r.int("image.min_side", 0..=65_535),
            max_pixels: r.int("image.max_pixels", 1..=5_000_000_000),
            digest: r.choice(
                "image.digest",
                &[("sha256", DigestKind::Sha256), ("blake3", DigestKind::Blake3), ("off", DigestKind::Off)],
            ),
        };
        image.check(r);
        image
    }

    fn check(&self, r: &mut Reader<'_>) {
        if let Some(format) = self.convert.first() {
            r.error(
                "image.convert",
                format!("asks for {} to be converted, which is not available in this version", quoted(format)),
                "set image.convert = []; images that are not JPEG end as unsupported_format",
            );
        }
        if self.orientation == OrientationPolicy::Apply {
            r.error(
                "image.orientation",
                "\"apply\" is not available in this version",
                "use \"pass\" (sent as they are) or \"reject\"",
            );
        }
        let least = u64::from(self.min_side).pow(2);
        if r.sound(&["image.min_side", "image.max_pixels"]) && least > self.max_pixels {
            r.error_with(
                "image.min_side",
                &["image.max_pixels"],
                format!(
                    "asks for at least {least} pixels, and image.max_pixels allows {}: no image passes",
                    self.max_pixels
                ),
                "lower image.min_side or raise image.max_pixels",
            );
        }
    }
}
