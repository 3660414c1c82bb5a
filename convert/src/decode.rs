//! Files to pixels, each format by its own crate, within limits of its own.

mod header;
mod jpeg;
mod others;
mod png;
mod standard_tables;
mod webp;

use super::ConvertError;
use super::pixels::Pixels;
use antispoof_core::image::{Facts, Format};

pub(crate) use jpeg::check;
pub use others::dimensions;

/// Longest text of a decoder that is repeated.
const MOST_TEXT: usize = 160;

/// The pixels as they lie in the file, and its ICC profile.
pub(crate) fn decode(file: &[u8], facts: &Facts) -> Result<(Pixels, Option<Vec<u8>>), ConvertError> {
    let (pixels, profile) = match facts.format {
        Format::Jpeg => jpeg::decode(file, facts)?,
        Format::Png => png::decode(file)?,
        Format::WebP => webp::decode(file, facts)?,
        Format::Bmp => others::bmp(file, facts)?,
        Format::Tiff => others::tiff(file, facts)?,
        Format::Gif => others::gif(file, facts)?,
    };
    if (pixels.width, pixels.height) != (facts.width, facts.height) {
        return Err(corrupt(&"its parts contradict each other about width and height"));
    }
    Ok((pixels, profile))
}

/// A file that a decoder refuses, in its words.
fn corrupt(error: &dyn std::fmt::Display) -> ConvertError {
    let mut text = error.to_string();
    if let Some((at, _)) = text.char_indices().nth(MOST_TEXT) {
        text.truncate(at);
    }
    ConvertError::Corrupt(text)
}
