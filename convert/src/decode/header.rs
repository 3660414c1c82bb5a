//! The header of a JPEG as a decoder needs it.

use super::standard_tables;

/// What goes before the first scan: tables, the frame header, and what says which colours and which profile they have. Everything else, well or badly
/// formed, is left out: zune-jpeg stops at stray markers and broken comments that libjpeg passes over, and what is not read cannot be misread.
///
/// The file has been inspected: its segments follow each other up to the scan.
pub(super) fn cleaned(file: &[u8], profile: bool) -> Vec<u8> {
    let mut clean = Vec::with_capacity(file.len());
    clean.extend_from_slice(&[0xFF, 0xD8]);
    let (mut has_tables, mut progressive, mut at) = (false, false, 2);
    while let Some(marker) = next_marker(file, at) {
        let code = file[marker + 1];
        if code == SOS {
            if !has_tables && !progressive {
                clean.extend(standard_tables::SEGMENTS.concat());
            }
            clean.extend_from_slice(&file[marker..]);
            return clean;
        }
        let Some(length) = file.get(marker + 2..marker + 4) else { break };
        let length = usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
        at = marker + 2 + length;
        has_tables |= code == DHT;
        progressive |= code == SOF2;
        if let Some(segment) = file.get(marker..at)
            && is_needed(code, &segment[4..], profile)
        {
            clean.extend_from_slice(segment);
        }
    }
    // Not a JPEG that was inspected; the decoder says what it is.
    file.to_vec()
}

const SOF2: u8 = 0xC2;
const DHT: u8 = 0xC4;
const SOS: u8 = 0xDA;

fn is_needed(code: u8, content: &[u8], profile: bool) -> bool {
    match code {
        // Frame headers and tables, but none of arithmetic coding and no DNL; JFIF, and Adobe's mark of the colour transform.
        0xC0..=0xCB | 0xCD..=0xCF | 0xDB | 0xDD | 0xE0 | 0xEE => true,
        0xE2 => profile && content.starts_with(b"ICC_PROFILE\0"),
        _ => false,
    }
}

/// Offset of the FF of the next marker that begins a segment.
fn next_marker(file: &[u8], from: usize) -> Option<usize> {
    let pairs = file.get(from..)?.windows(2);
    let found =
        pairs.enumerate().find(|(_, pair)| pair[0] == 0xFF && !matches!(pair[1], 0xFF | 0x00 | 0x01 | 0xD0..=0xD9));
    found.map(|(at, _)| from + at)
}
