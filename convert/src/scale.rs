//! Makes a picture smaller.

use super::ConvertError;
use super::pixels::{Colour, Pixels};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};

/// The picture with a longer side of at most `max_side` pixels (0: as it is), and that side before and after.
pub(crate) fn within(pixels: Pixels, max_side: u32) -> Result<(Pixels, Option<(u32, u32)>), ConvertError> {
    let Pixels { width, height, colour, .. } = pixels;
    let Some((to_width, to_height)) = scaled(width, height, max_side) else {
        return Ok((pixels, None));
    };
    let to = (to_width, to_height);
    let data = match colour {
        Colour::Grey => smaller::<U8>(&pixels, to)?,
        Colour::Rgb | Colour::Ycc => smaller::<U8x3>(&pixels, to)?,
    };
    let smaller = Pixels { data, width: to_width, height: to_height, colour };
    Ok((smaller, Some((width.max(height), max_side))))
}

/// The kind of pixel is known to the compiler, so that the program has no code for the twelve that do not occur.
fn smaller<P: PixelTrait>(pixels: &Pixels, (width, height): (u32, u32)) -> Result<Vec<u8>, ConvertError> {
    let from = TypedImageRef::<P>::from_buffer(pixels.width, pixels.height, &pixels.data)
        .map_err(|error| too_large(&error))?;
    let mut data = vec![0; width as usize * height as usize * pixels.colour.channels()];
    let mut to = TypedImage::<P>::from_buffer(width, height, &mut data).map_err(|error| too_large(&error))?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    Resizer::new().resize_typed(&from, &mut to, &options).map_err(|error| too_large(&error))?;
    Ok(data)
}

/// Width and height where the longer side is `max_side`; `None` where it is not longer.
pub(crate) fn scaled(width: u32, height: u32, max_side: u32) -> Option<(u32, u32)> {
    let longer = width.max(height);
    if max_side == 0 || longer <= max_side {
        return None;
    }
    let shorter = u64::from(width.min(height)) * u64::from(max_side);
    // Rounded.
    let shorter = (2 * shorter + u64::from(longer)) / (2 * u64::from(longer));
    let shorter = u32::try_from(shorter).unwrap_or(max_side).max(1);
    Some(if width >= height { (max_side, shorter) } else { (shorter, max_side) })
}

fn too_large(error: &dyn std::error::Error) -> ConvertError {
    ConvertError::TooLarge(format!("it cannot be scaled: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_side_is_what_is_asked_for_and_no_side_vanishes() {
        for (width, height, max_side, expected) in [
            (4000, 3000, 2048, Some((2048, 1536))),
            (3000, 4000, 2048, Some((1536, 2048))),
            (2048, 100, 2048, None),
            (100, 100, 0, None),
            (65_535, 1, 100, Some((100, 1))),
            (1001, 1000, 500, Some((500, 500))),
        ] {
            assert_eq!(scaled(width, height, max_side), expected, "{width}x{height} to {max_side}");
        }
    }
}
