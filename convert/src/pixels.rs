//! Decoded pixels.

/// What the values of a pixel mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// One value.
    Grey,
    /// Three, red first.
    Rgb,
    /// Three, as in a JPEG: what comes from one goes into one without two roundings.
    Ycc,
}

impl Colour {
    pub(crate) const fn channels(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb | Self::Ycc => 3,
        }
    }
}

/// Rows from top to bottom, without padding.
#[derive(Debug)]
pub(crate) struct Pixels {
    pub(crate) data: Vec<u8>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) colour: Colour,
}

impl Pixels {
    /// Width and height once the picture is upright.
    pub(crate) fn upright(&self, orientation: u8) -> (u32, u32) {
        if orientation >= 5 { (self.height, self.width) } else { (self.width, self.height) }
    }

    /// Of grey or colour values with alpha, on white.
    pub(crate) fn on_white<const CHANNELS: usize>(mut data: Vec<u8>, width: u32, height: u32) -> Self {
        let colours = CHANNELS - 1;
        let mut to = 0;
        for from in (0..data.len() / CHANNELS * CHANNELS).step_by(CHANNELS) {
            let alpha = u32::from(data[from + colours]);
            for at in 0..colours {
                data[to + at] = blended(data[from + at], alpha);
            }
            to += colours;
        }
        data.truncate(to);
        Self { data, width, height, colour: if colours == 1 { Colour::Grey } else { Colour::Rgb } }
    }
}

/// A value on white, rounded.
fn blended(value: u8, alpha: u32) -> u8 {
    let sum = u32::from(value) * alpha + 255 * (255 - alpha);
    u8::try_from((sum + 127) / 255).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_transparent_is_white_and_what_is_opaque_stays() {
        let pixels = Pixels::on_white::<4>(vec![10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 200, 128], 3, 1);
        assert_eq!((pixels.data, pixels.colour), (vec![10, 20, 30, 255, 255, 255, 127, 177, 227], Colour::Rgb));
        let grey = Pixels::on_white::<2>(vec![7, 255, 7, 0], 2, 1);
        assert_eq!((grey.data, grey.colour), (vec![7, 255], Colour::Grey));
    }
}
