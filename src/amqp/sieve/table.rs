//! Field tables, walked without recursion: their nesting is as deep as whoever wrote them liked.

/// Tables and arrays in one another up to this depth are passed on. lapin's parser takes some kilobytes of stack for each, of two
/// megabytes; nobody means anything by more.
pub(super) const DEPTH_MAX: usize = 32;

/// Why a field cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A name that is not UTF-8.
    NotText,
    /// Nested deeper than [`DEPTH_MAX`].
    TooDeep,
    /// An unknown type, or lengths that do not add up.
    Unreadable,
}

/// One entry of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    /// All of it.
    pub(super) bytes: &'a [u8],
    /// Its name.
    pub(super) name: &'a [u8],
    /// The type and what follows.
    pub(super) value: &'a [u8],
}

impl Field<'_> {
    /// Whether lapin can read it.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if str::from_utf8(self.name).is_err() {
            return Err(Fault::NotText);
        }
        check(self.value)
    }
}

/// The entries of a table, given without its length. Ends with an error where the next one cannot be made out: what follows it is lost.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(content: &'a [u8]) -> Self {
        Self { rest: content }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = first(self.rest);
        self.rest = field.map_or(&[], |field| &self.rest[field.bytes.len()..]);
        Some(field.ok_or(Fault::Unreadable))
    }
}

fn first(bytes: &[u8]) -> Option<Field<'_>> {
    let name = short_string(bytes)?;
    let value = &bytes[name.len()..];
    let length = length(value)?;
    Some(Field { bytes: &bytes[..name.len() + length], name: &name[1..], value: &value[..length] })
}

/// Checks a value whose outer length is known to be right.
fn check(value: &[u8]) -> Result<(), Fault> {
    // Where each open table or array ends, and whether its entries have names.
    let mut open = [(0, false); DEPTH_MAX];
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        let end = depth.checked_sub(1).map_or(value.len(), |last| open[last].0);
        let length = length(&value[at..end]).ok_or(Fault::Unreadable)?;
        if matches!(value[at], b'A' | b'F') {
            *open.get_mut(depth).ok_or(Fault::TooDeep)? = (at + length, value[at] == b'F');
            depth += 1;
            at += 5;
        } else {
            at += length;
        }
        while depth > 0 && open[depth - 1].0 == at {
            depth -= 1;
        }
        if depth == 0 {
            return Ok(());
        }
        if let (end, true) = open[depth - 1] {
            let name = short_string(&value[at..end]).ok_or(Fault::Unreadable)?;
            str::from_utf8(&name[1..]).map_err(|_| Fault::NotText)?;
            at += name.len();
        }
    }
}

/// How long the value at the start is, its type included; `None` when it is not all there or of a type that lapin does not know.
fn length(value: &[u8]) -> Option<usize> {
    let (&kind, rest) = value.split_first()?;
    let length = match kind {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'U' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'L' | b'l' | b'T' | b'd' => 8,
        b'S' | b'x' | b'A' | b'F' => 4 + u32::from_be_bytes(*rest.first_chunk()?) as usize,
        _ => return None,
    };
    (length <= rest.len()).then_some(1 + length)
}

/// The short string at the start, its length octet included; `None` when it is not all there.
pub(super) fn short_string(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(..1 + usize::from(*bytes.first()?))
}
