//! The bytes of an image, on their way from the store to the API.

use crate::Part;
use antispoof_core::encode::Encoder;
use antispoof_core::image::{Facts, Inspector, Verify, inspect};
use antispoof_core::stream_digest::{DigestKind, StreamDigest};
use bytes::Bytes;
use std::hint::black_box;

/// As a socket gives them.
pub(crate) const CHUNK: usize = 16 * 1024;

const ITERATIONS: u64 = 50;

/// A photo of 59 kB.
const PHOTO: &[u8] = include_bytes!("../../tests/samples/astronaut-face.jpg");

/// What a camera writes before the image: of public JPEGs the middle one has its frame header at 14 KB.
const EXIF_BYTES: u16 = 14 * 1024;

/// The photo with a camera's header.
pub(crate) fn photo() -> Bytes {
    let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xE1];
    bytes.extend(EXIF_BYTES.to_be_bytes());
    // One entry: orientation 1. The rest of the segment is what a maker would note there.
    bytes.extend(b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0\0\0\0\0");
    bytes.resize(4 + usize::from(EXIF_BYTES), 0);
    bytes.extend_from_slice(&PHOTO[2..]);
    bytes.into()
}

/// The photo in chunks.
pub(crate) fn chunks() -> Vec<Bytes> {
    let photo = photo();
    (0..photo.len()).step_by(CHUNK).map(|at| photo.slice(at..photo.len().min(at + CHUNK))).collect()
}

/// The header.
pub(crate) fn head() -> Part {
    let inspect = |chunks: Vec<Bytes>| {
        let mut inspector = Inspector::default();
        let facts = chunks.iter().find_map(|chunk| inspector.push(black_box(chunk)).expect("a JPEG"));
        assert!(facts.is_some(), "the header ends within the image");
    };
    Part::new("inspect_head", ITERATIONS, |_| chunks(), inspect)
}

/// The request body.
pub(crate) fn base64() -> Part {
    let encode = |chunks: Vec<Bytes>| {
        let mut encoder = Encoder::default();
        for chunk in &chunks {
            black_box(encoder.push(black_box(chunk)));
        }
        black_box(encoder.finish());
    };
    Part::new("encode_base64", ITERATIONS, |_| chunks(), encode)
}

/// The digest that is off, with the cheaper of the searches for the image's end.
pub(crate) fn end_marker() -> Part {
    digest("find_end_marker", DigestKind::Off, Verify::Header)
}

/// The markers up to the image's end.
pub(crate) fn structure() -> Part {
    digest("walk_structure", DigestKind::Off, Verify::Structure)
}

/// The default digest, in software: valgrind's processor has no instructions for it.
pub(crate) fn sha256() -> Part {
    digest("digest_sha256", DigestKind::Sha256, Verify::Header)
}

fn digest(name: &'static str, kind: DigestKind, verify: Verify) -> Part {
    let (photo, facts) = (photo(), facts());
    let bytes = photo.len() as u64;
    let digest = move |chunks: Vec<Bytes>| {
        let mut digest = StreamDigest::new(kind, verify, &facts);
        for chunk in &chunks {
            digest.chunk(black_box(chunk));
        }
        black_box(digest.finish(bytes)).expect("a whole image");
    };
    Part::new(name, ITERATIONS, |_| chunks(), digest)
}

fn facts() -> Facts {
    inspect(&photo()).expect("a JPEG")
}
