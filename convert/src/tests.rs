//! Whole files: what is made of each, and that it is the picture.

use super::*;
use antispoof_core::image::{Format, Formats, Inspector, Limits, inspect, orientation};
use image::{DynamicImage, ImageDecoder as _};
use made::{Expected, Made, gradient, made};

mod made;
mod pictures;

const AS_IT_IS: Wish = Wish { max_side: 0, quality: 90 };
const MEMORY: u64 = 256 << 20;
const LIMITS: Limits = Limits { min_side: 0, max_pixels: 1 << 26, upright_only: false, convert: Formats::NONE };

fn all() -> Formats {
    [Format::Png, Format::WebP, Format::Bmp, Format::Tiff, Format::Gif].into_iter().collect()
}

/// What the worker does, without the worker: code, or what was made.
fn judged(file: &[u8], wish: Wish) -> Result<(Facts, Converted), (&'static str, String)> {
    let refused = |failure: antispoof_core::failure::Failure| (failure.code().name(), failure.message().to_owned());
    let mut inspector = Inspector::accepting(all());
    let found = inspector.push(file).map_err(refused)?;
    let mut facts = found.map_or_else(|| inspector.finish(), Ok).map_err(refused)?;
    if facts.format == Format::Tiff {
        (facts.width, facts.height) = dimensions(file).map_err(|error| of_conversion(&error))?;
    }
    if facts.format != Format::Jpeg {
        facts.orientation = orientation(facts.format, file);
    }
    facts.admit(&LIMITS).map_err(refused)?;
    if memory(&facts, file.len() as u64, wish) > MEMORY {
        return Err(("image_dimensions", "it never fits into image.conversion_memory".to_owned()));
    }
    convert(file.to_vec(), &facts, wish).map(|converted| (facts, converted)).map_err(|error| of_conversion(&error))
}

fn of_conversion(error: &ConvertError) -> (&'static str, String) {
    let code = match error {
        ConvertError::Corrupt(_) => "image_corrupt",
        ConvertError::Unsupported(_) => "unsupported_format",
        ConvertError::TooLarge(_) => "image_dimensions",
    };
    (code, error.to_string())
}

#[test]
fn every_made_file_gets_what_is_right_for_it() {
    let files = made();
    assert!(files.len() >= 45, "{}", files.len());
    let mut wrong = Vec::new();
    for Made { name, bytes, expected } in files {
        match (judged(&bytes, AS_IT_IS), expected) {
            (Ok((facts, converted)), Expected::Verdict { size, sent, .. }) => {
                assert_eq!((facts.width, facts.height), size, "{name}");
                assert_eq!((converted.width, converted.height), sent, "{name}");
                let of_jpeg = inspect(&converted.jpeg).expect("a jpeg");
                assert_eq!((of_jpeg.width, of_jpeg.height, of_jpeg.orientation), (sent.0, sent.1, 1), "{name}");
                assert!(!converted.jpeg.windows(4).any(|part| part == b"Exif"), "{name}");
            }
            (Err((code, message)), Expected::Failure(right, words)) if code == right && message.contains(words) => {}
            (found, _) => wrong.push(format!("{name}: {:?}, not {expected:?}", found.map(|(facts, _)| facts))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A file that is cut anywhere is refused or is the whole picture, and never ends the process.
#[test]
fn a_file_that_is_cut_anywhere_is_refused_or_whole() {
    for Made { name, bytes, expected } in made() {
        let Expected::Verdict { sent, .. } = expected else { continue };
        let whole = judged(&bytes, AS_IT_IS).expect("whole").1;
        for cut in (0..bytes.len()).step_by(bytes.len() / 60 + 1) {
            if let Ok((_, made)) = judged(&bytes[..cut], AS_IT_IS) {
                assert_eq!((made.width, made.height), sent, "{name} cut at {cut}");
                assert_eq!(made.jpeg, whole.jpeg, "{name} cut at {cut} of {}", bytes.len());
            }
        }
    }
}
