//! The rows of a picture, turned while they are encoded: a turned copy would take as much memory again.

use super::pixels::{Colour, Pixels};
use jpeg_encoder::{ImageBuffer, JpegColorType, rgb_to_ycbcr};
use std::cell::RefCell;

/// Rows of the turned picture that are made together from columns: the values that lie beside each other in one row of the source.
const STRIP: usize = 16;

/// Keeps the rows of a strip off the same lines of the cache.
const PADDING: usize = 64;

/// A picture as it is after turning by its EXIF orientation.
pub(crate) struct Turned<'a> {
    pixels: &'a Pixels,
    orientation: u8,
    width: u16,
    height: u16,
    strip: RefCell<Strip>,
}

/// Some rows, a plane for each value of a pixel.
#[derive(Default)]
struct Strip {
    /// The first row. None has been made where there are no values.
    first: usize,
    values: Vec<u8>,
}

impl<'a> Turned<'a> {
    /// `None` where a side is longer than a JPEG can have.
    pub(crate) fn new(pixels: &'a Pixels, orientation: u8) -> Option<Self> {
        let (width, height) = pixels.upright(orientation);
        let (width, height) = (u16::try_from(width).ok()?, u16::try_from(height).ok()?);
        Some(Self { pixels, orientation, width, height, strip: RefCell::default() })
    }

    pub(crate) fn size(&self) -> (u16, u16) {
        (self.width, self.height)
    }

    fn source(&self) -> (usize, usize, usize) {
        let Pixels { width, height, colour, .. } = self.pixels;
        (*width as usize, *height as usize, colour.channels())
    }

    /// A row of the picture where rows stay rows.
    fn row(&self, y: usize, buffers: &mut [Vec<u8>; 4]) {
        let (width, height, channels) = self.source();
        let from_bottom = matches!(self.orientation, 3 | 4);
        let y = if from_bottom { height - 1 - y } else { y };
        let row = &self.pixels.data[y * width * channels..][..width * channels];
        if self.pixels.colour == Colour::Ycc && !matches!(self.orientation, 2 | 3) {
            return apart(row, buffers);
        }
        let pixels = row.chunks_exact(channels);
        if matches!(self.orientation, 2 | 3) { self.push(pixels.rev(), buffers) } else { self.push(pixels, buffers) }
    }

    fn push<'p>(&self, pixels: impl ExactSizeIterator<Item = &'p [u8]> + Clone, buffers: &mut [Vec<u8>; 4]) {
        match self.pixels.colour {
            Colour::Rgb => {
                for pixel in pixels {
                    let (y, cb, cr) = rgb_to_ycbcr(pixel[0], pixel[1], pixel[2]);
                    buffers[0].push(y);
                    buffers[1].push(cb);
                    buffers[2].push(cr);
                }
            }
            Colour::Grey => buffers[0].extend(pixels.map(|pixel| pixel[0])),
            Colour::Ycc => {
                let [first, second, third, _] = buffers;
                first.extend(pixels.clone().map(|pixel| pixel[0]));
                second.extend(pixels.clone().map(|pixel| pixel[1]));
                third.extend(pixels.map(|pixel| pixel[2]));
            }
        }
    }

    /// A row of the picture that was a column.
    fn column(&self, y: usize, buffers: &mut [Vec<u8>; 4]) {
        let (_, length, channels) = self.source();
        let mut strip = self.strip.borrow_mut();
        let first = y / STRIP * STRIP;
        if strip.values.is_empty() || strip.first != first {
            self.fill(first, &mut strip);
        }
        let stride = length + PADDING;
        let rows: [&[u8]; 3] = std::array::from_fn(|channel| {
            let at = (channel.min(channels - 1) * STRIP + y - first) * stride;
            &strip.values[at..at + length]
        });
        if self.pixels.colour == Colour::Rgb {
            for ((&red, &green), &blue) in rows[0].iter().zip(rows[1]).zip(rows[2]) {
                let (y, cb, cr) = rgb_to_ycbcr(red, green, blue);
                buffers[0].push(y);
                buffers[1].push(cb);
                buffers[2].push(cr);
            }
        } else {
            for (buffer, row) in buffers.iter_mut().zip(rows).take(channels) {
                buffer.extend_from_slice(row);
            }
        }
    }

    /// Makes rows of columns.
    fn fill(&self, first: usize, strip: &mut Strip) {
        let (width, height, channels) = self.source();
        let stride = height + PADDING;
        strip.first = first;
        strip.values.resize(channels * STRIP * stride, 0);
        let rows = STRIP.min(width - first);
        // 5 and 6 begin with the left column, 7 and 8 with the right one; 6 and 7 go up the columns.
        let (from_right, upwards) = (matches!(self.orientation, 7 | 8), matches!(self.orientation, 6 | 7));
        let left = if from_right { width - first - rows } else { first };
        // In squares: what is read stays in the cache while what is written is contiguous.
        for square in (0..height).step_by(STRIP) {
            let length = STRIP.min(height - square);
            let sources: [&[u8]; STRIP] = std::array::from_fn(|at| {
                let x = square + at.min(length - 1);
                let source_row = if upwards { height - 1 - x } else { x };
                let at = (source_row * width + left) * channels;
                &self.pixels.data[at..at + rows * channels]
            });
            for column in 0..rows {
                let row = if from_right { rows - 1 - column } else { column };
                for channel in 0..channels {
                    let at = (channel * STRIP + row) * stride + square;
                    let from = column * channels + channel;
                    for (value, source) in strip.values[at..at + length].iter_mut().zip(&sources) {
                        *value = source[from];
                    }
                }
            }
        }
    }
}

/// The three values of each pixel into three planes, in blocks of which the compiler makes vector instructions.
fn apart(row: &[u8], [first, second, third, _]: &mut [Vec<u8>; 4]) {
    const PIXELS: usize = 32;

    let (blocks, rest) = row.as_chunks::<{ 3 * PIXELS }>();
    for block in blocks {
        let mut planes = [[0; PIXELS]; 3];
        for at in 0..PIXELS {
            planes[0][at] = block[3 * at];
            planes[1][at] = block[3 * at + 1];
            planes[2][at] = block[3 * at + 2];
        }
        first.extend_from_slice(&planes[0]);
        second.extend_from_slice(&planes[1]);
        third.extend_from_slice(&planes[2]);
    }
    for pixel in rest.chunks_exact(3) {
        first.push(pixel[0]);
        second.push(pixel[1]);
        third.push(pixel[2]);
    }
}

impl ImageBuffer for Turned<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        match self.pixels.colour {
            Colour::Grey => JpegColorType::Luma,
            Colour::Rgb | Colour::Ycc => JpegColorType::Ycbcr,
        }
    }

    fn width(&self) -> u16 {
        self.width
    }

    fn height(&self) -> u16 {
        self.height
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        if self.orientation >= 5 {
            self.column(usize::from(y), buffers);
        } else {
            self.row(usize::from(y), buffers);
        }
    }
}

#[cfg(test)]
mod tests;
