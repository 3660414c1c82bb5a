//! The named samples: what an onboarding queue sees on a day, and what it sees on a bad one.

use image::imageops;

use super::jpeg::{Coding, Source, encode, exif, frame_header, icc, largest_exif, picture};
use super::{Expected, Sample, foreign};

/// Two colour profiles' worth of APP2: with the largest EXIF in front, the frame header lies beyond 200 KB.
const LONG_PROFILE: usize = 150_000;

/// Every sample, in the order of their manifest.
pub(crate) fn catalogue() -> Vec<Sample> {
    let mut samples = portraits();
    samples.extend(dressed());
    samples.extend(broken());
    samples.extend(other_formats());
    samples
}

/// Ordinary JPEGs: from a thumbnail to what a phone sends, from bad to good quality, in the usual aspect ratios.
fn portraits() -> Vec<Sample> {
    use Source::{Face, Portrait};

    const PLAIN: [(&str, Source, u32, u32, u8); 20] = [
        ("face-96-thumbnail.jpg", Face, 96, 96, 60),
        ("face-128-icon.jpg", Face, 128, 128, 75),
        ("face-160x200-badge.jpg", Face, 160, 200, 80),
        ("face-224-model-input.jpg", Face, 224, 224, 90),
        ("face-256-low-quality.jpg", Face, 256, 256, 15),
        ("portrait-320x240-webcam.jpg", Portrait, 320, 240, 70),
        ("face-413x531-passport.jpg", Face, 413, 531, 92),
        ("face-480x640-selfie.jpg", Face, 480, 640, 80),
        ("face-480x640-best-quality.jpg", Face, 480, 640, 100),
        ("portrait-512-square.jpg", Portrait, 512, 512, 85),
        ("portrait-640x480-webcam.jpg", Portrait, 640, 480, 75),
        ("face-600x800-document.jpg", Face, 600, 800, 88),
        ("face-720-square.jpg", Face, 720, 720, 70),
        ("face-720x1280-story.jpg", Face, 720, 1280, 60),
        ("portrait-1280x720-video-frame.jpg", Portrait, 1280, 720, 65),
        ("face-1080-square.jpg", Face, 1080, 1080, 80),
        ("face-1080x1440-phone.jpg", Face, 1080, 1440, 85),
        ("portrait-1600x1200-tablet.jpg", Portrait, 1600, 1200, 50),
        ("face-1500x2000-phone.jpg", Face, 1500, 2000, 75),
        ("portrait-2000-scan.jpg", Portrait, 2000, 2000, 40),
    ];
    PLAIN
        .into_iter()
        .map(|(name, source, width, height, quality)| Sample {
            name,
            kind: "jpeg",
            expected: Expected::Verdict,
            size: Some((width, height)),
            orientation: None,
            make: Box::new(move || encode(&picture(source, width, height), baseline(quality), &[])),
        })
        .collect()
}

/// Good JPEGs with something about them that a careless reader gets wrong.
fn dressed() -> Vec<Sample> {
    let upright = || picture(Source::Face, 600, 800);
    vec![
        Sample {
            name: "face-exif-upright.jpg",
            kind: "jpeg with EXIF, orientation 1",
            expected: Expected::Verdict,
            size: Some((600, 800)),
            orientation: Some(1),
            make: Box::new(move || encode(&upright(), baseline(80), &[(1, exif(1, &[]))])),
        },
        Sample {
            name: "face-exif-rotated-6.jpg",
            kind: "jpeg with EXIF, orientation 6: stored lying, shown upright",
            expected: Expected::Verdict,
            size: Some((800, 600)),
            orientation: Some(6),
            make: Box::new(move || encode(&imageops::rotate270(&upright()), baseline(80), &[(1, exif(6, &[]))])),
        },
        Sample {
            name: "face-exif-upside-down-3.jpg",
            kind: "jpeg with EXIF, orientation 3",
            expected: Expected::Verdict,
            size: Some((600, 800)),
            orientation: Some(3),
            make: Box::new(move || encode(&imageops::rotate180(&upright()), baseline(80), &[(1, exif(3, &[]))])),
        },
        Sample {
            name: "face-header-beyond-200kb.jpg",
            kind: "jpeg whose frame header comes after 64 KB of EXIF (with a thumbnail) and a long ICC profile",
            expected: Expected::Verdict,
            size: Some((480, 640)),
            orientation: Some(1),
            make: Box::new(|| {
                let mut segments = vec![(1, largest_exif(1))];
                segments.extend(icc(LONG_PROFILE));
                encode(&picture(Source::Face, 480, 640), baseline(80), &segments)
            }),
        },
        Sample {
            name: "face-progressive.jpg",
            kind: "progressive jpeg",
            expected: Expected::Verdict,
            size: Some((640, 640)),
            orientation: None,
            make: Box::new(|| {
                encode(&picture(Source::Face, 640, 640), Coding { progressive: true, ..baseline(80) }, &[])
            }),
        },
        Sample {
            name: "face-greyscale.jpg",
            kind: "greyscale jpeg",
            expected: Expected::Verdict,
            size: Some((480, 480)),
            orientation: None,
            make: Box::new(|| encode(&picture(Source::Face, 480, 480), Coding { grey: true, ..baseline(80) }, &[])),
        },
    ]
}

/// JPEGs that end too early, and one that never began.
fn broken() -> Vec<Sample> {
    let whole = || encode(&picture(Source::Face, 480, 640), baseline(80), &[]);
    vec![
        Sample {
            name: "face-cut-in-scan.jpg",
            kind: "jpeg cut in the middle of its scan data",
            expected: Expected::Failure("image_corrupt"),
            size: Some((480, 640)),
            orientation: None,
            make: Box::new(move || {
                let mut jpeg = whole();
                let scan = frame_header(&jpeg);
                jpeg.truncate(scan + (jpeg.len() - scan) / 2);
                jpeg
            }),
        },
        Sample {
            name: "face-cut-in-header.jpg",
            kind: "jpeg cut inside its frame header, which comes after 64 KB of EXIF",
            expected: Expected::Failure("image_corrupt"),
            size: None,
            orientation: Some(1),
            make: Box::new(|| {
                let picture = picture(Source::Face, 480, 640);
                let mut jpeg = encode(&picture, baseline(80), &[(1, largest_exif(1))]);
                // Marker, length and precision are there; the height is not.
                jpeg.truncate(frame_header(&jpeg) + 5);
                jpeg
            }),
        },
        Sample {
            name: "empty.jpg",
            kind: "empty file",
            expected: Expected::Failure("object_empty"),
            size: None,
            orientation: None,
            make: Box::new(Vec::new),
        },
    ]
}

/// What is not a JPEG, whatever its name says.
fn other_formats() -> Vec<Sample> {
    vec![
        Sample {
            name: "face-screenshot.png",
            kind: "png",
            expected: Expected::Failure("unsupported_format"),
            size: Some((320, 320)),
            orientation: None,
            make: Box::new(|| foreign::png(&picture(Source::Face, 320, 320))),
        },
        Sample {
            name: "face-from-a-browser.webp",
            kind: "webp",
            expected: Expected::Failure("unsupported_format"),
            size: Some((64, 64)),
            orientation: None,
            make: Box::new(|| foreign::WEBP.to_vec()),
        },
        Sample {
            name: "pixel.gif",
            kind: "gif",
            expected: Expected::Failure("unsupported_format"),
            size: Some((1, 1)),
            orientation: None,
            make: Box::new(foreign::gif),
        },
        Sample {
            name: "iphone.heic",
            kind: "heic: the boxes a file begins with, no picture",
            expected: Expected::Failure("unsupported_format"),
            size: None,
            orientation: None,
            make: Box::new(foreign::heic),
        },
        Sample {
            name: "notes.jpg",
            kind: "text called .jpg",
            expected: Expected::Failure("not_an_image"),
            size: None,
            orientation: None,
            make: Box::new(foreign::text),
        },
    ]
}

fn baseline(quality: u8) -> Coding {
    Coding { quality, progressive: false, grey: false }
}
