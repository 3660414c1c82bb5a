//! Pixels to JPEG.

use super::ConvertError;
use super::pixels::{Colour, Pixels};
use super::rows::Turned;
use antispoof_core::image::{Facts, Format};
use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, EncodingError, SamplingFactor};
use std::io;

/// Of a JPEG of so many pixels, most bytes that are accepted: what white noise takes at such a quality, ten times as much as a photograph.
pub(crate) fn most_bytes(pixels: u64, quality: u8) -> u64 {
    let quarters_of_a_byte = match quality {
        ..=90 => 9,
        91..=95 => 12,
        96.. => 20,
    };
    pixels * quarters_of_a_byte / 4 + HEADER
}

/// Tables, and the largest profile that is kept.
const HEADER: u64 = 64 * 1024 + 1024 * 1024;

/// A baseline JPEG of the picture, turned upright.
pub(crate) fn encode(
    pixels: &Pixels,
    facts: &Facts,
    profile: Option<&[u8]>,
    quality: u8,
) -> Result<Vec<u8>, ConvertError> {
    let Some(turned) = Turned::new(pixels, facts.orientation) else {
        let (width, height) = pixels.upright(facts.orientation);
        return Err(ConvertError::TooLarge(format!(
            "it has {width}x{height} pixels, and a jpeg has at most 65535 a side"
        )));
    };
    let most = most_bytes(u64::from(pixels.width) * u64::from(pixels.height), quality);
    let mut output = Output { bytes: Vec::new(), most: usize::try_from(most).unwrap_or(usize::MAX), full: false };
    match write(pixels, turned, facts, profile, quality, &mut output) {
        Ok(()) => {
            output.bytes.shrink_to_fit();
            Ok(output.bytes)
        }
        Err(_) if output.full => {
            Err(ConvertError::TooLarge(format!("as a jpeg of quality {quality} it has more than {most} bytes")))
        }
        Err(error) => Err(ConvertError::TooLarge(format!("it cannot be encoded: {error}"))),
    }
}

fn write(
    pixels: &Pixels,
    turned: Turned<'_>,
    facts: &Facts,
    profile: Option<&[u8]>,
    quality: u8,
    output: &mut Output,
) -> Result<(), EncodingError> {
    let mut encoder = Encoder::new(output, quality);
    if facts.format == Format::Jpeg {
        // Colour that was coarse does not become finer.
        let sampling = if facts.coding.coarse_colour { SamplingFactor::F_2_2 } else { SamplingFactor::F_1_1 };
        encoder.set_sampling_factor(sampling);
    }
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Nearest);
    if let Some(profile) = profile {
        encoder.add_icc_profile(profile)?;
    }
    if pixels.colour == Colour::Rgb && facts.orientation == 1 {
        // The encoder's own way from RGB has vector instructions.
        let (width, height) = turned.size();
        return encoder.encode(&pixels.data, width, height, ColorType::Rgb);
    }
    encoder.encode_image(turned)
}

/// Bytes up to a limit.
struct Output {
    bytes: Vec<u8>,
    most: usize,
    full: bool,
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if self.bytes.capacity() == 0 {
            // Pages that are not written to take no memory; growing in steps would take half as much again.
            self.bytes.reserve_exact(self.most);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
