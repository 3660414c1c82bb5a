//! What a conversion takes.

use super::scale::scaled;
use super::{Wish, encode};
use antispoof_core::image::{Facts, Format};

/// Buffers that do not grow with the picture, and tables.
const FIXED: u64 = 2 * 1024 * 1024;

/// What a byte of a lossless WebP can make image-webp hold: tables of 4 KiB for each tree of 93 bits, of which there are at most 5 × 65,536.
const TABLES_OF_A_BYTE: u64 = 4096 * 8 / 93 + 1;
const MOST_TABLES: u64 = 5 * 65_536 * 4096;

/// Bytes of a coefficient.
const COEFFICIENT: u64 = 2;

/// Most bytes that [`convert`](super::convert) holds at a time, the file included.
pub fn memory(facts: &Facts, file: u64, wish: Wish) -> u64 {
    let pixels = u64::from(facts.width) * u64::from(facts.height);
    let (decoding, kept) = bytes_of_a_pixel(facts);
    let tables = (facts.coding.lossless_bytes * TABLES_OF_A_BYTE).min(MOST_TABLES);
    let decoded = tables + file * copies(facts) + pixels * decoding + facts.coding.coefficients * COEFFICIENT;
    let (scaling, (width, height), kept) = match scaled(facts.width, facts.height, wish.max_side) {
        None => (0, (facts.width, facts.height), kept),
        Some((width, height)) => {
            // Scaled first in one direction, then in the other, with rows that are padded.
            let between = u64::from(width) * u64::from(facts.height);
            let colours = kept.min(3);
            let smaller = u64::from(width) * u64::from(height) * colours;
            (pixels * kept + (between * colours + smaller) * 9 / 8, (width, height), colours)
        }
    };
    let encoded = u64::from(width) * u64::from(height);
    FIXED + decoded.max(scaling).max(encoded * kept + encode::most_bytes(encoded, wish.quality))
}

/// Most bytes that [`check`](super::check) holds at a time, the file included.
pub fn decoding_memory(facts: &Facts, file: u64) -> u64 {
    let pixels = u64::from(facts.width) * u64::from(facts.height);
    // Of colour only the brightness, but where it is coded in another way all of it.
    FIXED + file * copies(facts) + pixels * u64::from(facts.coding.channels) + facts.coding.coefficients * COEFFICIENT
}

/// Of a JPEG the decoder has a copy without the segments that it does not need.
fn copies(facts: &Facts) -> u64 {
    if facts.format == Format::Jpeg { 2 } else { 1 }
}

/// Of a pixel, how many bytes a decoder holds while it decodes, and afterwards.
fn bytes_of_a_pixel(facts: &Facts) -> (u64, u64) {
    match facts.format {
        Format::Jpeg | Format::Png => (u64::from(facts.coding.channels), u64::from(facts.coding.channels)),
        Format::Bmp => (4, 4),
        // The planes, or another buffer with alpha.
        Format::WebP | Format::Gif => (8, 4),
        // Up to 16 bits for each of four values, as they come and as they are handed out.
        Format::Tiff => (16, 8),
    }
}
