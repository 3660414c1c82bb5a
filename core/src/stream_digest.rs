//! The length and the digest of an image as its bytes pass, and whether a JPEG came to its end.

use crate::failure::{Code, Failure};
use memchr::memmem;
use serde::Deserialize;
use sha2::Digest as _;

/// Which digest of the checked bytes goes into the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DigestKind {
    /// What auditors know. Costs about as much as everything else together for images of 1 MB and more.
    Sha256,
    /// A quarter of the price.
    Blake3,
    /// None.
    Off,
}

enum Hasher {
    Sha256(Box<sha2::Sha256>),
    Blake3(Box<blake3::Hasher>),
    Off,
}

/// Watches the bytes of one image go by.
pub struct StreamDigest {
    hasher: Hasher,
    seen: u64,
    /// Offset at which an end-of-image marker starts to count: a thumbnail in the header has one of its own.
    scan_from: u64,
    ended: bool,
    last: u8,
}

impl std::fmt::Debug for StreamDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamDigest").field("seen", &self.seen).field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl StreamDigest {
    /// Watches an image whose frame header was found at `scan_from`.
    pub fn new(kind: DigestKind, scan_from: u64) -> Self {
        let hasher = match kind {
            DigestKind::Sha256 => Hasher::Sha256(Box::default()),
            DigestKind::Blake3 => Hasher::Blake3(Box::default()),
            DigestKind::Off => Hasher::Off,
        };
        Self { hasher, seen: 0, scan_from, ended: false, last: 0 }
    }

    /// Takes note of the next bytes.
    pub fn chunk(&mut self, chunk: &[u8]) {
        match &mut self.hasher {
            Hasher::Sha256(hasher) => hasher.update(chunk),
            Hasher::Blake3(hasher) => {
                hasher.update(chunk);
            }
            Hasher::Off => {}
        }
        if !self.ended {
            self.look_for_end(chunk);
        }
        self.seen += chunk.len() as u64;
    }

    /// Bytes seen so far.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The digest as `algorithm:hex`, if all announced bytes came and the image has an end.
    pub fn finish(self, announced: u64) -> Result<Option<String>, Failure> {
        if self.seen != announced {
            return Err(Failure::new(
                Code::StoreUnavailable,
                format!("the store announced {announced} bytes and sent {}", self.seen),
            ));
        }
        if !self.ended {
            return Err(Failure::new(Code::ImageCorrupt, "the jpeg has no end-of-image marker: the file is cut off"));
        }
        Ok(match self.hasher {
            Hasher::Sha256(hasher) => Some(hex("sha256:", &hasher.finalize())),
            Hasher::Blake3(hasher) => Some(hex("blake3:", hasher.finalize().as_bytes())),
            Hasher::Off => None,
        })
    }

    /// Cameras append trailers (motion photos, depth maps) after the end marker, so it is looked for everywhere behind the frame header.
    fn look_for_end(&mut self, chunk: &[u8]) {
        let skip = usize::try_from(self.scan_from.saturating_sub(self.seen)).unwrap_or(usize::MAX);
        let Some(scan) = chunk.get(skip..).filter(|scan| !scan.is_empty()) else {
            return;
        };
        let split_marker = skip == 0 && self.last == 0xFF && scan[0] == 0xD9;
        self.ended = split_marker || memmem::find(scan, &[0xFF, 0xD9]).is_some();
        self.last = scan[scan.len() - 1];
    }
}

/// Lower-case hexadecimal behind a prefix.
pub(crate) fn hex(prefix: &str, bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(prefix.len() + bytes.len() * 2);
    text.push_str(prefix);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(kind: DigestKind, scan_from: u64, chunks: &[&[u8]], announced: u64) -> Result<Option<String>, Failure> {
        let mut digest = StreamDigest::new(kind, scan_from);
        for chunk in chunks {
            digest.chunk(chunk);
        }
        digest.finish(announced)
    }

    #[test]
    fn digests_are_named_and_known() {
        let end = &[0xFF, 0xD9][..];
        assert_eq!(
            run(DigestKind::Sha256, 0, &[end], 2).expect("ends"),
            Some("sha256:cde66e78e5419dea74df7cf43d9aa876b8c669d40067992e719cef90ac5f3fe0".to_owned())
        );
        assert_eq!(
            run(DigestKind::Blake3, 0, &[end], 2).expect("ends"),
            Some(hex("blake3:", blake3::hash(end).as_bytes()))
        );
        assert_eq!(run(DigestKind::Off, 0, &[end], 2).expect("ends"), None);
    }

    #[test]
    fn a_short_stream_is_the_store_s_fault_and_a_missing_end_the_image_s() {
        let short = run(DigestKind::Off, 0, &[&[0xFF, 0xD9]], 3).expect_err("short");
        assert_eq!(short.code(), Code::StoreUnavailable);
        let cut = run(DigestKind::Off, 0, &[&[0xFF, 0x00, 0xD9]], 3).expect_err("cut");
        assert_eq!(cut.code(), Code::ImageCorrupt);
    }

    #[test]
    fn the_end_of_a_thumbnail_in_the_header_does_not_count() {
        let image = [0xFF, 0xD8, 0xFF, 0xD9, 1, 2, 3];
        assert!(run(DigestKind::Off, 4, &[&image], 7).is_err());
        assert!(run(DigestKind::Off, 2, &[&image], 7).is_ok(), "a trailer behind the end is fine");
    }

    proptest! {
        #[test]
        fn chunking_does_not_matter(bytes in prop::collection::vec(prop_oneof![Just(0xFFu8), Just(0xD9), Just(0u8)], 0..40),
                                    cuts in prop::collection::vec(0usize..40, 0..6), scan_from in 0u64..40) {
            let whole = run(DigestKind::Sha256, scan_from, &[&bytes], bytes.len() as u64);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(run(DigestKind::Sha256, scan_from, &pieces, bytes.len() as u64), whole);
        }
    }
}
