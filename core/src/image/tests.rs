use super::*;
use proptest::prelude::*;

const SOF: &[u8] = &[0xFF, 0xC0, 0, 17, 8, 0x01, 0x00, 0x02, 0x00, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];

fn segment(marker: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 2).expect("fits a segment");
    [&[0xFF, marker], &length.to_be_bytes()[..], payload].concat()
}

fn exif(little: bool, value: u16) -> Vec<u8> {
    let u16b = |v: u16| if little { v.to_le_bytes() } else { v.to_be_bytes() };
    let u32b = |v: u32| if little { v.to_le_bytes() } else { v.to_be_bytes() };
    let mut tiff = if little { b"II*\0".to_vec() } else { b"MM\0*".to_vec() };
    tiff.extend(u32b(8));
    tiff.extend(u16b(2));
    for (tag, value) in [(0x010F, 7), (0x0112, value)] {
        tiff.extend(u16b(tag));
        tiff.extend(u16b(3));
        tiff.extend(u32b(1));
        tiff.extend(u16b(value));
        tiff.extend([0, 0]);
    }
    [b"Exif\0\0", &tiff[..]].concat()
}

fn jpeg(segments: &[Vec<u8>]) -> Vec<u8> {
    [&[0xFF, 0xD8], &segments.concat()[..], SOF, &[0xFF, 0xDA, 0, 2, 1, 2, 3, 0xFF, 0xD9]].concat()
}

fn facts(bytes: &[u8]) -> Facts {
    match inspect(bytes, true) {
        Ok(Inspection::Found(facts)) => facts,
        other => panic!("no facts: {other:?}"),
    }
}

#[test]
fn size_and_orientation_come_from_the_header() {
    let plain = facts(&jpeg(&[]));
    assert_eq!((plain.width, plain.height, plain.orientation, plain.scan_from), (512, 256, 1, 2));
    for little in [true, false] {
        assert_eq!(facts(&jpeg(&[segment(0xE1, &exif(little, 6))])).orientation, 6);
        assert_eq!(facts(&jpeg(&[segment(0xE1, &exif(little, 9))])).orientation, 1, "9 does not exist");
    }
}

#[test]
fn a_frame_header_behind_large_segments_is_found() {
    let large = vec![0xAA; 65_533];
    let mut segments = vec![segment(0xE1, &exif(true, 3))];
    segments.extend((0..5).map(|_| segment(0xE2, &large)));
    let image = jpeg(&segments);
    let found = facts(&image);
    assert_eq!((found.width, found.orientation), (512, 3));
    assert!(found.scan_from > 300_000);
    assert_eq!(inspect(&image[..300_000], false), Ok(Inspection::NeedMore));
}

#[test]
fn the_header_may_not_be_endless() {
    let endless: Vec<u8> = [vec![0xFF, 0xD8], segment(0xE2, &vec![0; 65_533]).repeat(17)].concat();
    let failure = inspect(&endless, false).expect_err("endless");
    assert_eq!(failure.code(), Code::ImageCorrupt);
}

#[test]
fn other_formats_are_named() {
    for (bytes, code, word) in [
        (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], Code::UnsupportedFormat, "png"),
        (b"GIF89a\x01\0\x01\0\0\0\0\0\0\0", Code::UnsupportedFormat, "gif"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", Code::UnsupportedFormat, "webp"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", Code::UnsupportedFormat, "heic"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", Code::UnsupportedFormat, "avif"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", Code::UnsupportedFormat, "video"),
        (b"II*\0\x08\0\0\0\0\0\0\0\0\0\0\0", Code::UnsupportedFormat, "tiff"),
        (b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0", Code::UnsupportedFormat, "bmp"),
        (b"just some text!!", Code::NotAnImage, "no known"),
        (b"", Code::NotAnImage, "no known"),
        (b"\xff\xd8", Code::NotAnImage, "no known"),
    ] {
        let failure = inspect(bytes, true).expect_err("refused");
        assert_eq!(failure.code(), code, "{bytes:?}");
        assert!(failure.message().contains(word), "{failure}");
    }
}

#[test]
fn broken_headers_are_corrupt() {
    let soi = [0xFF, 0xD8];
    for tail in [
        &[0xFF, 0xD9][..],
        &[0xFF, 0xDA, 0, 2],
        &[0xFF, 0xE0, 0, 1],
        &[0xFF, 0x00, 0, 9],
        &[0xFF, 0xE0, 0, 4, 1, 2, 3],
        &[0xFF, 0xC0, 0, 17, 8, 0, 0, 2, 0, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1],
        &[0xFF, 0xC0, 0, 8, 8, 1, 0, 2, 0, 3],
        &[0xFF, 0xC0, 0, 5, 8, 1, 0],
        &[0xFF, 0xE0],
    ] {
        let failure = inspect(&[&soi[..], tail].concat(), true).expect_err("corrupt");
        assert_eq!(failure.code(), Code::ImageCorrupt, "{tail:?}");
    }
}

#[test]
fn limits_are_held_and_named() {
    let image = facts(&jpeg(&[segment(0xE1, &exif(true, 6))]));
    let free = Limits { min_side: 0, max_pixels: 50_000_000, upright_only: false };
    assert_eq!(image.admit(&free), Ok(()));
    assert_eq!(image.admit(&Limits { min_side: 256, max_pixels: 512 * 256, ..free }), Ok(()));
    for (limits, word) in [
        (Limits { min_side: 257, ..free }, "min_side"),
        (Limits { max_pixels: 512 * 256 - 1, ..free }, "max_pixels"),
        (Limits { upright_only: true, ..free }, "orientation"),
    ] {
        let failure = image.admit(&limits).expect_err("refused");
        assert_eq!(failure.code(), Code::ImageDimensions);
        assert!(failure.message().contains(word), "{failure}");
    }
}

proptest! {
    #[test]
    fn inspecting_never_panics(tail in prop::collection::vec(any::<u8>(), 0..400), complete: bool) {
        let _any = inspect(&tail, complete);
        let _jpeg = inspect(&[&[0xFF, 0xD8, 0xFF], &tail[..]].concat(), complete);
        let exif = segment(0xE1, &[b"Exif\0\0II*\0", &tail[..]].concat());
        let _exif = inspect(&[&[0xFF, 0xD8], &exif[..]].concat(), complete);
    }

    #[test]
    fn a_longer_prefix_never_changes_a_decided_answer(cut in 0usize..200, payload in prop::collection::vec(any::<u8>(), 0..100)) {
        let image = jpeg(&[segment(0xE1, &exif(true, 6)), segment(0xE2, &payload)]);
        let whole = inspect(&image, true);
        match inspect(&image[..cut.min(image.len())], false) {
            Ok(Inspection::NeedMore) => {}
            decided => prop_assert_eq!(decided, whole),
        }
    }
}
