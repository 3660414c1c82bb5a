//! The markers of a JPEG (ITU-T T.81, annex B), walked as its bytes come.

use super::exif;
use super::facts::Coding;
use super::frame::{Frame, LONGEST_FRAME, Reason};
use super::markers::{APP0, APP1, APP15, COM, DAC, DHT, DNL, DQT, DRI, EOI, FF, RST0, RST7, SOI, SOS, TEM};
use super::scan::{self, LONGEST_SCAN};
use super::tables::{Kind, Tables};
use memchr::{memchr, memmem};

/// So many bytes of a scan are looked at together.
const BLOCK: usize = 64;

/// Walks the markers of a JPEG in chunks of any size; where the cuts lie never changes what it says. Of the bytes it keeps what a frame or scan header
/// has, and one EXIF block while that is being read (at most 64 KiB); of a table, whether it is there and can be used.
///
/// It refuses what all common decoders refuse, and forgives what two of them forgive: stray bytes between segments, any number of FF before a
/// marker, anything behind the end marker. Entropy-coded data is not decoded.
#[derive(Clone, Debug)]
pub struct JpegScan {
    at: At,
    frame: Option<Frame>,
    orientation: Option<u8>,
    restarts: bool,
    coding: Coding,
    /// Those of the header, then those behind it.
    tables: Tables,
    /// The header of the first scan has been read.
    in_scan: bool,
    /// Of the segment that is being read, where it is cut.
    kept: Vec<u8>,
    skipped: Skipped,
}

/// What lies in a segment behind the first scan, as far as it has come.
#[derive(Clone, Copy, Debug, Default)]
struct Skipped {
    has_end: bool,
    ends_with_ff: bool,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// In the start marker; how many of its bytes have come.
    Start(usize),
    /// Before the FF of the next marker: between segments, or in entropy-coded data.
    Seek,
    /// Behind an FF.
    Code,
    /// In the length of a segment.
    Length {
        code: u8,
        first: Option<u8>,
    },
    /// In what a segment holds: how long it is, and how much of it has not come.
    Content {
        code: u8,
        length: usize,
        left: usize,
    },
    End,
    Failed(Reason),
}

/// What was found before the first scan.
pub(super) struct Header {
    pub(super) frame: Frame,
    pub(super) coding: Coding,
    pub(super) orientation: u8,
    pub(super) restarts: bool,
}

impl Default for JpegScan {
    fn default() -> Self {
        Self {
            at: At::Start(0),
            frame: None,
            orientation: None,
            restarts: false,
            coding: Coding::default(),
            tables: Tables::default(),
            in_scan: false,
            kept: Vec::new(),
            skipped: Skipped::default(),
        }
    }
}

impl JpegScan {
    /// Goes on behind the header of the first scan, up to which the inspection has come.
    pub(crate) fn behind_first_scan_header(restarts: bool) -> Self {
        Self { at: At::Seek, restarts, in_scan: true, ..Self::default() }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !matches!(self.at, At::End | At::Failed(_)) {
            let taken = self.step(bytes);
            bytes = &bytes[taken..];
        }
    }

    /// Whether the file is whole, once no more bytes will come.
    pub fn finish(&self) -> Result<(), Reason> {
        match self.at {
            At::End => Ok(()),
            // libjpeg and zune-jpeg forgive a segment that is longer than the file.
            At::Content { code: COM | DNL | APP0..=APP15, .. } if self.skipped.has_end => Ok(()),
            At::Failed(reason) => Err(reason),
            At::Start(0) => Err("it has no bytes"),
            _ if self.in_scan => Err("it has no end-of-image marker behind its scan: the file is cut off"),
            _ if self.frame.is_some() => Err("it ends before its first scan"),
            At::Start(_) | At::Seek | At::Code | At::Length { .. } | At::Content { .. } => {
                Err("it ends before its frame header")
            }
        }
    }

    /// Takes bytes up to the end of the first scan's header, and returns how many it took and what it found if it got there.
    pub(super) fn header(&mut self, bytes: &[u8]) -> Result<(usize, Option<Header>), Reason> {
        let mut taken = 0;
        while taken < bytes.len() && !self.in_scan {
            if let At::Failed(reason) = self.at {
                return Err(reason);
            }
            taken += self.step(&bytes[taken..]);
        }
        if let At::Failed(reason) = self.at {
            return Err(reason);
        }
        let found = self.frame.filter(|_| self.in_scan);
        let (orientation, restarts, coding) = (self.orientation.unwrap_or(1), self.restarts, self.coding);
        Ok((taken, found.map(|frame| Header { frame, coding, orientation, restarts })))
    }

    /// One step; how many of the bytes it took, at least one.
    fn step(&mut self, bytes: &[u8]) -> usize {
        match self.at {
            At::Seek => return self.seek(bytes),
            At::Content { code, length, left } => return self.content(code, length, left, bytes),
            At::Start(seen) => {
                self.at = match (seen, bytes[0]) {
                    (0, FF) => At::Start(1),
                    (1, SOI) => At::Seek,
                    _ => At::Failed("it does not begin with the start marker"),
                };
            }
            At::Code => self.at = self.marker(bytes[0]),
            At::Length { code, first: None } => self.at = At::Length { code, first: Some(bytes[0]) },
            At::Length { code, first: Some(first) } => self.length(code, u16::from_be_bytes([first, bytes[0]])),
            At::End | At::Failed(_) => {}
        }
        1
    }

    /// Skips to behind the next FF that is not one of the data.
    fn seek(&mut self, bytes: &[u8]) -> usize {
        let mut from = 0;
        while let Some(block) = bytes.get(from..).and_then(<[u8]>::first_chunk) {
            if has_marker(block) {
                break;
            }
            from += BLOCK;
        }
        while let Some(skipped) = memchr(FF, &bytes[from..]) {
            let behind = from + skipped + 1;
            if bytes.get(behind) != Some(&0) {
                self.at = At::Code;
                return behind;
            }
            from = behind + 1;
        }
        bytes.len()
    }

    /// The byte behind an FF.
    fn marker(&self, code: u8) -> At {
        match code {
            FF => At::Code,
            0x00 | TEM | RST0..=RST7 => At::Seek,
            // Decoders take up the data again at the next restart.
            0x02..=0xBF if self.in_scan && self.restarts => At::Seek,
            SOI => At::Failed("a second image starts before it has ended"),
            EOI if self.in_scan => At::End,
            EOI => At::Failed("it ends before its first scan"),
            SOS if self.frame.is_none() && !self.in_scan => At::Failed("its scan comes before its frame header"),
            DHT | DAC | DQT | DNL | DRI | SOS | COM | APP0..=APP15 => At::Length { code, first: None },
            0xC0..=0xC2 | 0xC9 | 0xCA if self.frame.is_none() && !self.in_scan => At::Length { code, first: None },
            0xC0..=0xC2 | 0xC9 | 0xCA => At::Failed("it has a second frame header"),
            0xC3 | 0xCB => At::Failed("it is of the lossless kind, which most decoders do not read"),
            0xC5..=0xC7 | 0xCD..=0xCF => At::Failed("it is of the hierarchical kind, which no common decoder reads"),
            0xF7 => At::Failed("it is a JPEG-LS file, which no common decoder reads"),
            0x02..=0xBF | 0xC8 | 0xDE | 0xDF | 0xF0..=0xFD => {
                At::Failed("it has a marker that no common decoder knows")
            }
        }
    }

    fn length(&mut self, code: u8, length: u16) {
        let Some(length) = usize::from(length).checked_sub(2) else {
            // libjpeg takes such a comment or application segment for an empty one.
            self.at = match code {
                COM | DNL | APP0..=APP15 => At::Seek,
                _ => At::Failed("a segment in it is shorter than its own length field"),
            };
            return;
        };
        match length {
            _ if code == DRI && length != 2 => self.at = At::Failed("its restart interval does not have two bytes"),
            0 if defines(code).is_some() => self.at = At::Seek,
            0 => self.segment(code, 0, &[]),
            _ => self.at = At::Content { code, length, left: length },
        }
    }

    fn content(&mut self, code: u8, length: usize, left: usize, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(left);
        let part = &bytes[..taken];
        if let Some(kind) = defines(code) {
            let left = left - taken;
            let read = self.tables.read(kind, part);
            let read = if left == 0 { read.and_then(|()| self.tables.end()) } else { read };
            self.at = match read {
                Err(reason) => At::Failed(reason),
                Ok(()) if left == 0 => At::Seek,
                Ok(()) => At::Content { code, length, left },
            };
            return taken;
        }
        if taken == length {
            self.segment(code, length, part);
            return taken;
        }
        self.keep(code, part);
        if self.in_scan {
            self.skipped.push(part);
        }
        if taken < left {
            self.at = At::Content { code, length, left: left - taken };
        } else {
            let kept = std::mem::take(&mut self.kept);
            self.segment(code, length, &kept);
        }
        taken
    }

    /// Keeps what will be read of the segment.
    fn keep(&mut self, code: u8, part: &[u8]) {
        let most = match code {
            SOS => LONGEST_SCAN,
            DRI => 2,
            // XMP comes in such segments too.
            APP1 if self.seeks_orientation() => {
                let signature = exif::SIGNATURE.len().saturating_sub(self.kept.len()).min(part.len());
                self.kept.extend_from_slice(&part[..signature]);
                if self.kept.starts_with(exif::SIGNATURE) {
                    self.kept.extend_from_slice(&part[signature..]);
                }
                return;
            }
            0xC0..=0xCF => LONGEST_FRAME,
            _ => 0,
        };
        let wanted = most.saturating_sub(self.kept.len()).min(part.len());
        self.kept.extend_from_slice(&part[..wanted]);
    }

    /// The end of a segment of `length` bytes; `content` is what will be read of it.
    fn segment(&mut self, code: u8, length: usize, content: &[u8]) {
        self.at = At::Seek;
        self.skipped = Skipped::default();
        let read = match code {
            APP1 if self.seeks_orientation() => {
                self.orientation = exif::orientation(content);
                Ok(())
            }
            DRI => {
                self.restarts = content.iter().take(2).any(|&byte| byte != 0);
                Ok(())
            }
            SOS if !self.in_scan => {
                let frame = self.frame.ok_or("its scan comes before its frame header");
                let checked = frame.and_then(|frame| {
                    self.coding = frame.coding(content);
                    scan::check_first(&frame, &self.tables, length, content)
                });
                // A walk that begins behind this header knows nothing of them either.
                self.tables = Tables::default();
                self.in_scan = true;
                checked
            }
            SOS => scan::check_later(&self.tables, length, content),
            0xC0..=0xCF => Frame::read(code, length, content).map(|frame| self.frame = Some(frame)),
            _ => Ok(()),
        };
        if let Err(reason) = read {
            self.at = At::Failed(reason);
        }
    }

    /// The first EXIF block that has an orientation decides, before the first scan.
    fn seeks_orientation(&self) -> bool {
        self.orientation.is_none() && !self.in_scan
    }
}

impl Skipped {
    fn push(&mut self, part: &[u8]) {
        let across = self.ends_with_ff && part.first() == Some(&EOI);
        self.has_end |= across || memmem::find(part, &[FF, EOI]).is_some();
        self.ends_with_ff = part.last() == Some(&FF);
    }
}

/// What the segments of a marker define that are read byte by byte.
fn defines(code: u8) -> Option<Kind> {
    match code {
        DHT => Some(Kind::Huffman),
        DQT => Some(Kind::Quantisation),
        DAC => Some(Kind::Conditioning),
        _ => None,
    }
}

/// Whether an FF among the first [`BLOCK`] bytes is not one of the data, which a zero follows. Without a branch for a byte, so that the compiler makes
/// vector instructions of it: entropy-coded data has an FF every few hundred bytes, and a search that stops at each takes three times as long. Most blocks
/// have none, and are done with a third of the work.
fn has_marker(block: &[u8; BLOCK + 1]) -> bool {
    let data = &block[..BLOCK];
    let mask = |byte: u8| if byte == FF { FF } else { 0 };
    let has_ff = data.iter().fold(0, |found, byte| found | mask(*byte)) != 0;
    has_ff && data.iter().zip(&block[1..]).fold(0, |found, (byte, next)| found | mask(*byte) & next) != 0
}
