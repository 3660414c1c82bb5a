//! The length, the digest and the checksum of an image as its bytes pass, and whether a JPEG came to its end.

use crate::checksum::{Algorithm, Checksum, Verifier};
use crate::failure::{Code, Failure};
use crate::image::{Facts, Format, JpegScan, Reason, Verify};
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

/// What the store keeps of the object, held against what comes.
enum Check {
    None,
    /// Added up beside the digest.
    Beside(Verifier),
    /// The digest is of the same kind: it is computed once.
    Digest(Checksum),
}

/// Where the image ends.
enum End {
    /// Searched for as two bytes.
    Header { found: bool, last: u8 },
    /// Reached from marker to marker.
    Structure(JpegScan),
    /// Wherever the decoder finds it: the image is no JPEG and will not be sent as it is.
    Decoder,
}

/// Watches the bytes of one image go by.
pub struct StreamDigest {
    hasher: Hasher,
    check: Check,
    seen: u64,
    /// Offset from which the end is looked for: a thumbnail in the header has one of its own.
    scan_from: u64,
    end: End,
}

impl std::fmt::Debug for StreamDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamDigest").field("seen", &self.seen).field("ended", &self.ended()).finish_non_exhaustive()
    }
}

impl StreamDigest {
    /// Watches an image of which the header has been inspected.
    pub fn new(kind: DigestKind, verify: Verify, facts: &Facts) -> Self {
        let hasher = match kind {
            DigestKind::Sha256 => Hasher::Sha256(Box::default()),
            DigestKind::Blake3 => Hasher::Blake3(Box::default()),
            DigestKind::Off => Hasher::Off,
        };
        let end = match verify {
            _ if facts.format != Format::Jpeg => End::Decoder,
            Verify::Header => End::Header { found: false, last: 0 },
            Verify::Structure | Verify::Decode => End::Structure(JpegScan::behind_first_scan_header(facts.restarts)),
        };
        Self { hasher, check: Check::None, seen: 0, scan_from: facts.scan_from, end }
    }

    /// Holds the bytes against the store's checksum, too. To be said before the first byte.
    #[must_use]
    pub fn expecting(mut self, checksum: Option<Checksum>) -> Self {
        self.check = match (checksum, &self.hasher) {
            (None, _) => Check::None,
            (Some(checksum), Hasher::Sha256(_)) if checksum.algorithm() == Algorithm::Sha256 => Check::Digest(checksum),
            (Some(checksum), _) => Check::Beside(Verifier::new(checksum)),
        };
        self
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
        if let Check::Beside(verifier) = &mut self.check {
            verifier.chunk(chunk);
        }
        let header = usize::try_from(self.scan_from.saturating_sub(self.seen)).unwrap_or(usize::MAX);
        if let Some(scan) = chunk.get(header..) {
            self.end.push(scan);
        }
        self.seen += chunk.len() as u64;
    }

    /// Bytes seen so far.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The digest as `algorithm:hex`, if all announced bytes came, have the store's checksum, and the image has an end. In this order: of what is short
    /// or damaged on its way nothing can be said against the image.
    pub fn finish(self, announced: u64) -> Result<Option<String>, Failure> {
        if self.seen != announced {
            return Err(Failure::new(
                Code::StoreUnavailable,
                format!("the store announced {announced} bytes and sent {}", self.seen),
            ));
        }
        let (name, digest): (_, Option<[u8; 32]>) = match self.hasher {
            Hasher::Sha256(hasher) => ("sha256:", Some(hasher.finalize().into())),
            Hasher::Blake3(hasher) => ("blake3:", Some(hasher.finalize().into())),
            Hasher::Off => ("", None),
        };
        match self.check {
            Check::None => {}
            Check::Beside(verifier) => verifier.finish()?,
            Check::Digest(checksum) => checksum.check(digest.as_ref().map_or(&[], |digest| &digest[..]))?,
        }
        self.end.reached().map_err(|why| Failure::new(Code::ImageCorrupt, format!("the jpeg is damaged: {why}")))?;
        Ok(digest.map(|digest| hex(name, &digest)))
    }

    fn ended(&self) -> bool {
        self.end.reached().is_ok()
    }
}

impl End {
    /// Takes the next bytes behind the header. Cameras append trailers (motion photos, depth maps) behind the end, so it is not at the end of the file.
    fn push(&mut self, scan: &[u8]) {
        match self {
            Self::Header { found, last } => {
                if let (false, Some(&end)) = (*found, scan.last()) {
                    *found = (*last == 0xFF && scan[0] == 0xD9) || memmem::find(scan, &[0xFF, 0xD9]).is_some();
                    *last = end;
                }
            }
            Self::Structure(markers) => markers.push(scan),
            Self::Decoder => {}
        }
    }

    fn reached(&self) -> Result<(), Reason> {
        match self {
            Self::Header { found: true, .. } | Self::Decoder => Ok(()),
            Self::Header { found: false, .. } => Err("it has no end-of-image marker: the file is cut off"),
            Self::Structure(markers) => markers.finish(),
        }
    }
}

/// Lower-case hexadecimal behind a prefix.
pub fn hex(prefix: &str, bytes: &[u8]) -> String {
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
mod tests;
