//! Files of the formats that are converted, made from one gradient: what is right for each. The tests of this crate and those of the whole daemon share
//! this file.

use image::codecs::bmp::BmpEncoder;
use image::codecs::gif::GifEncoder;
use image::codecs::tiff::TiffEncoder;
use image::{ExtendedColorType, Frame, ImageEncoder as _, RgbaImage};
use std::io::Cursor;

/// Lossy WebP has no encoder in Rust: this one was made with libwebp from `astronaut-face.jpg`, 64 by 64 pixels.
const LOSSY: &[u8] = include_bytes!("../../../tests/samples/astronaut-64.webp");

const WIDTH: u32 = 90;
const HEIGHT: u32 = 60;

/// A file and what is to become of it, where all formats are converted and nothing else is asked for.
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
    /// It is sent as a JPEG.
    Verdict {
        /// Width and height as the file says.
        size: (u32, u32),
        /// Width and height of the JPEG.
        sent: (u32, u32),
        /// What was done.
        steps: &'static [&'static str],
    },
    /// It is refused with this code, and these words.
    Failure(&'static str, &'static str),
}

/// All of them.
pub(crate) fn made() -> Vec<Made> {
    [pngs(), webps(), bmps(), tiffs(), gifs()].into_iter().flatten().collect()
}

/// A gradient with so many channels, of which the last of two or four is alpha.
pub(crate) fn gradient(width: u32, height: u32, channels: u32) -> Vec<u8> {
    let value = |x: u32, y: u32, channel: u32| (x * 2 + y * (channel + 1) + 40 * channel) % 256;
    let values = (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..channels).map(move |at| value(x, y, at))));
    values.map(|value| u8::try_from(value).expect("a byte")).collect()
}

fn pngs() -> Vec<Made> {
    use png::{BitDepth, ColorType};

    let steps = &["png→jpeg"];
    let plain = |colour, channels| png_of(colour, BitDepth::Eight, &gradient(WIDTH, HEIGHT, channels), |_| {});
    let rgb = plain(ColorType::Rgb, 3);
    let with = |chunk: [u8; 4], content: &[u8]| with_chunk(&rgb, chunk, content);
    let sixteen: Vec<u8> = gradient(WIDTH, HEIGHT, 3).iter().flat_map(|&value| [value, 7]).collect();
    let bits = vec![0b1010_0101; (WIDTH.div_ceil(8) * HEIGHT) as usize];
    let palette = |encoder: &mut png::Encoder<'_, &mut Vec<u8>>| {
        encoder.set_palette(gradient(16, 16, 3));
        encoder.set_trns(vec![0, 255, 128]);
    };
    let indices = vec![9; (WIDTH * HEIGHT) as usize];
    let mut no_header = rgb.clone();
    no_header[12..16].copy_from_slice(b"CgBI");
    let sized = |width: u32, height: u32| {
        let mut file = rgb.clone();
        file[16..20].copy_from_slice(&width.to_be_bytes());
        file[20..24].copy_from_slice(&height.to_be_bytes());
        file
    };
    let mut damaged = rgb.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;
    vec![
        good("rgb.png", rgb.clone(), steps),
        good("rgba.png", plain(ColorType::Rgba, 4), steps),
        good("grey.png", plain(ColorType::Grayscale, 1), steps),
        good("grey-alpha.png", plain(ColorType::GrayscaleAlpha, 2), steps),
        good("sixteen-bits.png", png_of(ColorType::Rgb, BitDepth::Sixteen, &sixteen, |_| {}), steps),
        good("one-bit.png", png_of(ColorType::Grayscale, BitDepth::One, &bits, |_| {}), steps),
        good("palette.png", png_of(ColorType::Indexed, BitDepth::Eight, &indices, palette), steps),
        turned("lying.png", with(*b"eXIf", &exif(6)), &["png→jpeg", "turned 6"]),
        good("upside-down.png", with(*b"eXIf", &exif(3)), &["png→jpeg", "turned 3"]),
        good("with-text.png", with(*b"tEXt", b"Comment\0a secret place"), steps),
        good("cut-behind-its-pixels.png", rgb[..rgb.len() - 12].to_vec(), steps),
        bad("cut.png", rgb[..rgb.len() * 2 / 3].to_vec(), "image_corrupt", "cannot be decoded"),
        bad("damaged.png", damaged, "image_corrupt", "cannot be decoded"),
        bad("header-alone.png", rgb[..33].to_vec(), "image_corrupt", "cannot be decoded"),
        bad("cut-header.png", rgb[..20].to_vec(), "image_corrupt", "header is broken"),
        bad("crushed-for-ios.png", no_header, "image_corrupt", "header is broken"),
        bad("no-width.png", sized(0, 10), "image_corrupt", "no width or no height"),
        bad("above-max-pixels.png", sized(10_000, 10_000), "image_dimensions", "image.max_pixels"),
        bad("above-the-memory.png", sized(8_000, 8_000), "image_dimensions", "image.conversion_memory"),
        bad("wider-than-it-says.png", sized(WIDTH * 2, HEIGHT), "image_corrupt", "cannot be decoded"),
    ]
}

fn webps() -> Vec<Made> {
    let steps = &["webp→jpeg"];
    let lossless = |colour, channels| {
        let mut file = Vec::new();
        let encoder = image_webp::WebPEncoder::new(&mut file);
        encoder.encode(&gradient(WIDTH, HEIGHT, channels), WIDTH, HEIGHT, colour).expect("it is encoded");
        file
    };
    let rgb = lossless(image_webp::ColorType::Rgb8, 3);
    let extended = |canvas: (u32, u32), orientation: u16| {
        let side = |side: u32| [(side - 1).to_le_bytes()[0], (side - 1).to_le_bytes()[1], 0];
        let header = [&[0b1000, 0, 0, 0][..], &side(canvas.0), &side(canvas.1)].concat();
        let chunks = [riff(*b"VP8X", &header), rgb[12..].to_vec(), riff(*b"EXIF", &exif(orientation))].concat();
        riff(*b"RIFF", &[b"WEBP", &chunks[..]].concat())
    };
    let mut longer_than_the_file = rgb.clone();
    longer_than_the_file[17] += 1;
    let lossy = Expected::Verdict { size: (64, 64), sent: (64, 64), steps };
    vec![
        good("lossless.webp", rgb.clone(), steps),
        good("lossless-alpha.webp", lossless(image_webp::ColorType::Rgba8, 4), steps),
        good("lossless-grey.webp", lossless(image_webp::ColorType::L8, 1), steps),
        Made { name: "lossy.webp", bytes: LOSSY.to_vec(), expected: lossy },
        turned("lying.webp", extended((WIDTH, HEIGHT), 8), &["webp→jpeg", "turned 8"]),
        bad("smaller-canvas.webp", extended((WIDTH - 1, HEIGHT), 1), "image_corrupt", "larger than its canvas"),
        bad("last-chunk-longer-than-the-file.webp", longer_than_the_file, "image_corrupt", "longer than the file"),
        bad("larger-canvas.webp", extended((WIDTH + 1, HEIGHT), 1), "image_corrupt", "cannot be decoded"),
        bad("cut.webp", rgb[..rgb.len() / 2].to_vec(), "image_corrupt", "cannot be decoded"),
        bad("cut-lossy.webp", LOSSY[..LOSSY.len() / 2].to_vec(), "image_corrupt", "cannot be decoded"),
        bad("header-alone.webp", rgb[..16].to_vec(), "image_corrupt", "header is broken"),
    ]
}

fn bmps() -> Vec<Made> {
    let steps = &["bmp→jpeg"];
    let of = |channels, colour| {
        let mut file = Vec::new();
        let pixels = gradient(WIDTH, HEIGHT, channels);
        BmpEncoder::new(&mut file).write_image(&pixels, WIDTH, HEIGHT, colour).expect("it is encoded");
        file
    };
    let rgb = of(3, ExtendedColorType::Rgb8);
    let mut from_the_top = rgb.clone();
    let mut run_lengths = rgb.clone();
    run_lengths[30] = 1;
    from_the_top[22..26].copy_from_slice(&(-i32::try_from(HEIGHT).expect("small")).to_le_bytes());
    vec![
        good("rgb.bmp", rgb.clone(), steps),
        good("rgba.bmp", of(4, ExtendedColorType::Rgba8), steps),
        good("grey.bmp", of(1, ExtendedColorType::L8), steps),
        good("from-the-top.bmp", from_the_top, steps),
        bad("run-lengths.bmp", run_lengths, "unsupported_format", "compressed bmp"),
        bad("cut.bmp", rgb[..rgb.len() / 2].to_vec(), "image_corrupt", "cannot be decoded"),
        bad("header-alone.bmp", rgb[..26].to_vec(), "image_corrupt", "cannot be decoded"),
    ]
}

fn tiffs() -> Vec<Made> {
    let steps = &["tiff→jpeg"];
    let of = |channels, colour| {
        let mut file = Cursor::new(Vec::new());
        let pixels = gradient(WIDTH, HEIGHT, channels);
        TiffEncoder::new(&mut file).write_image(&pixels, WIDTH, HEIGHT, colour).expect("it is encoded");
        file.into_inner()
    };
    let rgb = of(3, ExtendedColorType::Rgb8);
    // With one of its tags changed, or another in the place of the orientation.
    let with_tag = |tag: u16, kind: u16, value: u32| {
        let mut file = tiff_by_hand(WIDTH, HEIGHT, 1, &gradient(WIDTH, HEIGHT, 1));
        let replaced = if tag == 0x0142 { 0x0112_u16 } else { tag };
        let at = file.windows(2).rposition(|part| part == replaced.to_le_bytes()).expect("it is there");
        file[at..at + 12].copy_from_slice(&entry(tag, kind, value));
        file
    };
    let lying = tiff_by_hand(WIDTH, HEIGHT, 5, &gradient(WIDTH, HEIGHT, 1));
    vec![
        good("rgb.tif", rgb.clone(), steps),
        good("grey.tif", of(1, ExtendedColorType::L8), steps),
        good("rgba.tif", of(4, ExtendedColorType::Rgba8), steps),
        turned("lying.tif", lying, &["tiff→jpeg", "turned 5"]),
        bad("jpeg-inside.tif", with_tag(0x0103, 3, 7), "unsupported_format", "compression"),
        bad("tiles.tif", with_tag(0x0142, 4, 64), "unsupported_format", "tiles"),
        bad(
            "strips-longer-than-the-file.tif",
            with_tag(0x0117, 4, 1 << 20),
            "unsupported_format",
            "longer than the file",
        ),
        bad("cut.tif", rgb[..rgb.len() / 2].to_vec(), "image_corrupt", "cannot be decoded"),
        bad("above-max-pixels.tif", tiff_by_hand(20_000, 20_000, 1, &[0; 100]), "image_dimensions", "image.max_pixels"),
        bad("above-the-memory.tif", tiff_by_hand(6_000, 6_000, 1, &[0; 100]), "image_dimensions", "conversion_memory"),
    ]
}

fn gifs() -> Vec<Made> {
    let steps = &["gif→jpeg"];
    let frame = |seed: u8| {
        let pixels = gradient(WIDTH, HEIGHT, 4).iter().map(|value| value.wrapping_add(seed)).collect();
        Frame::new(RgbaImage::from_raw(WIDTH, HEIGHT, pixels).expect("as many as there are"))
    };
    let of = |frames: Vec<Frame>| {
        let mut file = Vec::new();
        GifEncoder::new(&mut file).encode_frames(frames).expect("it is encoded");
        file
    };
    let one = of(vec![frame(0)]);
    vec![
        good("one-frame.gif", one.clone(), steps),
        good("three-frames.gif", of(vec![frame(0), frame(90), frame(180)]), steps),
        bad("cut.gif", one[..one.len() / 2].to_vec(), "image_corrupt", "cannot be decoded"),
        bad("no-frame.gif", [&one[..13], b"\x3b"].concat(), "image_corrupt", "cannot be decoded"),
        bad("header-alone.gif", one[..8].to_vec(), "image_corrupt", "header is broken"),
    ]
}

fn good(name: &'static str, bytes: Vec<u8>, steps: &'static [&'static str]) -> Made {
    Made { name, bytes, expected: Expected::Verdict { size: (WIDTH, HEIGHT), sent: (WIDTH, HEIGHT), steps } }
}

/// By a quarter.
fn turned(name: &'static str, bytes: Vec<u8>, steps: &'static [&'static str]) -> Made {
    Made { name, bytes, expected: Expected::Verdict { size: (WIDTH, HEIGHT), sent: (HEIGHT, WIDTH), steps } }
}

fn bad(name: &'static str, bytes: Vec<u8>, code: &'static str, words: &'static str) -> Made {
    Made { name, bytes, expected: Expected::Failure(code, words) }
}

fn png_of(
    colour: png::ColorType,
    depth: png::BitDepth,
    pixels: &[u8],
    more: impl FnOnce(&mut png::Encoder<'_, &mut Vec<u8>>),
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, WIDTH, HEIGHT);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    more(&mut encoder);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(pixels).expect("pixels");
    writer.finish().expect("an end");
    file
}

/// A PNG with another chunk behind its header.
fn with_chunk(png: &[u8], kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("short").to_be_bytes();
    let summed = [&kind[..], content].concat();
    let chunk = [&length[..], &summed, &crc32(&summed).to_be_bytes()].concat();
    [&png[..33], &chunk, &png[33..]].concat()
}

/// As PNG defines it (ISO/IEC 15948, annex D).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 })
    })
}

fn riff(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("short").to_le_bytes();
    let padding = vec![0; content.len() % 2];
    [&kind[..], &length, content, &padding].concat()
}

/// An EXIF block with nothing but the orientation.
fn exif(orientation: u16) -> Vec<u8> {
    [b"II*\0\x08\0\0\0\x01\0", &entry(0x0112, 3, u32::from(orientation))[..], &[0; 4]].concat()
}

fn entry(tag: u16, kind: u16, value: u32) -> Vec<u8> {
    [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &1u32.to_le_bytes(), &value.to_le_bytes()].concat()
}

/// A grey TIFF of one strip, as large as it says it is.
fn tiff_by_hand(width: u32, height: u32, orientation: u32, pixels: &[u8]) -> Vec<u8> {
    const SHORT: u16 = 3;
    const LONG: u16 = 4;

    let entries = [
        entry(0x0100, LONG, width),
        entry(0x0101, LONG, height),
        entry(0x0102, SHORT, 8),
        entry(0x0103, SHORT, 1),
        entry(0x0106, SHORT, 1),
        entry(0x0111, LONG, 8),
        entry(0x0112, SHORT, orientation),
        entry(0x0115, SHORT, 1),
        entry(0x0116, LONG, height),
        entry(0x0117, LONG, u32::try_from(pixels.len()).expect("small")),
    ];
    let directory = u32::try_from(8 + pixels.len()).expect("small").to_le_bytes();
    [&b"II*\0"[..], &directory, pixels, &[10, 0], &entries.concat(), &[0; 4]].concat()
}
