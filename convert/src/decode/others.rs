//! BMP, TIFF and GIF, by image.

use super::corrupt;
use crate::ConvertError;
use crate::Wish;
use crate::memory::memory;
use crate::pixels::{Colour, Pixels};
use antispoof_core::image::{Facts, bmp_kind, tiff_kind};
use image::codecs::bmp::BmpDecoder;
use image::codecs::gif::GifDecoder;
use image::codecs::tiff::TiffDecoder;
use image::{DynamicImage, ImageDecoder, ImageError, Limits};
use std::io::Cursor;

/// Width and height of a TIFF, which stand anywhere in the file.
pub fn dimensions(tiff: &[u8]) -> Result<(u32, u32), ConvertError> {
    tiff_kind(tiff).map_err(ConvertError::Unsupported)?;
    let decoder = TiffDecoder::new(Cursor::new(tiff)).map_err(|error| refused(&error))?;
    Ok(decoder.dimensions())
}

pub(super) fn bmp(file: &[u8], facts: &Facts) -> Result<(Pixels, Option<Vec<u8>>), ConvertError> {
    bmp_kind(file).map_err(ConvertError::Unsupported)?;
    decode(BmpDecoder::new(Cursor::new(file)), facts)
}

pub(super) fn tiff(file: &[u8], facts: &Facts) -> Result<(Pixels, Option<Vec<u8>>), ConvertError> {
    tiff_kind(file).map_err(ConvertError::Unsupported)?;
    decode(TiffDecoder::new(Cursor::new(file)), facts)
}

pub(super) fn gif(file: &[u8], facts: &Facts) -> Result<(Pixels, Option<Vec<u8>>), ConvertError> {
    decode(GifDecoder::new(Cursor::new(file)), facts)
}

fn decode<D: ImageDecoder>(
    decoder: Result<D, ImageError>,
    facts: &Facts,
) -> Result<(Pixels, Option<Vec<u8>>), ConvertError> {
    let mut decoder = decoder.map_err(|error| refused(&error))?;
    if decoder.dimensions() != (facts.width, facts.height) {
        return Err(corrupt(&"its headers contradict each other about width and height"));
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(memory(facts, 0, Wish { max_side: 0, quality: 90 }));
    decoder.set_limits(limits).map_err(|error| refused(&error))?;
    let profile = decoder.icc_profile().unwrap_or_default();
    let (width, height) = decoder.dimensions();
    let picture = DynamicImage::from_decoder(decoder).map_err(|error| refused(&error))?;
    let grey = !picture.color().has_color();
    let pixels = match (grey, picture.color().has_alpha()) {
        (true, false) => Pixels { data: picture.into_luma8().into_raw(), width, height, colour: Colour::Grey },
        (true, true) => Pixels::on_white::<2>(picture.into_luma_alpha8().into_raw(), width, height),
        (false, false) => Pixels { data: picture.into_rgb8().into_raw(), width, height, colour: Colour::Rgb },
        (false, true) => Pixels::on_white::<4>(picture.into_rgba8().into_raw(), width, height),
    };
    // What was CMYK has been made RGB, and its profile does not go with that: `icc` sees to it.
    Ok((pixels, profile))
}

fn refused(error: &ImageError) -> ConvertError {
    match error {
        ImageError::Unsupported(_) => {
            ConvertError::Unsupported("its kind of coding or of pixels is not decoded here: store it as jpeg or png")
        }
        ImageError::Limits(_) => {
            ConvertError::TooLarge(format!("decoding takes more memory than such an image: {error}"))
        }
        _ => corrupt(error),
    }
}
