//! Images of any size that a worker takes for what they are.

use anyhow::{Context as _, Result};

const PHOTO: &[u8] = include_bytes!("../../../tests/samples/astronaut-face.jpg");
const END: [u8; 2] = [0xFF, 0xD9];

/// A JPEG of exactly `bytes`: the headers and the scan of a photograph, the scan continued with bytes as an encoder may write them, the end
/// marker at the very end. A decoder would show the photograph; whoever looks for the end has to look through all of it.
pub(crate) fn jpeg(bytes: usize) -> Result<Vec<u8>> {
    let photo = PHOTO.strip_suffix(&END).context("the sample ends with an end marker")?;
    let missing = bytes
        .checked_sub(photo.len() + END.len())
        .with_context(|| format!("an image has at least {} bytes", photo.len() + END.len()))?;
    let mut image = Vec::with_capacity(bytes);
    image.extend_from_slice(photo);
    let mut state = 0x5eed_u64;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[2]
    });
    let mut after_ff = false;
    image.extend(noise.take(missing).map(|byte| {
        // An encoder writes a zero behind every FF of its data: nothing in a scan looks like a marker.
        let stuffed = if after_ff { 0 } else { byte };
        after_ff = stuffed == 0xFF;
        stuffed
    }));
    if after_ff && let Some(last) = image.last_mut() {
        *last = 0;
    }
    image.extend_from_slice(&END);
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_its_size_and_one_end() {
        for size in [PHOTO.len(), PHOTO.len() + 1, 64_000, 200_001] {
            let image = jpeg(size).unwrap();
            assert_eq!(image.len(), size);
            assert!(image.starts_with(&[0xFF, 0xD8]));
            let first_end = image.windows(2).position(|pair| pair == END);
            assert_eq!(first_end, Some(size - 2), "{size}");
        }
        assert!(jpeg(1000).is_err());
    }
}
