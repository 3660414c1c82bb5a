//! The samples are what their manifest says.

use std::collections::HashSet;
use std::io::Cursor;

use image::ImageReader;

use crate::images::{Expected, catalogue, jpeg, sample, sha256};

const EOI: [u8; 2] = [0xff, 0xd9];

#[test]
fn names_are_unique_and_two_dozen_reach_the_detector() {
    let samples = catalogue();
    let names: HashSet<_> = samples.iter().map(|sample| sample.name).collect();
    assert_eq!(names.len(), samples.len());
    assert!(samples.iter().filter(|sample| sample.expected == Expected::Verdict).count() >= 24);
}

/// The small ones only: a test build takes its time over two thousand pixels a side.
#[test]
fn good_samples_decode_to_the_size_they_state() {
    let small = |size: Option<(u32, u32)>| size.is_some_and(|(width, height)| width.max(height) <= 640);
    let good = catalogue().into_iter().filter(|sample| sample.expected == Expected::Verdict && small(sample.size));
    let mut digests = HashSet::new();
    for sample in good {
        let bytes = sample.bytes();
        assert_eq!(bytes[bytes.len() - 2..], EOI, "{}", sample.name);
        let reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format().expect("memory can be read");
        let image = reader.decode().unwrap_or_else(|problem| panic!("{}: {problem}", sample.name));
        assert_eq!(Some((image.width(), image.height())), sample.size, "{}", sample.name);
        assert!(digests.insert(sha256(&bytes)), "{} is another sample's double", sample.name);
    }
    assert!(digests.len() >= 10, "{} samples are small", digests.len());
}

#[test]
fn the_long_header_is_long_and_has_a_thumbnail_to_stumble_over() {
    let bytes = sample("face-header-beyond-200kb.jpg").bytes();
    let pairs = || bytes.windows(2);
    let frame_headers: Vec<_> = pairs().enumerate().filter(|(_, pair)| *pair == [0xff, 0xc0]).collect();
    assert!(frame_headers.first().is_some_and(|(at, _)| *at < 1024), "the thumbnail's frame header comes first");
    assert!(frame_headers.last().is_some_and(|(at, _)| *at > 200 * 1024), "the picture's own comes late");
    assert!(bytes.windows(12).filter(|bytes| *bytes == b"ICC_PROFILE\0").count() >= 2, "the profile has several parts");
}

#[test]
fn the_rotated_sample_says_so_in_its_exif() {
    let rotated = sample("face-exif-rotated-6.jpg");
    assert_eq!((rotated.orientation, rotated.size), (Some(6), Some((800, 600))));
    let bytes = rotated.bytes();
    let exif = bytes.windows(6).position(|bytes| bytes == b"Exif\0\0").expect("there is an EXIF block");
    let entry = &bytes[exif + 6 + 10..][..12];
    assert_eq!(entry, [0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0]);
}

#[test]
fn broken_samples_are_broken() {
    for name in ["face-cut-in-scan.jpg", "face-cut-in-header.jpg"] {
        let bytes = sample(name).bytes();
        assert_eq!(bytes[..3], [0xff, 0xd8, 0xff], "{name} begins as a JPEG");
        assert_ne!(bytes[bytes.len() - 2..], EOI, "{name} does not end as one");
    }
    assert!(sample("empty.jpg").bytes().is_empty());
}

#[test]
fn tiny_samples_differ_and_decode() {
    let (one, two) = (jpeg::tiny(1), jpeg::tiny(2));
    assert_ne!(sha256(&one), sha256(&two));
    assert_eq!(sha256(&one), sha256(&jpeg::tiny(1)));
    let reader = ImageReader::with_format(Cursor::new(one), image::ImageFormat::Jpeg);
    assert_eq!(reader.into_dimensions().expect("it has a header"), (96, 96));
}

#[test]
fn a_sample_of_a_given_size_has_it_to_the_byte() {
    for len in [65_000, 70_000, 1 << 20, (1 << 20) + 1, 10 << 20] {
        let bytes = jpeg::of_size(len, 7);
        assert_eq!(bytes.len(), len);
        let reader = ImageReader::with_format(Cursor::new(bytes), image::ImageFormat::Jpeg);
        assert_eq!(reader.into_dimensions().expect("it has a header"), (96, 96));
    }
}

/// Around every boundary between one comment and two, where the rest could become too small for a segment.
#[test]
fn every_size_around_a_full_segment_can_be_had() {
    let least = jpeg::tiny(0).len() + 4;
    for len in (0..12).map(|more| least + more).chain((0..24).map(|more| least + 0xffff - 10 + more)) {
        assert_eq!(jpeg::of_size(len, 0).len(), len);
    }
}
