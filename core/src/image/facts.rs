//! What the header of an image says.

use serde::Deserialize;

/// Formats of images: JPEG goes through, the others are converted to it where the settings say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JPEG/JFIF or Exif, baseline or progressive.
    Jpeg,
    /// PNG, of an animated one the still image.
    Png,
    /// WebP, lossy or lossless; of an animated one the first frame.
    WebP,
    /// Windows bitmap.
    Bmp,
    /// TIFF, the first page.
    Tiff,
    /// GIF, the first frame.
    Gif,
}

impl Format {
    /// The name in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
            Self::Gif => "gif",
        }
    }
}

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// By the bytes, whatever the key or the Content-Type claim.
    pub format: Format,
    /// Pixels, before any EXIF rotation; at least 1, but 0 for a TIFF, whose dimensions need not be near its beginning.
    pub width: u32,
    /// Pixels, before any EXIF rotation; as the width.
    pub height: u32,
    /// EXIF orientation, 1 (upright) to 8. That of other formats than JPEG may stand at the end of the file: here it is 1, and
    /// [`orientation`](super::orientation) finds it.
    pub orientation: u8,
    /// Offset of the first byte behind the header of the first scan: an end-of-image marker counts only from there on. 0 for other formats.
    pub scan_from: u64,
    /// Whether the scans have restart intervals, with which decoders get over a damaged place.
    pub restarts: bool,
    /// How the pixels are coded.
    pub coding: Coding,
}

impl Facts {
    /// Of an upright image of which nothing else is known.
    pub const fn upright(format: Format, width: u32, height: u32) -> Self {
        let coding =
            Coding { channels: 4, coefficients: 0, lossless_bytes: 0, coarse_colour: false, arithmetic: false };
        Self { format, width, height, orientation: 1, scan_from: 0, restarts: false, coding }
    }
}

/// How the pixels are coded: what decoding takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coding {
    /// Values of a pixel, as far as the header tells: 1 for grey, 4 where it does not tell.
    pub channels: u8,
    /// JPEG: how many coefficients, of two bytes each, a decoder holds before it has pixels: 0 where it has a row of blocks from one scan.
    pub coefficients: u64,
    /// JPEG: colour is coded at a lower resolution than brightness.
    pub coarse_colour: bool,
    /// WebP: bytes that are coded as those of a lossless one are; of one with extensions known once the whole file is there.
    pub lossless_bytes: u64,
    /// JPEG: arithmetic coding, which libjpeg decodes and few others.
    pub arithmetic: bool,
}

impl Default for Coding {
    fn default() -> Self {
        Facts::upright(Format::Jpeg, 1, 1).coding
    }
}
