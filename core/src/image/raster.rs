//! The headers of the formats that are converted: PNG (ISO/IEC 15948), WebP (RFC 9649), BMP, `GIF89a` and TIFF 6.0.

use super::exif::{self, Tiff};
use super::facts::{Coding, Facts, Format};
use super::frame::Reason;

/// What the first bytes of a file of this format say. They may be cut anywhere.
pub(super) fn facts(format: Format, first: &[u8]) -> Result<Facts, Reason> {
    let header = Header(first);
    let (width, height, channels) = match format {
        Format::Png => header.png(),
        Format::WebP => header.webp(),
        Format::Bmp => header.bmp(),
        Format::Gif => header.gif(),
        // The directory, which has them, is mostly at the end of the file.
        Format::Tiff | Format::Jpeg => return Ok(of(format, 0, 0, 4)),
    }
    .ok_or("its header is broken")?;
    if width == 0 || height == 0 {
        return Err("its header has no width or no height");
    }
    let mut facts = of(format, width, height, channels);
    if format == Format::WebP && header.bytes(12) == Some(*b"VP8L") {
        facts.coding.lossless_bytes = header.bytes(16).map_or(0, u32::from_le_bytes).into();
    }
    Ok(facts)
}

/// The orientation that a whole file has in its EXIF data, 1 to 8; 1 where it has none. Not for JPEG, whose header tells.
pub fn orientation(format: Format, file: &[u8]) -> u8 {
    let tiff = match format {
        Format::Png => chunks(file, 8, &PNG).find(|(kind, _)| kind == b"eXIf").map(|(_, content)| content),
        Format::WebP => chunks(file, 12, &RIFF).find(|(kind, _)| kind == b"EXIF").map(|(_, content)| content),
        Format::Tiff => Some(file),
        Format::Jpeg | Format::Bmp | Format::Gif => None,
    };
    // Some writers put the signature of JPEG's segment before it.
    let tiff = tiff.map(|content| content.strip_prefix(exif::SIGNATURE).unwrap_or(content));
    tiff.and_then(Tiff::new).and_then(|tiff| tiff.orientation()).unwrap_or(1)
}

/// What is wrong with a whole WebP file that its decoder finds too late, or not at all: it is shorter than it says, or a frame is larger than the canvas.
pub fn webp_damage(webp: &[u8]) -> Result<(), Reason> {
    let length = Header(webp).bytes(4).map(u32::from_le_bytes).and_then(|length| usize::try_from(length).ok());
    if length.is_none_or(|length| webp.len() - 8 < length) {
        return Err("it is shorter than it says: it is cut off");
    }
    let Some((width, height, _)) = Header(webp).webp() else { return Ok(()) };
    let mut walked = 12;
    for (kind, content) in chunks(webp, 12, &RIFF) {
        walked += 8 + content.len() + content.len() % 2;
        let fits = match &kind {
            b"ANMF" => frame_fits(content, (width, height)),
            _ => bitstream(kind, content).is_none_or(|(across, down)| across <= width && down <= height),
        };
        if !fits {
            return Err("a frame in it is larger than its canvas, or not as large as it says");
        }
    }
    // A decoder would take what there is of the last one.
    if webp.len().saturating_sub(walked) >= 8 { Err("a chunk in it is longer than the file") } else { Ok(()) }
}

/// The frame of an animation: where it lies and its size, then chunks of its own.
fn frame_fits(content: &[u8], (width, height): (u32, u32)) -> bool {
    let side = |at| Header(content).bytes(at).map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]) + 1);
    let (Some(across), Some(down)) = (side(6), side(9)) else { return false };
    let same = |bitstream: Option<(u32, u32)>| bitstream.is_none_or(|size| size == (across, down));
    across <= width
        && down <= height
        && chunks(content, 16, &RIFF).all(|(kind, content)| same(bitstream(kind, content)))
}

/// Bytes of a whole WebP that are coded as lossless ones are: pictures and alpha.
pub fn webp_lossless_bytes(webp: &[u8]) -> u64 {
    let coded =
        |kind: [u8; 4], content: &[u8]| if matches!(&kind, b"VP8L" | b"ALPH") { content.len() as u64 } else { 0 };
    let of = |(kind, content): ([u8; 4], &[u8])| match &kind {
        b"ANMF" => chunks(content, 16, &RIFF).map(|(kind, content)| coded(kind, content)).sum(),
        _ => coded(kind, content),
    };
    chunks(webp, 12, &RIFF).map(of).sum()
}

/// What of a whole TIFF is not decoded: its decoder would take more time or memory for it than the picture has pixels.
pub fn tiff_kind(tiff: &[u8]) -> Result<(), Reason> {
    const COMPRESSION: u16 = 0x0103;
    const STRIP_BYTES: u16 = 0x0117;
    const TILE_WIDTH: u16 = 0x0142;
    const MOST_STRIPS: usize = 65_500;

    let Some(file) = Tiff::new(tiff) else { return Ok(()) };
    let compression = file.entry(COMPRESSION).and_then(|entry| file.integer(&entry)).unwrap_or(1);
    if !matches!(compression, 1 | 5 | 8 | 32_773 | 32_946) {
        return Err(
            "its compression is not decoded here: store it without, with LZW, deflate or PackBits, or as jpeg or png",
        );
    }
    if file.entry(TILE_WIDTH).is_some() {
        return Err("it is made of tiles, which are not decoded here: store it in strips, or as jpeg or png");
    }
    let strips = file.entry(STRIP_BYTES).map(|entry| file.integers(&entry, MOST_STRIPS));
    let Some(strips) = strips.unwrap_or_else(|| Some(Vec::new())) else {
        return Err("it has more strips than a picture has rows");
    };
    let sum: u64 = strips.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes));
    if sum > tiff.len() as u64 {
        Err("its strips are longer than the file: they are cut off, or lie over each other")
    } else {
        Ok(())
    }
}

/// What of a BMP is not decoded: rows that need not be all there.
pub fn bmp_kind(bmp: &[u8]) -> Result<(), Reason> {
    let header = Header(bmp);
    let compression = if header.bytes(14).map(u32::from_le_bytes) == Some(12) { None } else { header.bytes(30) };
    match compression.map(u32::from_le_bytes) {
        None | Some(0 | 3 | 6) => Ok(()),
        Some(_) => Err("it is a compressed bmp, which is not decoded here: store it as jpeg or png"),
    }
}

/// Width and height of a lossy or lossless bitstream (RFC 6386, 9.1; RFC 9649, 3.4).
fn bitstream(kind: [u8; 4], content: &[u8]) -> Option<(u32, u32)> {
    let content = Header(content);
    match &kind {
        b"VP8 " => Some((content.short(6)? & 0x3FFF, content.short(8)? & 0x3FFF)),
        b"VP8L" => {
            let bits = u32::from_le_bytes(content.bytes(1)?);
            Some(((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1))
        }
        _ => None,
    }
}

fn of(format: Format, width: u32, height: u32, channels: u8) -> Facts {
    let bare = Facts::upright(format, width, height);
    Facts { coding: Coding { channels, ..bare.coding }, ..bare }
}

/// The first bytes of a file. Each reading gives width, height, and the most bytes that a decoded pixel has.
struct Header<'a>(&'a [u8]);

impl Header<'_> {
    fn png(&self) -> Option<(u32, u32, u8)> {
        if self.bytes::<8>(8)? != *b"\0\0\0\x0dIHDR" {
            return None;
        }
        let number = |at| Some(u32::from_be_bytes(self.bytes(at)?));
        let [colour] = self.bytes(25)?;
        // Grey may have a transparent value, which makes alpha of it.
        Some((number(16)?, number(20)?, if matches!(colour, 0 | 4) { 2 } else { 4 }))
    }

    fn webp(&self) -> Option<(u32, u32, u8)> {
        let (width, height) = match &self.bytes::<4>(12)? {
            b"VP8X" => {
                let side = |at| self.bytes(at).map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]) + 1);
                (side(24)?, side(27)?)
            }
            &kind => bitstream(kind, self.0.get(20..)?)?,
        };
        Some((width, height, 4))
    }

    fn bmp(&self) -> Option<(u32, u32, u8)> {
        // The oldest header has short numbers. A negative height says that the first row is the upper one.
        if u32::from_le_bytes(self.bytes(14)?) == 12 {
            return Some((self.short(18)?, self.short(20)?, 4));
        }
        let side = |at| Some(i32::from_le_bytes(self.bytes(at)?).unsigned_abs());
        Some((side(18)?, side(22)?, 4))
    }

    fn gif(&self) -> Option<(u32, u32, u8)> {
        Some((self.short(6)?, self.short(8)?, 4))
    }

    fn short(&self, at: usize) -> Option<u32> {
        Some(u32::from(u16::from_le_bytes(self.bytes(at)?)))
    }

    fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk().copied()
    }
}

/// How the chunks of a container are laid out.
struct Layout {
    /// The type comes before the length.
    kind_first: bool,
    length: fn([u8; 4]) -> u32,
    /// What follows the content, for a content of this length.
    behind: fn(usize) -> usize,
}

/// A checksum follows.
const PNG: Layout = Layout { kind_first: false, length: u32::from_be_bytes, behind: |_| 4 };
/// An odd length is padded.
const RIFF: Layout = Layout { kind_first: true, length: u32::from_le_bytes, behind: |length| length % 2 };

/// Type and content of each chunk, from an offset on, up to the first that is cut off.
fn chunks<'a>(file: &'a [u8], mut at: usize, layout: &'a Layout) -> impl Iterator<Item = ([u8; 4], &'a [u8])> {
    std::iter::from_fn(move || {
        let (first, second) = file.get(at..)?.first_chunk::<8>()?.split_at(4);
        let (kind, length) = if layout.kind_first { (first, second) } else { (second, first) };
        let length = usize::try_from((layout.length)(length.try_into().ok()?)).ok()?;
        let content = file.get(at + 8..(at + 8).checked_add(length)?)?;
        at += 8 + length + (layout.behind)(length);
        Some((kind.try_into().ok()?, content))
    })
}
