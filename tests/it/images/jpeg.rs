//! How a JPEG is made, dressed up and broken.

use std::sync::OnceLock;

use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageFormat, RgbImage};
use jpeg_encoder::{ColorType, Encoder};

const PORTRAIT: &[u8] = include_bytes!("../../samples/astronaut.jpg");
const FACE: &[u8] = include_bytes!("../../samples/astronaut-face.jpg");

/// The largest content of one JPEG segment: its length field has 16 bits and counts itself.
const MAX_SEGMENT: usize = 0xffff - 2;
/// The length of the marker that opens every JPEG; segments may be put right behind it.
const SOI: usize = 2;

/// Which of the two portraits to start from.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// Head and shoulders, with the flag behind.
    Portrait,
    /// The face, as an onboarding selfie has it.
    Face,
}

impl Source {
    fn picture(self) -> &'static RgbImage {
        static PICTURES: [OnceLock<RgbImage>; 2] = [const { OnceLock::new() }; 2];

        let (slot, bytes) = match self {
            Self::Portrait => (&PICTURES[0], PORTRAIT),
            Self::Face => (&PICTURES[1], FACE),
        };
        slot.get_or_init(|| {
            image::load_from_memory_with_format(bytes, ImageFormat::Jpeg)
                .expect("the portraits in tests/samples are JPEGs")
                .into_rgb8()
        })
    }
}

/// The picture cut to the aspect ratio around its middle and scaled to `width` × `height`.
pub(super) fn picture(source: Source, width: u32, height: u32) -> RgbImage {
    let whole = source.picture();
    let (w, h) = whole.dimensions();
    let (crop_w, crop_h) = if w * height > h * width { (h * width / height, h) } else { (w, w * height / width) };
    let part = imageops::crop_imm(whole, (w - crop_w) / 2, (h - crop_h) / 2, crop_w, crop_h).to_image();
    // Through the type that is not generic, so that the work is done by code that was optimised with its crate.
    DynamicImage::from(part).resize_exact(width, height, FilterType::Triangle).into_rgb8()
}

/// How a picture becomes a JPEG.
#[derive(Clone, Copy)]
pub(super) struct Coding {
    /// 1 to 100.
    pub(super) quality: u8,
    pub(super) progressive: bool,
    pub(super) grey: bool,
}

/// Encodes `picture`, with `segments` (number and content of an `APPn` marker) in front of its tables.
pub(super) fn encode(picture: &RgbImage, coding: Coding, segments: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let side = |pixels: u32| u16::try_from(pixels).expect("a sample's side fits a JPEG");
    let (width, height) = (side(picture.width()), side(picture.height()));
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, coding.quality);
    encoder.set_progressive(coding.progressive);
    for (number, content) in segments {
        encoder.add_app_segment(*number, content.clone()).expect("a segment is below 64 KiB");
    }
    if coding.grey {
        encoder.encode(&imageops::grayscale(picture), width, height, ColorType::Luma)
    } else {
        encoder.encode(picture, width, height, ColorType::Rgb)
    }
    .expect("a picture of fitting size can be encoded");
    out
}

/// The content of an APP1 segment: an EXIF block that has an orientation and, after it, `trailer` (a thumbnail, a maker's note).
pub(super) fn exif(orientation: u8, trailer: &[u8]) -> Vec<u8> {
    let mut exif = b"Exif\0\0".to_vec();
    // Little-endian TIFF: the directory stands at offset 8 and has one entry, 0x0112 (orientation), one SHORT.
    exif.extend_from_slice(b"II\x2a\0\x08\0\0\0\x01\0");
    exif.extend_from_slice(b"\x12\x01\x03\0\x01\0\0\0");
    exif.extend_from_slice(&[orientation, 0, 0, 0]);
    exif.extend_from_slice(&[0; 4]);
    exif.extend_from_slice(trailer);
    exif
}

/// An EXIF block as large as a segment can hold. Its trailer starts with a whole small JPEG, as cameras put there, so that
/// a reader that looks for the next `FF C0` instead of walking the segments reports the thumbnail's size.
pub(super) fn largest_exif(orientation: u8) -> Vec<u8> {
    let mut block = exif(orientation, &thumbnail());
    let mut noise = Noise(0x5eed_0001);
    block.resize_with(MAX_SEGMENT, || noise.byte());
    block
}

/// APP2 segments with an ICC profile of `len` bytes cut into as many parts as it needs. The profile has a header's size and signature, and noise.
pub(super) fn icc(len: usize) -> Vec<(u8, Vec<u8>)> {
    const NAME: &[u8] = b"ICC_PROFILE\0";

    let mut noise = Noise(0x5eed_0002);
    let mut profile: Vec<u8> = std::iter::repeat_with(|| noise.byte()).take(len).collect();
    profile[..4].copy_from_slice(&u32::try_from(len).expect("a profile is below 4 GiB").to_be_bytes());
    profile[36..40].copy_from_slice(b"acsp");
    let parts = profile.chunks(MAX_SEGMENT - NAME.len() - 2);
    let count = u8::try_from(parts.len()).expect("a profile has at most 255 parts");
    parts.zip(1_u8..).map(|(part, number)| (2, [NAME, &[number, count], part].concat())).collect()
}

/// A JPEG of so many pixels a side, which EXIF says lies on its side.
pub(crate) fn lying(side: u32) -> Vec<u8> {
    let picture = picture(Source::Face, side, side);
    encode(&picture, Coding { quality: 80, progressive: false, grey: false }, &[(1, exif(6, &[]))])
}

/// A small JPEG that differs from that of every other `seed` in a comment only: made by a copy, so a scenario can have thousands.
pub(crate) fn tiny(seed: u64) -> Vec<u8> {
    let comment = format!("sample {seed}");
    with_comments(&thumbnail(), &[comment.as_bytes()])
}

/// A JPEG of exactly `len` bytes, different for every `seed`, whose picture is that of `tiny`: the rest is comments.
///
/// # Panics
///
/// When `len` is too small to hold the picture (about 4 KiB).
pub(crate) fn of_size(len: usize, seed: u64) -> Vec<u8> {
    let base = tiny(seed);
    let mut missing = len.checked_sub(base.len()).expect("the length holds the picture of a tiny sample");
    let mut comments = Vec::new();
    while missing > 0 {
        // Marker and length take four bytes, so what is left after a full comment must be nothing or at least those four.
        assert!(missing >= 4, "a length so near to the picture's own cannot be reached with comments");
        let mut content = (missing - 4).min(MAX_SEGMENT);
        if (1..4).contains(&(missing - 4 - content)) {
            content -= 4;
        }
        comments.push(vec![b'.'; content]);
        missing -= content + 4;
    }
    let comments: Vec<&[u8]> = comments.iter().map(Vec::as_slice).collect();
    with_comments(&base, &comments)
}

/// Where the frame header (SOF) of a JPEG begins, found by walking the segments.
pub(super) fn frame_header(jpeg: &[u8]) -> usize {
    let mut at = SOI;
    while !matches!(jpeg[at + 1], 0xc0..=0xc2) {
        at += 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
    }
    at
}

fn with_comments(jpeg: &[u8], comments: &[&[u8]]) -> Vec<u8> {
    let mut out = jpeg[..SOI].to_vec();
    for comment in comments {
        out.extend_from_slice(&[0xff, 0xfe]);
        out.extend_from_slice(&u16::try_from(comment.len() + 2).expect("a comment fits a segment").to_be_bytes());
        out.extend_from_slice(comment);
    }
    out.extend_from_slice(&jpeg[SOI..]);
    out
}

fn thumbnail() -> Vec<u8> {
    static THUMBNAIL: OnceLock<Vec<u8>> = OnceLock::new();

    THUMBNAIL
        .get_or_init(|| {
            encode(&picture(Source::Face, 96, 96), Coding { quality: 70, progressive: false, grey: false }, &[])
        })
        .clone()
}

/// Bytes that look like chance and are the same on every machine (xorshift).
struct Noise(u64);

impl Noise {
    fn byte(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.to_be_bytes()[2]
    }
}
