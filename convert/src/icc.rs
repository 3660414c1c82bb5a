//! ICC profiles (ICC.1:2022, 7.2): whether one goes with what is encoded.

use super::pixels::Colour;

/// Profiles of cameras and screens have up to some hundred KB. A larger one is left out: the header of a JPEG is bounded.
const MOST_BYTES: usize = 1024 * 1024;

/// Whether a profile is one, and describes the values that are encoded. That of a CMYK image, which becomes RGB, does not.
pub(crate) fn goes_with(profile: &[u8], colour: Colour) -> bool {
    let space: &[u8] = match colour {
        Colour::Grey => b"GRAY",
        Colour::Rgb | Colour::Ycc => b"RGB ",
    };
    profile.len() <= MOST_BYTES && profile.get(16..20) == Some(space) && profile.get(36..40) == Some(b"acsp")
}
