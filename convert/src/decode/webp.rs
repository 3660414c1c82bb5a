//! WebP, by image-webp.

use super::corrupt;
use crate::ConvertError;
use crate::pixels::{Colour, Pixels};
use antispoof_core::image::{Facts, webp_damage};
use image_webp::WebPDecoder;
use std::io::Cursor;

pub(super) fn decode(file: &[u8], facts: &Facts) -> Result<(Pixels, Option<Vec<u8>>), ConvertError> {
    // The decoder makes room for a frame before it compares it with the canvas, on which our memory is reckoned.
    webp_damage(file).map_err(|why| corrupt(&why))?;
    let mut decoder = WebPDecoder::new(Cursor::new(file)).map_err(|error| corrupt(&error))?;
    let (width, height) = decoder.dimensions();
    if (width, height) != (facts.width, facts.height) {
        return Err(corrupt(&"its headers contradict each other about width and height"));
    }
    decoder.set_memory_limit(file.len());
    let size = decoder.output_buffer_size().ok_or_else(|| corrupt(&"it is too large"))?;
    let mut data = vec![0; size];
    decoder.read_image(&mut data).map_err(|error| corrupt(&error))?;
    let profile = decoder.icc_profile().unwrap_or_default();
    let pixels = if decoder.has_alpha() {
        Pixels::on_white::<4>(data, width, height)
    } else {
        Pixels { data, width, height, colour: Colour::Rgb }
    };
    Ok((pixels, profile))
}
