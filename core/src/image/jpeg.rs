//! The markers of a JPEG up to its frame header (ITU-T T.81, annex B).

use super::exif;
use super::facts::{Facts, Format};

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const APP1: u8 = 0xE1;

/// Walks the segments. `Ok(None)`: the prefix ends first.
pub(super) fn frame(prefix: &[u8]) -> Result<Option<Facts>, &'static str> {
    let mut at = 2;
    let mut orientation = 1;
    loop {
        let Some((marker, start)) = marker(prefix, at)? else {
            return Ok(None);
        };
        match marker {
            0x01 | 0xD0..=0xD7 => {
                at = start;
                continue;
            }
            SOI => return Err("a second image starts inside its header"),
            EOI => return Err("it ends before its frame header"),
            SOS => return Err("its scan comes before its frame header"),
            0x00 => return Err("its header has bytes that are no marker"),
            _ => {}
        }
        let Some(length) = prefix.get(start..start + 2) else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        if length < 2 {
            return Err("a segment in its header has an impossible length");
        }
        let end = start + length;
        let Some(segment) = prefix.get(start + 2..end) else {
            return Ok(None);
        };
        if is_frame_header(marker) {
            return size(segment, orientation, start - 2).map(Some);
        }
        if marker == APP1 && orientation == 1 {
            orientation = exif::orientation(segment).unwrap_or(1);
        }
        at = end;
    }
}

/// The next marker and the offset behind it. Any number of fill bytes (FF) may stand before a marker.
fn marker(prefix: &[u8], at: usize) -> Result<Option<(u8, usize)>, &'static str> {
    let Some(&first) = prefix.get(at) else {
        return Ok(None);
    };
    if first != 0xFF {
        return Err("its header has bytes that are no marker");
    }
    let fill = prefix[at..].iter().take_while(|&&byte| byte == 0xFF).count();
    Ok(prefix.get(at + fill).map(|&marker| (marker, at + fill + 1)))
}

/// SOF0 to SOF15 without the three numbers that are something else (DHT, JPG, DAC).
fn is_frame_header(marker: u8) -> bool {
    matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC)
}

fn size(segment: &[u8], orientation: u8, marker_at: usize) -> Result<Facts, &'static str> {
    let [_precision, h1, h0, w1, w0, components, ..] = *segment else {
        return Err("its frame header is too short");
    };
    let height = u16::from_be_bytes([h1, h0]);
    let width = u16::from_be_bytes([w1, w0]);
    if width == 0 || height == 0 {
        return Err("its frame header has no size");
    }
    if !(1..=4).contains(&components) || segment.len() != 6 + 3 * usize::from(components) {
        return Err("its frame header contradicts itself");
    }
    Ok(Facts {
        format: Format::Jpeg,
        width: u32::from(width),
        height: u32::from(height),
        orientation,
        scan_from: marker_at as u64,
    })
}
