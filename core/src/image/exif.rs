//! The one EXIF tag that matters: orientation (CIPA DC-008, tag 0x0112 in IFD0).

const ORIENTATION: u16 = 0x0112;
const SHORT: u16 = 3;

/// The orientation, 1 to 8, if the APP1 segment is a well-formed EXIF block that says so. Broken EXIF is no reason to refuse an image.
pub(super) fn orientation(segment: &[u8]) -> Option<u8> {
    let tiff = segment.strip_prefix(b"Exif\0\0")?;
    let little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let bytes: [u8; 2] = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let u32_at = |at: usize| {
        let bytes: [u8; 4] = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let ifd = usize::try_from(u32_at(4)?).ok()?;
    let entries = usize::from(u16_at(ifd)?);
    (0..entries)
        .map(|entry| ifd.checked_add(2 + entry * 12))
        .map_while(|at| at.and_then(|at| Some((at, u16_at(at)?))))
        .find(|&(_, tag)| tag == ORIENTATION)
        .filter(|&(at, _)| u16_at(at + 2) == Some(SHORT) && u32_at(at + 4) == Some(1))
        .and_then(|(at, _)| u16_at(at + 8))
        .and_then(|value| u8::try_from(value).ok())
        .filter(|value| (1..=8).contains(value))
}
