//! Whether a stream of bytes has the outside of a JPEG: markers up to the first scan, and an end behind it.

use std::io::BufRead as _;

/// Walks the segments of a JPEG as its bytes come, in chunks of any size, and holds none of them.
///
/// It asks for what every decoder needs: the start marker, a frame header with dimensions before the first scan, and the end marker behind a scan. It
/// forgives what decoders forgive: stray bytes between segments, and anything behind the end marker. The two bytes of the end marker inside a
/// segment, such as a thumbnail's, are no end. The entropy-coded data is not decoded.
#[derive(Debug)]
pub(super) struct Walk {
    at: At,
    frame_seen: bool,
    scan_seen: bool,
}

/// The reason a stream of bytes is no JPEG; a phrase that follows "image could not be decoded:".
pub(super) type Reason = &'static str;

#[derive(Debug)]
enum At {
    /// The two bytes of the start marker, and how many of them have come.
    Start(usize),
    /// Before the `FF` that opens a marker: between segments, or in entropy-coded data.
    Seek,
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
    /// Behind the end marker.
    End,
    Failed(Reason),
}

const FF: u8 = 0xff;
const SOI: [u8; 2] = [FF, 0xd8];
const SOS: u8 = 0xda;
/// What common decoders read.
const BITS: u8 = 8;

impl Walk {
    pub(super) fn new() -> Self {
        Self { at: At::Start(0), frame_seen: false, scan_seen: false }
    }

    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            let taken = match &mut self.at {
                At::End | At::Failed(_) => return,
                At::Seek => self.seek(bytes),
                At::Segment { left, head, held, .. } => {
                    let taken = bytes.len().min(*left);
                    let wanted = (head.len() - *held).min(taken);
                    head[*held..*held + wanted].copy_from_slice(&bytes[..wanted]);
                    *held += wanted;
                    *left -= taken;
                    taken
                }
                At::Start(_) | At::Code | At::Length { .. } => {
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
            At::End => Ok(()),
            _ if self.scan_seen => Err("it has no JPEG end marker behind its scan"),
            At::Start(_) | At::Seek | At::Code | At::Length { .. } | At::Segment { .. } => {
                Err("it ends before the first scan")
            }
        }
    }

    /// Skips to the byte after the next `FF`. A library's search, because most of an image is passed over here.
    fn seek(&mut self, mut bytes: &[u8]) -> usize {
        let all = bytes;
        // Reading from memory does not fail.
        let skipped = bytes.skip_until(FF).unwrap_or(all.len());
        if all[..skipped].last() == Some(&FF) {
            self.at = At::Code;
        }
        skipped
    }

    fn step(&self, byte: u8) -> At {
        match self.at {
            At::Start(seen) if byte != SOI[seen] => At::Failed("it does not begin with the JPEG start marker"),
            At::Start(0) => At::Start(1),
            At::Start(_) => At::Seek,
            At::Code => match byte {
                FF => At::Code,
                // In a scan a stuffed FF or a restart; elsewhere stray bytes, which decoders pass over.
                0x00..=0xbf | 0xd0..=0xd7 => At::Seek,
                0xd8 => At::Failed("a second start marker comes before the end"),
                0xd9 if self.scan_seen => At::End,
                0xd9 => At::Failed("it ends before the first scan"),
                SOS if !self.frame_seen => At::Failed("no frame header comes before the first scan"),
                code => At::Length { code, first: None },
            },
            At::Length { code, first: None } => At::Length { code, first: Some(byte) },
            At::Length { code, first: Some(first) } => match usize::from(u16::from_be_bytes([first, byte])) {
                0 | 1 => At::Failed("a segment is shorter than its own length field"),
                length => At::Segment { code, left: length - 2, head: [0; 5], held: 0 },
            },
            At::Seek | At::Segment { .. } | At::End | At::Failed(_) => At::Failed("a marker stands where it must not"),
        }
    }

    fn end_segment(&mut self, code: u8, head: [u8; 5], filled: usize) -> At {
        self.scan_seen |= code == SOS;
        // C4, C8 and CC share the range of the frame headers but are tables and an extension.
        if matches!(code, 0xc0..=0xcf) && !matches!(code, 0xc4 | 0xc8 | 0xcc) {
            let [precision, height @ .., width_high, width_low] = head;
            if filled < head.len() || height == [0, 0] || [width_high, width_low] == [0, 0] {
                return At::Failed("the frame header has no dimensions");
            }
            if precision != BITS {
                return At::Failed("it does not have 8 bits a sample");
            }
            self.frame_seen = true;
        }
        At::Seek
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

    const FRAME: [u8; 10] = [0xff, 0xc0, 0, 8, 8, 0, 1, 0, 1, 0];
    const SCAN: [u8; 4] = [0xff, 0xda, 0, 2];
    const EOI: [u8; 2] = [0xff, 0xd9];

    #[test]
    fn the_reason_names_the_place() {
        let no_end = "it has no JPEG end marker behind its scan";
        for (parts, reason) in [
            (&[][..], "it has no bytes"),
            (&[b"\x89PNG".as_slice()], "it does not begin with the JPEG start marker"),
            (&[&SOI, &[0xfe]], "it ends before the first scan"),
            (&[&SOI, &SOI], "a second start marker comes before the end"),
            (&[&SOI, &EOI], "it ends before the first scan"),
            (&[&SOI, &[0xff, 0xe0, 0, 1]], "a segment is shorter than its own length field"),
            (&[&SOI, &SCAN, &EOI], "no frame header comes before the first scan"),
            (&[&SOI, &[0xff, 0xc0, 0, 8, 8, 0, 0, 0, 1, 0]], "the frame header has no dimensions"),
            (&[&SOI, &[0xff, 0xc0, 0, 4, 8, 0]], "the frame header has no dimensions"),
            (&[&SOI, &[0xff, 0xc1, 0, 8, 12, 0, 1, 0, 1, 0]], "it does not have 8 bits a sample"),
            (&[&SOI, &FRAME, &EOI], "it ends before the first scan"),
            (&[&SOI, &FRAME, &SCAN], no_end),
            (&[&SOI, &FRAME, &SCAN, b"\x12\xff"], no_end),
            (&[&SOI, &FRAME, &SCAN, b"\xff\x00\xd9"], no_end),
            // The end marker of a thumbnail, in a segment before the scan and behind one.
            (&[&SOI, b"\xff\xef\0\x06x\xff\xd9x", &FRAME, &SCAN], no_end),
            (&[&SOI, &FRAME, &SCAN, b"\xff\xef\0\x06x\xff\xd9x"], no_end),
            (&[&SOI, &FRAME, &SCAN, &SOI, &FRAME, &SCAN, &EOI], "a second start marker comes before the end"),
        ] {
            assert_eq!(walk(&parts.concat(), 1), Err(reason), "{parts:02x?}");
            assert_eq!(walk(&parts.concat(), 64), Err(reason), "{parts:02x?}");
        }
    }

    #[test]
    fn what_decoders_pass_over_is_passed_over() {
        for (parts, what) in [
            (&[&SOI[..], &[0xff, 0xff], &FRAME[1..], &SCAN, &EOI][..], "filling before a marker"),
            (&[&SOI, b"\x00\x12", &FRAME, &SCAN, &EOI], "stray bytes behind the start marker"),
            (&[&SOI, &FRAME, b"\x12\xff\x00\xff\x01\xff\xd0", &SCAN, &EOI], "stray bytes and markers between segments"),
            (&[&SOI, &FRAME, &SCAN, b"\x12\xff\x00\xff\xd3\x34", &EOI], "stuffing and a restart in the scan"),
            (
                &[&SOI, &FRAME, &SCAN, b"\x12\xff\xc4\0\x02", &SCAN, b"\x34", &EOI],
                "two scans, as progressive files have",
            ),
            (&[&SOI, &FRAME, &SCAN, &EOI, b"\0"], "one byte behind the end"),
            (&[&SOI, &FRAME, &SCAN, &EOI, b"\0\0SEFH\xff\xd8\xffSEFT"], "a maker's trailer"),
            (&[&SOI, &FRAME, &SCAN, &EOI, &SOI, &FRAME, &SCAN], "half a second picture behind the first"),
        ] {
            for chunk in [1, 3, 64] {
                assert_eq!(walk(&parts.concat(), chunk), Ok(()), "{what}, in chunks of {chunk}");
            }
        }
    }
}
