//! Makes a picture smaller.

use super::ConvertError;
use super::pixels::{Colour, Pixels};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

/// The picture with a longer side of at most `max_side` pixels (0: as it is), and that side before and after.
pub(crate) fn within(pixels: Pixels, max_side: u32) -> Result<(Pixels, Option<(u32, u32)>), ConvertError> {
    let Pixels { width, height, colour, .. } = pixels;
    let Some((to_width, to_height)) = scaled(width, height, max_side) else {
        return Ok((pixels, None));
    };
    let kind = match colour {
        Colour::Grey => PixelType::U8,
        Colour::Rgb | Colour::Ycc => PixelType::U8x3,
    };
    let from = ImageRef::new(width, height, &pixels.data, kind).map_err(|error| too_large(&error))?;
    let mut to = Image::new(to_width, to_height, kind);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    Resizer::new().resize(&from, &mut to, &options).map_err(|error| too_large(&error))?;
    let smaller = Pixels { data: to.into_vec(), width: to_width, height: to_height, colour };
    Ok((smaller, Some((width.max(height), max_side))))
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
