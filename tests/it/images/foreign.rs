//! Files that are no JPEG: a PNG, and the smallest honest members of formats that are refused.

use std::io::Cursor;

use image::{ImageFormat, RgbImage};

/// A lossy WebP.
pub(super) const WEBP: &[u8] = include_bytes!("../../samples/astronaut-64.webp");

/// `picture` as a PNG.
pub(super) fn png(picture: &RgbImage) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, ImageFormat::Png).expect("a picture can be written to memory as PNG");
    out.into_inner()
}

/// A GIF of one black pixel: header, screen descriptor with two colours, one image, trailer.
pub(super) fn gif() -> Vec<u8> {
    let mut gif = b"GIF89a".to_vec();
    gif.extend_from_slice(&[1, 0, 1, 0, 0x80, 0, 0]);
    gif.extend_from_slice(&[0, 0, 0, 0xff, 0xff, 0xff]);
    gif.extend_from_slice(&[0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0]);
    gif.extend_from_slice(&[2, 2, 0x44, 1, 0]);
    gif.push(0x3b);
    gif
}

/// What an iPhone's file begins with: a `ftyp` box of brand `heic`, then a `mdat` box whose content is nothing.
pub(super) fn heic() -> Vec<u8> {
    let brands = b"heic\0\0\0\0mif1heic";
    let media = [0_u8; 4096];
    [boxed(*b"ftyp", brands), boxed(*b"mdat", &media)].concat()
}

/// A text that somebody called `.jpg`.
pub(super) fn text() -> Vec<u8> {
    b"This is no picture. Somebody saved a text and called it .jpg.\n".repeat(20)
}

fn boxed(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let len = u32::try_from(content.len() + 8).expect("a box of a sample is small");
    [&len.to_be_bytes(), &kind, content].concat()
}
