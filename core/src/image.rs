//! Which image is meant, and what its first bytes say. Nothing is decoded, nothing is believed but the bytes.

use crate::failure::{Code, Failure};

mod exif;
mod facts;
mod jpeg;

pub use facts::{Facts, Format};

/// How far into a file its frame header may lie, in bytes. Large EXIF, ICC and XMP segments come first in photographs; a megabyte of them is not a selfie.
pub const MAX_HEADER_BYTES: usize = 1024 * 1024;

/// The version that every object without one has.
pub const NULL_VERSION: &str = "null";

/// Bytes that tell every known format apart.
const MAGIC_BYTES: usize = 16;

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

/// What the settings ask of an image.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Shortest side in pixels; 0 is no check.
    pub min_side: u32,
    /// Most pixels (width times height).
    pub max_pixels: u64,
    /// Refuse an EXIF orientation other than 1.
    pub upright_only: bool,
}

/// What a prefix of the file tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inspection {
    /// Not enough bytes yet.
    NeedMore,
    /// A JPEG whose frame header was found.
    Found(Facts),
}

/// Looks at the first bytes of a file. `complete` says that the file has no more.
///
/// Longer prefixes of the same file never change a decided answer.
pub fn inspect(prefix: &[u8], complete: bool) -> Result<Inspection, Failure> {
    if prefix.len() < MAGIC_BYTES && !complete {
        return Ok(Inspection::NeedMore);
    }
    if !prefix.starts_with(&[0xFF, 0xD8, 0xFF]) {
        return Err(refuse(prefix));
    }
    match jpeg::frame(prefix) {
        Ok(Some(facts)) => Ok(Inspection::Found(facts)),
        Ok(None) if complete => Err(corrupt("the file ends before its frame header")),
        Ok(None) if prefix.len() >= MAX_HEADER_BYTES => Err(corrupt("there is no frame header within the first 1 MiB")),
        Ok(None) => Ok(Inspection::NeedMore),
        Err(why) => Err(corrupt(why)),
    }
}

impl Facts {
    /// Holds the image against the limits of the settings.
    pub fn admit(&self, limits: &Limits) -> Result<(), Failure> {
        let Self { width, height, orientation, .. } = *self;
        let refuse = |message: String| Err(Failure::new(Code::ImageDimensions, message));
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

fn corrupt(why: &'static str) -> Failure {
    Failure::new(Code::ImageCorrupt, format!("looks like a jpeg, but {why}"))
}

fn refuse(prefix: &[u8]) -> Failure {
    match other_format(prefix) {
        Some(name) => Failure::new(Code::UnsupportedFormat, format!("the object is {name}; only jpeg is accepted")),
        None => Failure::new(Code::NotAnImage, "the first bytes are of no known image format"),
    }
}

/// The name of a format that is known and not accepted. Sources: the formats' own specifications.
fn other_format(prefix: &[u8]) -> Option<&'static str> {
    let is = |at: usize, magic: &[u8]| prefix.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if is(0, b"\x89PNG\r\n\x1a\n") {
        return Some("png");
    }
    if is(0, b"GIF87a") || is(0, b"GIF89a") {
        return Some("gif");
    }
    if is(0, b"RIFF") && is(8, b"WEBP") {
        return Some("webp");
    }
    if is(0, b"II*\0") || is(0, b"MM\0*") {
        return Some("tiff");
    }
    if is(0, b"BM") && is(6, &[0, 0, 0, 0]) {
        return Some("bmp");
    }
    if is(0, b"\xff\x0a") || is(0, b"\0\0\0\x0cJXL ") {
        return Some("jpeg xl");
    }
    if is(0, b"\0\0\0\x0cjP  ") {
        return Some("jpeg 2000");
    }
    if is(4, b"ftyp") {
        return match prefix.get(8..12) {
            Some(b"avif" | b"avis") => Some("avif"),
            Some(b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1") => Some("heic"),
            _ => Some("a video or another ISO media file"),
        };
    }
    None
}

#[cfg(test)]
mod tests;
