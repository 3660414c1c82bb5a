//! JPEG, by zune-jpeg.

use super::{corrupt, header};
use crate::ConvertError;
use crate::pixels::{Colour, Pixels};
use antispoof_core::image::Facts;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Each scan of a progressive file goes over the whole picture. Encoders make about ten.
const MOST_SCANS: usize = 100;

const MOST_SIDE: usize = 65_535;

type Decoder<'a> = JpegDecoder<ZCursor<&'a [u8]>>;

pub(super) fn decode(file: &[u8], facts: &Facts) -> Result<(Pixels, Option<Vec<u8>>), ConvertError> {
    let file = header::cleaned(file, true);
    let (mut decoder, space) = begin(&file, facts)?;
    let (colour, output) = match space {
        ColorSpace::Luma => (Colour::Grey, ColorSpace::Luma),
        ColorSpace::YCbCr => (Colour::Ycc, ColorSpace::YCbCr),
        _ => (Colour::Rgb, ColorSpace::RGB),
    };
    decoder.set_options(options().jpeg_set_out_colorspace(output));
    let data = decoder.decode().map_err(|error| refused(&error))?;
    let profile = decoder.icc_profile();
    Ok((Pixels { data, width: facts.width, height: facts.height, colour }, profile))
}

/// Decodes and forgets the pixels.
pub(crate) fn check(file: &[u8], facts: &Facts) -> Result<(), ConvertError> {
    let file = header::cleaned(file, false);
    let (mut decoder, space) = begin(&file, facts)?;
    if matches!(space, ColorSpace::Luma | ColorSpace::YCbCr) {
        decoder.set_options(options().jpeg_set_out_colorspace(ColorSpace::Luma));
    }
    decoder.decode().map(drop).map_err(|error| refused(&error))
}

/// Reads the headers, and finds the colour space of the file.
fn begin<'a>(file: &'a [u8], facts: &Facts) -> Result<(Decoder<'a>, ColorSpace), ConvertError> {
    if facts.coding.arithmetic {
        return Err(ConvertError::Unsupported("it is a jpeg with arithmetic coding, which is not decoded here"));
    }
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options());
    decoder.decode_headers().map_err(|error| refused(&error))?;
    let found = decoder.info().map(|info| (u32::from(info.width), u32::from(info.height)));
    if found != Some((facts.width, facts.height)) {
        return Err(corrupt(&"its headers contradict each other about width and height"));
    }
    let space = decoder.input_colorspace().unwrap_or(ColorSpace::Unknown);
    Ok((decoder, space))
}

/// Strict: data that makes no sense would otherwise be smeared over the picture.
fn options() -> DecoderOptions {
    let options = DecoderOptions::default().set_max_width(MOST_SIDE).set_max_height(MOST_SIDE);
    options.jpeg_set_max_scans(MOST_SCANS).set_strict_mode(true)
}

fn refused(error: &DecodeErrors) -> ConvertError {
    corrupt(&format_args!("{error:?}"))
}
