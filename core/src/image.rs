//! Which image is meant, and what its first bytes say. Nothing is decoded, nothing is believed but the bytes.

use crate::failure::{Code, Failure};
use serde::Deserialize;

mod exif;
mod facts;
mod formats;
mod frame;
mod inspect;
mod jpeg;
mod markers;
mod name;
mod names;
mod raster;
mod scan;
mod tables;
mod text;

pub use facts::{Coding, Facts, Format};
pub use formats::Formats;
pub use frame::Reason;
pub use inspect::{Inspector, MAX_HEADER_BYTES, inspect};
pub use jpeg::JpegScan;
pub use raster::{bmp_kind, orientation, tiff_kind, webp_damage, webp_lossless_bytes};

/// The version that every object without one has.
pub const NULL_VERSION: &str = "null";

/// An object in S3, and optionally which of its contents.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImageRef {
    /// The bucket.
    pub bucket: String,
    /// The key, undecorated.
    pub key: String,
    /// Pins one version.
    pub version_id: Option<String>,
    /// Pins the content, without its quotes.
    pub etag: Option<String>,
    /// Another reading of the key, where the message can be read in two ways. Only beside a pin, which decides which of the two objects is meant.
    pub other_key: Option<String>,
}

impl ImageRef {
    /// The same content under the other reading of its key, if there is one and a pin that tells whether it is the same.
    #[must_use]
    pub fn otherwise(&self) -> Option<Self> {
        let key = self.other_key.clone()?;
        self.pin()?;
        Some(Self { key, other_key: None, ..self.clone() })
    }

    /// What pins the content: a version, else an `ETag`. `None` where different contents can be meant in turn, as by the version `null`: that is
    /// the version of whatever was written last while versioning was off.
    pub fn pin(&self) -> Option<&str> {
        let version = self.version_id.as_deref().filter(|version| *version != NULL_VERSION);
        version.or(self.etag.as_deref())
    }

    /// What of the content is asked for: the pin, else the version `null`, else nothing. Different names are different requests.
    pub fn asked(&self) -> &str {
        self.pin().or(self.version_id.as_deref()).unwrap_or_default()
    }
}

/// Most pixels of a side: libjpeg reads no JPEG that has more.
pub const MAX_SIDE: u32 = 65_500;

/// What the settings ask of an image.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Shortest side in pixels; 0 is no check.
    pub min_side: u32,
    /// Most pixels (width times height).
    pub max_pixels: u64,
    /// Refuse an EXIF orientation other than 1.
    pub upright_only: bool,
    /// What is converted to JPEG.
    pub convert: Formats,
}

/// How far the image is followed while its bytes pass, before the last of them are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// An end-of-image marker anywhere behind the header of the first scan.
    Header,
    /// The markers up to the end-of-image marker, so that neither one inside a segment nor that of another image counts.
    Structure,
    /// As [`Verify::Structure`], and the image has been decoded before, so that the call is not made in vain.
    Decode,
}

impl Facts {
    /// Holds the image against the limits of the settings.
    pub fn admit(&self, limits: &Limits) -> Result<(), Failure> {
        let Self { format, width, height, orientation, .. } = *self;
        let refuse = |message: String| Err(Failure::new(Code::ImageDimensions, message));
        if format == Format::Tiff && width == 0 {
            // Not known before the file has been read.
            return Ok(());
        }
        if width.max(height) > MAX_SIDE {
            return refuse(format!("{width}x{height} is more than a jpeg can have: {MAX_SIDE} a side"));
        }
        if width.min(height) < limits.min_side {
            return refuse(format!("{width}x{height} is below image.min_side = {}", limits.min_side));
        }
        if u64::from(width) * u64::from(height) > limits.max_pixels {
            return refuse(format!("{width}x{height} is above image.max_pixels = {}", limits.max_pixels));
        }
        if limits.upright_only && orientation != 1 {
            return refuse(format!("EXIF orientation {orientation} is refused by image.orientation = \"reject\""));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
