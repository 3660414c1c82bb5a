//! That what is made is the picture that went in.

use super::*;

const WIDTH: u32 = 90;
const HEIGHT: u32 = 60;

/// A JPEG of the gradient.
fn photo(quality: u8, sampling: jpeg_encoder::SamplingFactor, segments: &[(u8, &[u8])]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut file, quality);
    encoder.set_sampling_factor(sampling);
    for &(number, content) in segments {
        encoder.add_app_segment(number, content.to_vec()).expect("short enough");
    }
    let (width, height) = (u16::try_from(WIDTH).expect("small"), u16::try_from(HEIGHT).expect("small"));
    encoder.encode(&gradient(WIDTH, HEIGHT, 3), width, height, jpeg_encoder::ColorType::Rgb).expect("it is encoded");
    file
}

fn fine() -> Vec<u8> {
    photo(95, jpeg_encoder::SamplingFactor::F_1_1, &[])
}

/// As another decoder sees it.
fn seen(jpeg: &[u8]) -> DynamicImage {
    let mut decoder = zune_jpeg::JpegDecoder::new(zune_jpeg::zune_core::bytestream::ZCursor::new(jpeg));
    let pixels = decoder.decode().expect("a jpeg");
    let info = decoder.info().expect("a header");
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    DynamicImage::from(image::RgbImage::from_raw(width, height, pixels).expect("as many as there are"))
}

/// The mean difference of two pictures of the same size.
fn difference(one: &DynamicImage, other: &DynamicImage) -> f64 {
    let (one, other) = (one.to_rgb8(), other.to_rgb8());
    assert_eq!(one.dimensions(), other.dimensions());
    let sum: u64 = one.iter().zip(other.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    #[expect(clippy::cast_precision_loss, reason = "small pictures")]
    let mean = sum as f64 / one.len() as f64;
    mean
}

#[test]
fn every_format_shows_the_same_picture() {
    let gradient = |channels| gradient(WIDTH, HEIGHT, channels);
    let rgb = DynamicImage::from(image::RgbImage::from_raw(WIDTH, HEIGHT, gradient(3)).expect("as many"));
    let rgba = image::RgbaImage::from_raw(WIDTH, HEIGHT, gradient(4)).expect("as many");
    let mut white = DynamicImage::from(image::RgbaImage::from_pixel(WIDTH, HEIGHT, image::Rgba([255; 4])));
    image::imageops::overlay(&mut white, &rgba, 0, 0);
    let grey = DynamicImage::from(image::GrayImage::from_raw(WIDTH, HEIGHT, gradient(1)).expect("as many"));
    let right = [
        ("rgb.png", &rgb),
        ("sixteen-bits.png", &rgb),
        ("rgba.png", &white),
        ("grey.png", &grey),
        ("lossless.webp", &rgb),
        ("lossless-alpha.webp", &white),
        ("lossless-grey.webp", &grey),
        ("rgb.bmp", &rgb),
        ("grey.bmp", &grey),
        ("rgb.tif", &rgb),
        ("grey.tif", &grey),
        ("rgba.tif", &white),
    ];
    let files = made();
    for (name, right) in right {
        let file = files.iter().find(|file| file.name == name).expect("one of them");
        let (_, converted) = judged(&file.bytes, AS_IT_IS).expect("converted");
        let difference = difference(&seen(&converted.jpeg), right);
        assert!(difference < 3.0, "{name}: {difference}");
    }
    let from_the_top = files.iter().find(|file| file.name == "from-the-top.bmp").expect("one of them");
    let (_, converted) = judged(&from_the_top.bytes, AS_IT_IS).expect("converted");
    assert!(difference(&seen(&converted.jpeg), &rgb.flipv()) < 3.0);
}

#[test]
fn a_photo_is_turned_as_another_program_turns_it() {
    for sampling in [jpeg_encoder::SamplingFactor::F_1_1, jpeg_encoder::SamplingFactor::F_2_2] {
        let file = photo(95, sampling, &[]);
        for turned in 1..=8 {
            let facts = Facts { orientation: turned, ..inspect(&file).expect("a jpeg") };
            let converted = convert(file.clone(), &facts, AS_IT_IS).expect("converted");
            let mut right = seen(&file);
            right.apply_orientation(image::metadata::Orientation::from_exif(turned).expect("1 to 8"));
            // Of coarse colour another one of four pixels stands for them when the picture is turned.
            let difference = difference(&seen(&converted.jpeg), &right);
            assert!(difference < 5.0, "orientation {turned}: {difference}");
            assert_eq!(inspect(&converted.jpeg).expect("a jpeg").coding.coarse_colour, facts.coding.coarse_colour);
        }
    }
}

#[test]
fn a_photo_is_scaled_before_it_is_turned() {
    let file = fine();
    let facts = Facts { orientation: 6, ..inspect(&file).expect("a jpeg") };
    let converted = convert(file.clone(), &facts, Wish { max_side: 45, quality: 95 }).expect("converted");
    assert_eq!((converted.width, converted.height, converted.scaled), (30, 45, Some((90, 45))));
    let right = seen(&file).resize_exact(45, 30, image::imageops::FilterType::Lanczos3).rotate90();
    let difference = difference(&seen(&converted.jpeg), &right);
    assert!(difference < 3.0, "{difference}");
}

#[test]
fn the_profile_is_kept_and_nothing_else() {
    let profile = |space: &[u8; 4]| {
        let mut profile = vec![b'p'; 70_000];
        profile[16..20].copy_from_slice(space);
        profile[36..40].copy_from_slice(b"acsp");
        profile
    };
    let in_segments = |profile: &[u8]| -> Vec<Vec<u8>> {
        let parts: Vec<&[u8]> = profile.chunks(60_000).collect();
        let count = u8::try_from(parts.len()).expect("few");
        let segment = |(at, part): (usize, &&[u8])| {
            [b"ICC_PROFILE\0", &[u8::try_from(at + 1).expect("few"), count][..], part].concat()
        };
        parts.iter().enumerate().map(segment).collect()
    };
    for (space, kept) in [(b"RGB ", true), (b"CMYK", false), (b"GRAY", false)] {
        let profile = profile(space);
        let icc = in_segments(&profile);
        let mut segments: Vec<(u8, &[u8])> = icc.iter().map(|segment| (2, &segment[..])).collect();
        segments.push((1, b"Exif\0\0II*\0\x08\0\0\0\0\0GPS: a secret place"));
        segments.push((1, b"http://ns.adobe.com/xap/1.0/\0a secret place"));
        segments.push((13, b"a secret place"));
        let file = photo(90, jpeg_encoder::SamplingFactor::F_1_1, &segments);
        let facts = Facts { orientation: 3, ..inspect(&file).expect("a jpeg") };
        let converted = convert(file, &facts, AS_IT_IS).expect("converted");
        let holds = |text: &[u8]| converted.jpeg.windows(text.len()).any(|part| part == text);
        assert!(!holds(b"a secret place") && !holds(b"Exif"));
        assert_eq!(holds(b"ICC_PROFILE"), kept, "{}", String::from_utf8_lossy(space));
        let found = image::codecs::jpeg::JpegDecoder::new(std::io::Cursor::new(&converted.jpeg))
            .and_then(|mut decoder| decoder.icc_profile());
        assert_eq!(found.expect("a jpeg").as_deref(), kept.then_some(&profile[..]));
    }
}

#[test]
fn a_picture_in_ink_becomes_one_in_light() {
    let mut file = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut file, 95);
    // Without ink, and with all of the black.
    let pixels = [[0, 0, 0, 0].repeat(64), [0, 0, 0, 255].repeat(64)].concat();
    encoder.encode(&pixels, 8, 16, jpeg_encoder::ColorType::Cmyk).expect("it is encoded");
    let facts = Facts { orientation: 3, ..inspect(&file).expect("a jpeg") };
    let converted = convert(file, &facts, AS_IT_IS).expect("converted");
    let seen = seen(&converted.jpeg).to_luma8();
    assert!(seen.get_pixel(4, 4).0[0] < 10 && seen.get_pixel(4, 12).0[0] > 245, "{seen:?}");
}

#[test]
fn a_grey_photo_stays_grey() {
    let mut file = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut file, 95);
    let pixels = gradient(WIDTH, HEIGHT, 1);
    encoder.encode(&pixels, 90, 60, jpeg_encoder::ColorType::Luma).expect("it is encoded");
    let facts = Facts { orientation: 6, ..inspect(&file).expect("a jpeg") };
    let converted = convert(file, &facts, AS_IT_IS).expect("converted");
    assert_eq!(inspect(&converted.jpeg).expect("a jpeg").coding.channels, 1);
    let right = DynamicImage::from(image::GrayImage::from_raw(WIDTH, HEIGHT, pixels).expect("as many")).rotate90();
    assert!(difference(&seen(&converted.jpeg), &right) < 3.0);
}

#[test]
fn what_a_decoder_does_not_read_is_found_and_what_it_cannot_read_is_said() {
    let file = fine();
    let facts = inspect(&file).expect("a jpeg");
    assert_eq!(check(&file, &facts), Ok(()));
    let arithmetic = Facts { coding: antispoof_core::image::Coding { arithmetic: true, ..facts.coding }, ..facts };
    assert!(matches!(check(&file, &arithmetic), Err(ConvertError::Unsupported(_))));
    let mut no_tables = file.clone();
    let tables = no_tables.windows(2).position(|part| part == b"\xff\xc4").expect("tables");
    no_tables[tables + 4] = 0xFF;
    assert!(matches!(check(&no_tables, &facts), Err(ConvertError::Corrupt(_))));
}

/// Strict: libjpeg reads such a file with a warning and a smeared picture.
#[test]
fn a_photo_whose_data_makes_no_sense_is_refused() {
    let mut file = fine();
    let facts = Facts { orientation: 3, ..inspect(&file).expect("a jpeg") };
    let middle = file.len() * 2 / 3;
    // No code has ones alone.
    file[middle..middle + 40].copy_from_slice(&[0xFF, 0].repeat(20));
    assert!(matches!(check(&file, &facts), Err(ConvertError::Corrupt(_))));
    assert!(matches!(convert(file, &facts, AS_IT_IS), Err(ConvertError::Corrupt(_))));
}

#[test]
fn what_no_jpeg_can_hold_is_refused() {
    let facts = Facts { width: 70_000, height: 1, ..inspect(&fine()).expect("a jpeg") };
    let pixels = pixels::Pixels { data: vec![0; 70_000], width: 70_000, height: 1, colour: pixels::Colour::Grey };
    let refused = encode::encode(&pixels, &facts, None, 90);
    assert!(matches!(refused, Err(ConvertError::TooLarge(message)) if message.contains("65535")));
}

/// White noise is the most that a picture can take.
#[test]
fn noise_fits_into_what_is_reckoned_for_a_jpeg() {
    let mut seed = 1_u64;
    let mut noise = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed.to_le_bytes()[7]
    };
    let data = (0..500 * 500 * 3).map(|_| noise()).collect();
    let facts = Facts { orientation: 2, ..inspect(&fine()).expect("a jpeg") };
    let pixels = pixels::Pixels { data, width: 500, height: 500, colour: pixels::Colour::Ycc };
    for quality in [50, 90, 95, 100] {
        let bytes = encode::encode(&pixels, &facts, None, quality).expect("it fits").len() as u64;
        let most = encode::most_bytes(500 * 500, quality) - 1024 * 1024 - 64 * 1024;
        assert!(bytes < most && bytes > most / 3, "quality {quality}: {bytes} of {most}");
    }
}
