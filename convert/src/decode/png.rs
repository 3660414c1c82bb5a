//! PNG, by png.

use super::corrupt;
use crate::ConvertError;
use crate::pixels::{Colour, Pixels};
use png::{ColorType, Decoder, Limits, Transformations};
use std::io::Cursor;

/// For everything but the pixels: rows, the palette, the profile.
const MOST_BYTES: usize = 4 * 1024 * 1024;

pub(super) fn decode(file: &[u8]) -> Result<(Pixels, Option<Vec<u8>>), ConvertError> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(file), Limits { bytes: MOST_BYTES });
    decoder.set_ignore_text_chunk(true);
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(|error| corrupt(&error))?;
    let size = reader.output_buffer_size().ok_or_else(|| corrupt(&"it is too large"))?;
    let mut data = vec![0; size];
    let (width, height) = reader.info().size();
    let row = reader.output_line_size(width).filter(|&row| row > 0 && !reader.info().interlaced);
    match row {
        None => {
            reader.next_frame(&mut data).map_err(|error| corrupt(&error))?;
        }
        // Row by row: what is cut off behind the last one does no harm.
        Some(row) => {
            for row in data.chunks_exact_mut(row) {
                reader.read_row(row).map_err(|error| corrupt(&error))?.ok_or_else(|| corrupt(&"rows are missing"))?;
            }
        }
    }
    let plain = |data, colour| Pixels { data, width, height, colour };
    let pixels = match reader.output_color_type().0 {
        ColorType::Grayscale => plain(data, Colour::Grey),
        ColorType::Rgb => plain(data, Colour::Rgb),
        ColorType::GrayscaleAlpha => Pixels::on_white::<2>(data, width, height),
        ColorType::Rgba => Pixels::on_white::<4>(data, width, height),
        ColorType::Indexed => return Err(corrupt(&"its palette was not resolved")),
    };
    Ok((pixels, reader.info().icc_profile.as_deref().map(<[u8]>::to_vec)))
}
