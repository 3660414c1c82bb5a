//! Values and header tables of AMQP 0-9-1, as far as the sanitizer reads them.

/// The length before a table, an array or a long string.
pub(super) const LENGTH: usize = size_of::<u32>();

/// Tables and arrays inside one another are passed on up to this depth. No producer has a use for more.
pub(super) const DEPTH_MAX: usize = 32;

/// A short string, which is no value of a table. The other kinds of values are named by their type octet.
pub(super) const TEXT: u8 = b'$';

/// Why a property or a header is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A name or a short string that is not UTF-8.
    NotText,
    TooDeep,
    TooLarge,
    /// An unknown type, or lengths that do not add up. It counts once with everything behind it.
    Unreadable,
}

/// One entry of a table, or of an array, where the name is empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// Name, type and value, as they stand in the table.
    pub(super) bytes: &'a [u8],
    pub(super) name: &'a [u8],
    pub(super) kind: u8,
    pub(super) value: &'a [u8],
}

impl Entry<'_> {
    /// Whether lapin can read it.
    pub(super) fn check(&self, depth: usize) -> Result<(), Fault> {
        str::from_utf8(self.name).map_err(|_| Fault::NotText)?;
        if !matches!(self.kind, b'A' | b'F') {
            return Ok(());
        }
        let depth = depth.checked_sub(1).ok_or(Fault::TooDeep)?;
        entries(&self.value[LENGTH..], self.kind == b'F').try_for_each(|entry| entry?.check(depth))
    }
}

/// The entries of a table, or of an array, whose entries are not `named`. Ends with an error where the next entry cannot be made out.
pub(super) fn entries(mut content: &[u8], named: bool) -> impl Iterator<Item = Result<Entry<'_>, Fault>> {
    std::iter::from_fn(move || {
        let entry = (!content.is_empty()).then(|| first(content, named).ok_or(Fault::Unreadable))?;
        content = entry.map_or(&[], |entry| &content[entry.bytes.len()..]);
        Some(entry)
    })
}

fn first(content: &[u8], named: bool) -> Option<Entry<'_>> {
    let (name, rest) = if named { split(TEXT, content)? } else { content.split_at(0) };
    let (&kind, rest) = rest.split_first().filter(|(kind, _)| **kind != TEXT)?;
    let (value, behind) = split(kind, rest)?;
    let bytes = &content[..content.len() - behind.len()];
    Some(Entry { bytes, name: name.get(1..).unwrap_or_default(), kind, value })
}

/// The value of this kind at the start, and what follows it; `None` where it is cut short or lapin does not know the kind.
pub(super) fn split(kind: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(match kind {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'U' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'L' | b'l' | b'T' | b'd' => 8,
        b'S' | b'x' | b'A' | b'F' => LENGTH + u32::from_be_bytes(*bytes.first_chunk()?) as usize,
        TEXT => 1 + usize::from(*bytes.first()?),
        _ => return None,
    })
}
