//! The orientation in an EXIF block, and what else a TIFF's first directory tells (TIFF 6.0; CIPA DC-008, tag 0x0112).

/// What an APP1 segment with an EXIF block begins with.
pub(super) const SIGNATURE: &[u8] = b"Exif\0\0";

const ORIENTATION: u16 = 0x0112;

/// The orientation that the content of an APP1 segment has, 1 to 8: the first value of any integer type, and 1 for a number that is no orientation.
/// `None` where there is no such value; broken EXIF is no reason to refuse an image.
pub(super) fn orientation(segment: &[u8]) -> Option<u8> {
    Tiff::new(segment.strip_prefix(SIGNATURE)?)?.orientation()
}

/// A TIFF file or block, of which the end may be missing.
#[derive(Clone, Copy)]
pub(super) struct Tiff<'a> {
    bytes: &'a [u8],
    little: bool,
}

/// Twelve bytes of a directory: tag, type, count, and the value or its offset.
pub(super) struct Entry {
    kind: u16,
    count: u32,
    /// Offset of the four bytes that hold the value, or its offset.
    value_at: usize,
}

impl<'a> Tiff<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let little = match bytes.get(..4)? {
            b"II*\0" => true,
            b"MM\0*" => false,
            _ => return None,
        };
        Some(Self { bytes, little })
    }

    /// As [`orientation`].
    pub(super) fn orientation(&self) -> Option<u8> {
        let value = self.integer(&self.entry(ORIENTATION)?)?;
        Some(u8::try_from(value).ok().filter(|value| (1..=8).contains(value)).unwrap_or(1))
    }

    /// The first entry with this tag in the first directory.
    pub(super) fn entry(&self, tag: u16) -> Option<Entry> {
        let directory = self.offset(4)?;
        let entries = usize::from(self.short(directory)?);
        (0..entries)
            .map_while(|entry| {
                let at = directory.checked_add(2 + entry * 12)?;
                Some((at, self.short(at)?))
            })
            .find(|&(_, found)| found == tag)
            .and_then(|(at, _)| {
                Some(Entry { kind: self.short(at + 2)?, count: self.long(at + 4)?, value_at: at.checked_add(8)? })
            })
    }

    /// The text of an entry of type ASCII, as far as it is there.
    pub(super) fn text(&self, entry: &Entry) -> Option<&'a [u8]> {
        const ASCII: u16 = 2;

        let length = usize::try_from(entry.count).ok().filter(|_| entry.kind == ASCII)?;
        let from = self.value_at(entry, length)?;
        self.bytes.get(from..from.saturating_add(length).min(self.bytes.len()))
    }

    /// The first value of an entry of one of the six integer types.
    pub(super) fn integer(&self, entry: &Entry) -> Option<i64> {
        const BYTE: u16 = 1;
        const SHORT: u16 = 3;
        const LONG: u16 = 4;
        const SBYTE: u16 = 6;
        const SSHORT: u16 = 8;
        const SLONG: u16 = 9;

        let size = match entry.kind {
            BYTE | SBYTE => 1,
            SHORT | SSHORT => 2,
            LONG | SLONG => 4,
            _ => return None,
        };
        let count = usize::try_from(entry.count).ok().filter(|&count| count > 0)?;
        let at = self.value_at(entry, count.checked_mul(size)?)?;
        Some(match entry.kind {
            BYTE => i64::from(*self.bytes.get(at)?),
            SBYTE => i64::from(self.bytes.get(at)?.cast_signed()),
            SHORT => i64::from(self.short(at)?),
            SSHORT => i64::from(self.short(at)?.cast_signed()),
            LONG => i64::from(self.long(at)?),
            _ => i64::from(self.long(at)?.cast_signed()),
        })
    }

    /// All values of an entry of one of the unsigned types, at most so many; none where they are not there. `None`: more.
    pub(super) fn integers(&self, entry: &Entry, most: usize) -> Option<Vec<u64>> {
        let size = match entry.kind {
            3 => 2,
            4 => 4,
            _ => return Some(Vec::new()),
        };
        let count = usize::try_from(entry.count).ok().filter(|&count| count <= most)?;
        let Some(at) = self.value_at(entry, count * size) else { return Some(Vec::new()) };
        let value = |nth: usize| {
            let at = at.checked_add(nth * size)?;
            if size == 2 { self.short(at).map(u64::from) } else { self.long(at).map(u64::from) }
        };
        Some((0..count).map_while(value).collect())
    }

    /// Values of up to four bytes stand in the entry itself.
    fn value_at(&self, entry: &Entry, length: usize) -> Option<usize> {
        if length <= 4 { Some(entry.value_at) } else { self.offset(entry.value_at) }
    }

    fn offset(&self, at: usize) -> Option<usize> {
        usize::try_from(self.long(at)?).ok()
    }

    fn short(&self, at: usize) -> Option<u16> {
        let bytes: [u8; 2] = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn long(&self, at: usize) -> Option<u32> {
        let bytes: [u8; 4] = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }
}
