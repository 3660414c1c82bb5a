//! Makes an upright JPEG of an image that is not sent as it is: decoded, turned, scaled and encoded, with its ICC profile and nothing else of what the
//! file said about itself. Pure computation: the caller has a thread for it, and the memory that [`memory()`] asks for.

mod decode;
mod encode;
mod icc;
mod memory;
mod pixels;
mod rows;
mod scale;

pub use decode::dimensions;
pub use memory::{decoding_memory, memory};

use antispoof_core::image::Facts;

/// What is made of an image. A JPEG that needs nothing of this is better sent as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The longer side has at most so many pixels afterwards; 0 is no limit.
    pub max_side: u32,
    /// Quality of the JPEG, 1 to 100.
    pub quality: u8,
}

/// The JPEG that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// Its bytes.
    pub jpeg: Vec<u8>,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The longer side before and after, where it was scaled.
    pub scaled: Option<(u32, u32)>,
}

/// Why there is no JPEG. The texts name neither a file nor what it shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// The file is damaged: a decoder's own words.
    #[error("it cannot be decoded: {0}")]
    Corrupt(String),
    /// The file is of a kind that is not decoded here.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A JPEG cannot hold it, or more memory would be taken than [`memory()`] asked for.
    #[error("{0}")]
    TooLarge(String),
}

/// Decodes a file, turns and scales the picture, and encodes it. `facts` are those of the file, with its dimensions ([`dimensions`]) and orientation
/// ([`antispoof_core::image::orientation`]). The file is freed as soon as it is decoded.
pub fn convert(file: Vec<u8>, facts: &Facts, wish: Wish) -> Result<Converted, ConvertError> {
    let (pixels, profile) = decode::decode(&file, facts)?;
    drop(file);
    let (pixels, scaled) = scale::within(pixels, wish.max_side)?;
    let profile = profile.filter(|profile| icc::goes_with(profile, pixels.colour));
    let (width, height) = pixels.upright(facts.orientation);
    let jpeg = encode::encode(&pixels, facts, profile.as_deref(), wish.quality)?;
    Ok(Converted { jpeg, width, height, scaled })
}

/// Decodes a JPEG and forgets the pixels: whether a decoder reads it. One that is not decoded here (arithmetic coding) is [`ConvertError::Unsupported`].
pub fn check(file: &[u8], facts: &Facts) -> Result<(), ConvertError> {
    decode::check(file, facts)
}

#[cfg(test)]
mod tests;
