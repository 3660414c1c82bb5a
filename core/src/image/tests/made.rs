//! Files as phones, programs and mishaps make them, made from one photograph: what is right for each, and what decoders make of it.
//!
//! Pillow 13.0, djpeg 2.1.5, `OpenCV` 5.0 and Go 1.26 were asked. The tests of the core and those of the whole daemon share this file.

#[path = "made_tables.rs"]
mod tables;

const PHOTO: &[u8] = include_bytes!("../../../../tests/samples/astronaut-face.jpg");

/// A file and what is to become of it.
pub(crate) struct Made {
    /// A file name.
    pub(crate) name: &'static str,
    /// The file.
    pub(crate) bytes: Vec<u8>,
    /// What is right for it.
    pub(crate) expected: Expected,
}

/// What is right for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// It is sent.
    Verdict {
        /// Width and height as the header says.
        size: (u32, u32),
        /// As decoders read it.
        orientation: u8,
    },
    /// It is refused with this code, and these words.
    Failure(&'static str, &'static str),
}

/// Marker and content.
type Segment = (u8, Vec<u8>);

/// All of them.
pub(crate) fn made() -> Vec<Made> {
    let mut files = headers();
    files.extend(orientations());
    files.extend(scans());
    files.extend(cut());
    files.extend(unreadable());
    files.extend(tables::readable());
    files.extend(tables::unreadable());
    files.extend(foreign());
    files
}

/// What stands before the scan.
fn headers() -> Vec<Made> {
    let icc = (0xE2, [b"ICC_PROFILE\0\x01\x01", &vec![0x5A; 65_000][..]].concat());
    let comment = |length: usize| (0xEA, vec![b'd'; length]);
    let between = |bytes: &[u8]| join(&Parts { between: bytes.to_vec(), ..Parts::photo() });
    let behind = |count: usize, more: Vec<Segment>| before(&[vec![icc.clone(); count], more].concat());
    vec![
        good("plain.jpg", join(&Parts::photo())),
        good("frame-at-700k.jpg", behind(11, vec![])),
        good("frame-at-1m6.jpg", behind(25, vec![])),
        good("frame-just-beyond-1m.jpg", behind(16, vec![comment(9_000)])),
        good("frame-at-3m9.jpg", behind(60, vec![])),
        bad("frame-beyond-4m.jpg", behind(65, vec![]), "image_corrupt", "no scan within the first 4 MiB"),
        good("stray-bytes-between.jpg", between(b"\x00\x12")),
        good("stray-stuffed-ff-between.jpg", between(b"\xff\x00\x12")),
        good("many-stray-bytes.jpg", between(&vec![0; 70_000])),
        good("fill-bytes.jpg", between(b"\xff\xff\xff")),
        good("restart-marker-in-header.jpg", between(b"\xff\xd3")),
        good("comment-shorter-than-its-length.jpg", between(b"\xff\xfe\0\0")),
        good("dnl-in-header.jpg", between(b"\xff\xdc\0\x04\0\x64")),
        good("segment-that-is-empty.jpg", before(&[(0xE5, vec![])])),
        Made {
            name: "fifty-megapixels-header.jpg",
            bytes: framed(|frame| frame[1..5].copy_from_slice(&[0x18, 0x00, 0x20, 0x00])),
            expected: Expected::Verdict { size: (8192, 6144), orientation: 1 },
        },
        bad(
            "above-64-megapixels.jpg",
            framed(|frame| frame[1..5].copy_from_slice(&[0x20, 0x01, 0x20, 0x00])),
            "image_dimensions",
            "above image.max_pixels",
        ),
        good("extended-sequential.jpg", marked(0xC1)),
    ]
}

/// EXIF blocks: decoders read the first value of any integer type, in the first block that has one, up to the scan.
fn orientations() -> Vec<Made> {
    const TYPES: [(&str, u16, &[u8], &[u8]); 6] = [
        ("byte", 1, &[6], &[6]),
        ("short", 3, &[6, 0], &[0, 6]),
        ("long", 4, &[6, 0, 0, 0], &[0, 0, 0, 6]),
        ("signed-byte", 6, &[6], &[6]),
        ("signed-short", 8, &[6, 0], &[0, 6]),
        ("signed-long", 9, &[6, 0, 0, 0], &[0, 0, 0, 6]),
    ];
    let mut files = Vec::new();
    for (name, kind, little, big) in TYPES {
        let name = |end: &str| -> &'static str { format!("orientation-{name}-{end}.jpg").leak() };
        for count in [1, 2] {
            let few = if count == 1 { ["little", "big"] } else { ["two-little", "two-big"] };
            files.push(turned(name(few[0]), 6, before(&[exif(true, kind, count, &little.repeat(count))])));
            files.push(turned(name(few[1]), 6, before(&[exif(false, kind, count, &big.repeat(count))])));
        }
    }
    let short = |value: u8| exif(true, 3, 1, &[value, 0]);
    let xmp = (0xE1, [b"http://ns.adobe.com/xap/1.0/\0", &[b'x'; 9_000][..]].concat());
    let silent = exif(true, 2, 4, b"abc\0");
    let largest = (0xE1, [short(8).1, vec![0x33; 65_000]].concat());
    let behind_frame = |segments: Vec<Segment>| join(&Parts { behind_frame: segments, ..Parts::photo() });
    files.extend([
        turned("orientation-behind-frame.jpg", 6, behind_frame(vec![short(6)])),
        turned("orientation-behind-xmp.jpg", 6, before(&[xmp, short(6)])),
        turned("orientation-in-largest-exif.jpg", 8, before(&[largest])),
        turned("orientation-first-block-wins.jpg", 1, before(&[short(1), short(6)])),
        turned("orientation-zero-wins.jpg", 1, before(&[short(0), short(6)])),
        turned("orientation-nine.jpg", 1, before(&[short(9)])),
        turned("orientation-of-type-text.jpg", 1, before(std::slice::from_ref(&silent))),
        turned("orientation-in-second-block.jpg", 6, before(&[silent, short(6)])),
        turned("orientation-no-exif-at-all.jpg", 1, before(&[(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff".to_vec())])),
        turned("orientation-cut-exif.jpg", 1, before(&[(0xE1, short(6).1[..20].to_vec())])),
    ]);
    files
}

/// What stands in and behind the scan.
fn scans() -> Vec<Made> {
    let with = |scan: Vec<u8>| join(&Parts { scan, ..Parts::photo() });
    let photo = Parts::photo().scan;
    let (data, end) = photo.split_at(photo.len() - 2);
    let before_end = |bytes: &[u8]| with([data, bytes, end].concat());
    let trailer = |bytes: &[u8]| with([&photo, bytes].concat());
    let samsung = [b"\0\0\x01\x0aImage_UTC_Data1700000000000SEFH", &[0; 24][..], b"SEFT"].concat();
    vec![
        good("trailer-one-byte.jpg", trailer(b"\0")),
        good("trailer-samsung.jpg", trailer(&samsung)),
        good("trailer-second-picture.jpg", trailer(PHOTO)),
        good("trailer-cut-picture.jpg", trailer(&PHOTO[..PHOTO.len() / 2])),
        good("fill-before-end.jpg", before_end(b"\xff\xff\xff")),
        good("stray-before-end.jpg", before_end(&[0; 100])),
        good("segment-before-end.jpg", before_end(b"\xff\xe5\0\x08x\xff\xd9xxx")),
        good("dnl-before-end.jpg", before_end(b"\xff\xdc\0\x04\x02\x80")),
        bad("second-start-before-end.jpg", before_end(b"\xff\xd8"), "image_corrupt", "a second image starts"),
        bad(
            "second-frame-before-end.jpg",
            before_end(&segment(&frame(&Parts::photo()))),
            "image_corrupt",
            "a second frame header",
        ),
        bad("unknown-marker-in-scan.jpg", before_end(b"\xff\x02"), "image_corrupt", "no common decoder knows"),
        // Decoders get over it at the next restart.
        good(
            "unknown-marker-between-restarts.jpg",
            join(&Parts {
                before: vec![(0xDD, vec![0, 40])],
                scan: [data, b"\xff\x02", end].concat(),
                ..Parts::photo()
            }),
        ),
    ]
}

/// What is not whole.
fn cut() -> Vec<Made> {
    let whole = join(&Parts::photo());
    let Parts { scan, .. } = Parts::photo();
    let end_in_segment = join(&Parts {
        behind_frame: vec![(0xEF, b"x\xff\xd9x".to_vec())],
        scan: scan[..scan.len() / 2].to_vec(),
        ..Parts::photo()
    });
    let thumbnail = join(&Parts { before: vec![(0xE5, PHOTO[..60_000.min(PHOTO.len())].to_vec())], ..Parts::photo() });
    let second = [&whole[..whole.len() / 2], PHOTO].concat();
    vec![
        bad("half-an-upload.jpg", whole[..whole.len() / 2].to_vec(), "image_corrupt", "cut off"),
        bad("no-end-marker.jpg", whole[..whole.len() - 2].to_vec(), "image_corrupt", "cut off"),
        bad("half-an-end-marker.jpg", whole[..whole.len() - 1].to_vec(), "image_corrupt", "cut off"),
        bad("end-in-segment-of-header.jpg", end_in_segment, "image_corrupt", "cut off"),
        bad("end-in-thumbnail.jpg", thumbnail[..thumbnail.len() - 5_000].to_vec(), "image_corrupt", "cut off"),
        bad(
            "end-in-segment-behind-scan.jpg",
            [&whole[..whole.len() - 2], b"\xff\xe5\0\x06x\xff\xd9x"].concat(),
            "image_corrupt",
            "cut off",
        ),
        bad("half-and-another.jpg", second, "image_corrupt", "a second image starts"),
        bad("cut-in-header.jpg", whole[..165].to_vec(), "image_corrupt", "before its frame header"),
        bad("cut-behind-frame.jpg", whole[..200].to_vec(), "image_corrupt", "before its first scan"),
        bad("three-bytes.jpg", vec![0xFF, 0xD8, 0xFF], "image_corrupt", "before its frame header"),
    ]
}

/// What no common decoder reads, though it is whole.
fn unreadable() -> Vec<Made> {
    let with_scan = |scan: &[u8]| join(&Parts { scan: scan.to_vec(), ..Parts::photo() });
    let between = |bytes: &[u8]| join(&Parts { between: bytes.to_vec(), ..Parts::photo() });
    let scan_header =
        |content: &[u8]| with_scan(&[segment(&(0xDA, content.to_vec())), vec![0x55; 500], vec![0xFF, 0xD9]].concat());
    let corrupt = |name, bytes, words| bad(name, bytes, "image_corrupt", words);
    vec![
        corrupt("no-scan.jpg", with_scan(b"\xff\xd9"), "before its first scan"),
        corrupt("scan-before-frame.jpg", between(&[&SCAN_OF_ONE[..], &[0x55; 40]].concat()), "before its frame header"),
        corrupt("twelve-bit.jpg", framed_as(0xC1, |frame| frame[0] = 12), "8 bits a sample"),
        corrupt("lossless.jpg", framed_as(0xC3, |frame| frame[0] = 12), "lossless"),
        corrupt("lossless-arithmetic.jpg", marked(0xCB), "lossless"),
        corrupt("hierarchical.jpg", marked(0xC5), "hierarchical"),
        corrupt("hierarchical-arithmetic.jpg", marked(0xCE), "hierarchical"),
        corrupt("jpeg-ls.jpg", between(b"\xff\xf7\0\x04ab"), "JPEG-LS"),
        corrupt("no-height.jpg", framed(|frame| frame[1..3].fill(0)), "no height"),
        corrupt("no-width.jpg", framed(|frame| frame[3..5].fill(0)), "no width"),
        corrupt(
            "two-components.jpg",
            framed(|frame| {
                frame[5] = 2;
                frame.truncate(12);
            }),
            "components",
        ),
        corrupt(
            "five-components.jpg",
            framed(|frame| {
                frame[5] = 5;
                frame.extend([4, 0x11, 1, 5, 0x11, 1]);
            }),
            "components",
        ),
        corrupt("frame-too-long.jpg", framed(|frame| frame.push(0)), "contradicts"),
        corrupt("frame-too-short.jpg", framed(|frame| frame.truncate(4)), "too short"),
        corrupt("sampling-of-zero.jpg", framed(|frame| frame[7] = 0x02), "sampling"),
        corrupt(
            "two-frames.jpg",
            between(&[segment(&frame(&Parts::photo())), segment(&frame(&Parts::photo()))].concat()),
            "second frame",
        ),
        corrupt("scan-of-nothing.jpg", scan_header(&[0, 0, 63, 0]), "number of components"),
        corrupt("scan-of-four.jpg", scan_header(&[4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0]), "number of components"),
        corrupt("scan-too-long.jpg", scan_header(&[1, 1, 0, 0, 63, 0, 0]), "number of components"),
        corrupt("scan-of-a-stranger.jpg", scan_header(&[1, 9, 0, 0, 63, 0]), "does not have"),
        corrupt("scan-header-empty.jpg", scan_header(&[]), "too short"),
        corrupt("start-in-header.jpg", between(b"\xff\xd8"), "a second image starts"),
        corrupt("end-in-header.jpg", between(b"\xff\xd9"), "before its first scan"),
        corrupt("unknown-marker.jpg", between(b"\xff\x02\0\x04ab"), "no common decoder knows"),
        corrupt("extension-marker.jpg", between(b"\xff\xf0\0\x04ab"), "no common decoder knows"),
        corrupt("table-shorter-than-its-length.jpg", between(b"\xff\xdb\0\x01"), "shorter than its own length"),
    ]
}

/// What is no JPEG at all. The whole list is in the tests of the names.
fn foreign() -> Vec<Made> {
    let padded = |start: &[u8]| [start, &[0; 64]].concat();
    let unsupported = |name, bytes, words| bad(name, bytes, "unsupported_format", words);
    let no_image = |name, bytes, words| bad(name, bytes, "not_an_image", words);
    vec![
        unsupported("avif-of-brand-mif1.jpg", padded(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf"), "is avif;"),
        unsupported("heic-of-brand-mif1.jpg", padded(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic"), "is heic;"),
        unsupported("pdf.jpg", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj".to_vec(), "is pdf;"),
        unsupported(
            "svg.jpg",
            b"<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"/>\n".to_vec(),
            "is svg;",
        ),
        unsupported("psd.jpg", padded(b"8BPS\0\x01"), "is psd"),
        unsupported("bigtiff.jpg", padded(b"II+\0\x08\0\0\0"), "BigTIFF"),
        unsupported("jpeg2000.jpg", padded(b"\xff\x4f\xff\x51"), "jpeg 2000"),
        no_image(
            "error-page.jpg",
            b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>".to_vec(),
            "an HTML page",
        ),
        no_image("json-error.jpg", b"{\"error\":\"expired\"}".to_vec(), "JSON"),
        no_image("archive.jpg", padded(b"PK\x03\x04"), "zip"),
        no_image("data-uri.jpg", b"data:image/jpeg;base64,/9j/4AAQSkZJRg==".to_vec(), "data URI"),
        no_image("two-bytes.jpg", vec![0xFF, 0xD8], "no known image format"),
    ]
}

/// The header of a scan of the first component.
const SCAN_OF_ONE: [u8; 10] = [0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0];

/// A JPEG in its parts.
struct Parts {
    before: Vec<Segment>,
    segments: Vec<Segment>,
    /// Bytes behind the first of the segments.
    between: Vec<u8>,
    behind_frame: Vec<Segment>,
    /// From the scan's marker on.
    scan: Vec<u8>,
}

impl Parts {
    fn photo() -> Self {
        let (mut at, mut segments) = (2, Vec::new());
        while PHOTO[at + 1] != 0xDA {
            let length = usize::from(u16::from_be_bytes([PHOTO[at + 2], PHOTO[at + 3]]));
            segments.push((PHOTO[at + 1], PHOTO[at + 4..at + 2 + length].to_vec()));
            at += 2 + length;
        }
        Self { before: Vec::new(), segments, between: Vec::new(), behind_frame: Vec::new(), scan: PHOTO[at..].to_vec() }
    }
}

fn join(parts: &Parts) -> Vec<u8> {
    let mut file = vec![0xFF, 0xD8];
    let add = |file: &mut Vec<u8>, segments: &[Segment]| segments.iter().for_each(|one| file.extend(segment(one)));
    add(&mut file, &parts.before);
    for (at, one) in parts.segments.iter().enumerate() {
        if at == 1 {
            file.extend(&parts.between);
        }
        file.extend(segment(one));
        if is_frame(one.0) {
            add(&mut file, &parts.behind_frame);
        }
    }
    file.extend(&parts.scan);
    file
}

fn before(segments: &[Segment]) -> Vec<u8> {
    join(&Parts { before: segments.to_vec(), ..Parts::photo() })
}

fn segment((marker, content): &Segment) -> Vec<u8> {
    let length = u16::try_from(content.len() + 2).expect("it fits a segment");
    [&[0xFF, *marker], &length.to_be_bytes()[..], content].concat()
}

fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC)
}

fn frame(parts: &Parts) -> Segment {
    parts.segments.iter().find(|(marker, _)| is_frame(*marker)).expect("a photo has a frame header").clone()
}

/// The photo with another frame header.
fn framed(change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    framed_as(0xC0, change)
}

fn framed_as(marker: u8, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut parts = Parts::photo();
    let frame = parts.segments.iter_mut().find(|(marker, _)| is_frame(*marker)).expect("a photo has a frame header");
    frame.0 = marker;
    change(&mut frame.1);
    join(&parts)
}

fn marked(marker: u8) -> Vec<u8> {
    framed_as(marker, |_| {})
}

/// An EXIF block of one entry. Values of more than four bytes stand behind the directory.
fn exif(little: bool, kind: u16, count: usize, value: &[u8]) -> Segment {
    let u16b = |v: u16| if little { v.to_le_bytes() } else { v.to_be_bytes() };
    let u32b = |v: u32| if little { v.to_le_bytes() } else { v.to_be_bytes() };
    let mut block =
        [&b"Exif\0\0"[..], if little { b"II*\0" } else { b"MM\0*" }, &u32b(8)[..], &u16b(1), &u16b(0x0112)].concat();
    block.extend(u16b(kind));
    block.extend(u32b(u32::try_from(count).expect("small")));
    if value.len() <= 4 {
        block.extend(value);
        block.resize(block.len() + 4 - value.len(), 0);
        block.extend([0; 4]);
    } else {
        block.extend(u32b(8 + 2 + 12 + 4));
        block.extend([0; 4]);
        block.extend(value);
    }
    (0xE1, block)
}

fn good(name: &'static str, bytes: Vec<u8>) -> Made {
    turned(name, 1, bytes)
}

fn turned(name: &'static str, orientation: u8, bytes: Vec<u8>) -> Made {
    Made { name, bytes, expected: Expected::Verdict { size: (640, 640), orientation } }
}

fn bad(name: &'static str, bytes: Vec<u8>, code: &'static str, words: &'static str) -> Made {
    Made { name, bytes, expected: Expected::Failure(code, words) }
}
