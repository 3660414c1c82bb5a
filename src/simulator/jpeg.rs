//! Whether a stream of bytes has the outside of a JPEG: markers up to the first scan, and an end.

/// Walks the segments of a JPEG as its bytes come, in chunks of any size, and holds none of them.
///
/// It does what costs nothing: start marker, well-formed segments, a frame header with dimensions before the first scan,
/// end marker as the last two bytes. The entropy-coded data is not decoded.
#[derive(Debug)]
pub(super) struct Walk {
    at: At,
    frame_seen: bool,
    last_two: [u8; 2],
}

/// The reason a stream of bytes is no JPEG; a phrase that follows "image could not be decoded:".
pub(super) type Reason = &'static str;

#[derive(Debug)]
enum At {
    /// The two bytes of the start marker, and how many of them have come.
    Start(usize),
    /// The `FF` that opens a marker.
    Prefix,
    /// The byte that says which marker; more `FF` are filling.
    Code,
    /// The length of a segment, most significant byte first.
    Length {
        code: u8,
        first: Option<u8>,
    },
    /// Inside a segment: what is left of it, and where its first bytes go when it is a frame header.
    Segment {
        code: u8,
        left: usize,
        head: [u8; 5],
        held: usize,
    },
    /// After the first scan header.
    Scan,
    Failed(Reason),
}

const SOI: [u8; 2] = [0xff, 0xd8];
const EOI: [u8; 2] = [0xff, 0xd9];
const SOS: u8 = 0xda;

impl Walk {
    pub(super) fn new() -> Self {
        Self { at: At::Start(0), frame_seen: false, last_two: [0; 2] }
    }

    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            let taken = match &mut self.at {
                At::Scan => {
                    self.remember_end(bytes);
                    return;
                }
                At::Failed(_) => return,
                At::Segment { left, head, held, .. } => {
                    let taken = bytes.len().min(*left);
                    let wanted = (head.len() - *held).min(taken);
                    head[*held..*held + wanted].copy_from_slice(&bytes[..wanted]);
                    *held += wanted;
                    *left -= taken;
                    taken
                }
                At::Start(_) | At::Prefix | At::Code | At::Length { .. } => {
                    self.at = self.step(byte);
                    1
                }
            };
            bytes = &bytes[taken..];
            if let At::Segment { code, left: 0, head, held } = self.at {
                self.at = self.end_segment(code, head, held);
            }
        }
    }

    /// The verdict once no more bytes will come.
    pub(super) fn finish(&self) -> Result<(), Reason> {
        match self.at {
            At::Start(0) => Err("it has no bytes"),
            At::Failed(reason) => Err(reason),
            At::Scan if self.last_two == EOI => Ok(()),
            At::Scan => Err("it does not end with the JPEG end marker"),
            At::Start(_) | At::Prefix | At::Code | At::Length { .. } | At::Segment { .. } => {
                Err("it ends before the first scan")
            }
        }
    }

    fn step(&self, byte: u8) -> At {
        match self.at {
            At::Start(seen) if byte != SOI[seen] => At::Failed("it does not begin with the JPEG start marker"),
            At::Start(0) => At::Start(1),
            At::Start(_) => At::Prefix,
            At::Prefix if byte == 0xff => At::Code,
            At::Prefix => At::Failed("a segment does not begin with a marker"),
            At::Code => match byte {
                0xff => At::Code,
                0x01 => At::Prefix,
                0x00 | 0xd0..=0xd8 => At::Failed("a marker stands where it must not"),
                0xd9 => At::Failed("it ends before the first scan"),
                SOS if !self.frame_seen => At::Failed("no frame header comes before the first scan"),
                code => At::Length { code, first: None },
            },
            At::Length { code, first: None } => At::Length { code, first: Some(byte) },
            At::Length { code, first: Some(first) } => match usize::from(u16::from_be_bytes([first, byte])) {
                0 | 1 => At::Failed("a segment is shorter than its own length field"),
                length => At::Segment { code, left: length - 2, head: [0; 5], held: 0 },
            },
            At::Segment { .. } | At::Scan | At::Failed(_) => At::Failed("a marker stands where it must not"),
        }
    }

    fn end_segment(&mut self, code: u8, head: [u8; 5], filled: usize) -> At {
        if code == SOS {
            return At::Scan;
        }
        // C4, C8 and CC share the range of the frame headers but are tables and an extension.
        if matches!(code, 0xc0..=0xcf) && !matches!(code, 0xc4 | 0xc8 | 0xcc) {
            let [_, height @ .., width_high, width_low] = head;
            if filled < head.len() || height == [0, 0] || [width_high, width_low] == [0, 0] {
                return At::Failed("the frame header has no dimensions");
            }
            self.frame_seen = true;
        }
        At::Prefix
    }

    fn remember_end(&mut self, bytes: &[u8]) {
        match bytes {
            [] => {}
            [only] => self.last_two = [self.last_two[1], *only],
            [.., before, last] => self.last_two = [*before, *last],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHOTO: &[u8] = include_bytes!("../../tests/samples/astronaut.jpg");

    fn walk(bytes: &[u8], chunk: usize) -> Result<(), Reason> {
        let mut walk = Walk::new();
        bytes.chunks(chunk).for_each(|part| walk.push(part));
        walk.finish()
    }

    #[test]
    fn a_photo_passes_in_chunks_of_any_size() {
        for chunk in [1, 2, 3, 7, 4096, PHOTO.len()] {
            assert_eq!(walk(PHOTO, chunk), Ok(()), "chunks of {chunk}");
        }
    }

    #[test]
    fn every_truncation_is_noticed() {
        for end in (0..1500).chain(PHOTO.len() - 300..PHOTO.len()) {
            assert!(walk(&PHOTO[..end], 512).is_err(), "cut after {end} bytes");
        }
    }

    #[test]
    fn the_reason_names_the_place() {
        let frame = [0xff, 0xc0, 0, 8, 8, 0, 1, 0, 1, 0];
        let scan = [0xff, 0xda, 0, 2];
        let join = |parts: &[&[u8]]| parts.concat();
        for (bytes, reason) in [
            (join(&[]), "it has no bytes"),
            (join(&[b"\x89PNG"]), "it does not begin with the JPEG start marker"),
            (join(&[&SOI, &[0xfe]]), "a segment does not begin with a marker"),
            (join(&[&SOI, &SOI]), "a marker stands where it must not"),
            (join(&[&SOI, &EOI]), "it ends before the first scan"),
            (join(&[&SOI, &[0xff, 0xe0, 0, 1]]), "a segment is shorter than its own length field"),
            (join(&[&SOI, &scan, &EOI]), "no frame header comes before the first scan"),
            (join(&[&SOI, &[0xff, 0xc0, 0, 8, 8, 0, 0, 0, 1, 0]]), "the frame header has no dimensions"),
            (join(&[&SOI, &[0xff, 0xc0, 0, 4, 8, 0]]), "the frame header has no dimensions"),
            (join(&[&SOI, &frame, &scan]), "it does not end with the JPEG end marker"),
            (join(&[&SOI, &frame, &scan, &EOI, b"\n"]), "it does not end with the JPEG end marker"),
        ] {
            assert_eq!(walk(&bytes, 1), Err(reason), "{bytes:02x?}");
        }
        assert_eq!(walk(&join(&[&SOI, &[0xff, 0xff], &frame[1..], &scan, &EOI]), 1), Ok(()), "filling is allowed");
    }
}
