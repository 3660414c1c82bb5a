//! Content headers: the properties of a message, and among them the table of its headers.

use super::frames::OVERHEAD;
use super::table::{Fault, Field, Fields, short_string};
use crate::amqp::headers::{DROPPED, Weight};

/// Class, weight and the length of the body. What follows are the flags and the properties that they announce.
pub(super) const FIXED: usize = 12;
const FLAGS: usize = 2;

/// A table of headers above this is cut down to what has a meaning for us or for a trace. No job needs as much.
pub(super) const TABLE_MAX: usize = 64 * 1024;

const PREFIX: usize = OVERHEAD - 1;
const END: u8 = 0xCE;
const TABLE: u16 = 1 << 13;
/// Before a table, and in the prefix of a frame.
const LENGTH: usize = size_of::<u32>();

/// Our own header with its name, its type and its value.
const MARK: usize = 1 + DROPPED.len() + 1 + COUNT;
const COUNT: usize = size_of::<i64>();

/// What a count of ours takes at most. Something longer under that name is not ours.
const LONGEST_COUNT: usize = 1 + COUNT;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Table,
    Octet,
    Timestamp,
}

/// The properties in the order of their flags, from the highest bit on.
const PROPERTIES: [Kind; 14] = {
    use Kind::{Octet, Table, Text, Timestamp};
    [Text, Text, Table, Octet, Octet, Text, Text, Text, Text, Timestamp, Text, Text, Text, Text]
};

/// How many properties and headers were left out, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) not_text: u32,
    pub(super) too_deep: u32,
    pub(super) too_large: u32,
    /// What could not be made out and all behind it counts once.
    pub(super) unreadable: u32,
}

impl LeftOut {
    pub(super) fn total(self) -> u32 {
        self.not_text + self.too_deep + self.too_large + self.unreadable
    }

    fn count(&mut self, fault: Fault) {
        *match fault {
            Fault::NotText => &mut self.not_text,
            Fault::TooDeep => &mut self.too_deep,
            Fault::Unreadable => &mut self.unreadable,
        } += 1;
    }
}

/// Whether lapin can read this payload of a header frame, and every copy of the message can carry it.
pub(super) fn can_be_read(payload: &[u8], frame_max: usize) -> bool {
    let Some(mut properties) = Properties::of(payload) else {
        // Nothing of a message is in it; lapin says what it is.
        return true;
    };
    if payload.len() + OVERHEAD > frame_max {
        return false;
    }
    let all_good = properties.by_ref().all(|property| {
        property.is_ok_and(|property| match property.kind {
            Kind::Text | Kind::Octet | Kind::Timestamp => property.is_readable(),
            Kind::Table => {
                let content = property.content();
                content.len() <= TABLE_MAX
                    && Fields::of(content).all(|field| field.is_ok_and(|field| field.check().is_ok()))
            }
        })
    });
    all_good && properties.rest.is_empty()
}

/// Writes a header frame to `out` without what lapin could not read or a copy could not carry, and says how much that was.
pub(super) fn rewrite(frame: &[u8], frame_max: usize, out: &mut Vec<u8>) -> LeftOut {
    let payload = &frame[PREFIX..frame.len() - 1];
    let mut left_out = LeftOut::default();
    let mut table: &[u8] = &[];
    let (mut flags, mut others) = (TABLE, 0);
    let Some(mut properties) = Properties::of(payload) else {
        out.extend_from_slice(frame);
        return left_out;
    };
    for property in properties.by_ref() {
        match property {
            Ok(property) if property.kind == Kind::Table => table = property.content(),
            Ok(property) if property.is_readable() => {
                flags |= property.flag;
                others += property.bytes.len();
            }
            Ok(_) => left_out.not_text += 1,
            Err(fault) => left_out.count(fault),
        }
    }
    if !properties.rest.is_empty() {
        left_out.unreadable += 1;
    }
    let taken = OVERHEAD + FIXED + FLAGS + LENGTH + MARK + others;
    let room = frame_max.saturating_sub(taken).min(TABLE_MAX);

    let start = out.len();
    out.extend_from_slice(&frame[..PREFIX + FIXED]);
    out.extend_from_slice(&flags.to_be_bytes());
    let readable = || Properties::of(payload).into_iter().flatten().flatten().filter(Property::is_readable);
    readable().filter(|property| property.flag > TABLE).for_each(|property| out.extend_from_slice(property.bytes));
    write_table(table, room, &mut left_out, out);
    readable().filter(|property| property.flag < TABLE).for_each(|property| out.extend_from_slice(property.bytes));
    end(start, out);
    left_out
}

/// Writes a header frame of which only the start was read: of the properties none is left.
pub(super) fn bare(start_of_frame: &[u8], out: &mut Vec<u8>) -> LeftOut {
    let mut left_out = LeftOut { too_large: 1, ..LeftOut::default() };
    let start = out.len();
    out.extend_from_slice(start_of_frame);
    out.extend_from_slice(&TABLE.to_be_bytes());
    write_table(&[], 0, &mut left_out, out);
    end(start, out);
    left_out
}

fn write_table(table: &[u8], room: usize, left_out: &mut LeftOut, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH]);
    let sound = Fields::of(table).flatten().filter(|field| field.check().is_ok());
    let tight = sound.map(|field| field.bytes.len()).sum::<usize>() > room;
    let (mut earlier, mut candidates) = (0, 0);
    for field in Fields::of(table) {
        match field.and_then(|field| field.check().map(|()| field)) {
            Ok(field) if field.name == DROPPED.as_bytes() => match count(field.value) {
                Some(count) => earlier = count,
                None => left_out.unreadable += 1,
            },
            Ok(_) if tight => candidates += 1,
            Ok(field) => out.extend_from_slice(field.bytes),
            Err(fault) => left_out.count(fault),
        }
    }
    if tight {
        left_out.too_large += candidates - keep(table, room, out);
    }
    let count = i64::from(left_out.total()).saturating_add(earlier);
    out.push(u8::try_from(DROPPED.len()).unwrap_or_default());
    out.extend_from_slice(DROPPED.as_bytes());
    out.push(b'l');
    out.extend_from_slice(&count.to_be_bytes());
    set_length(start, start + LENGTH, out.len(), out);
}

/// Writes what is kept of a table for which there is no room, and says how many entries that is.
fn keep(table: &[u8], mut room: usize, out: &mut Vec<u8>) -> u32 {
    let mut kept = 0;
    for weight in Weight::KEPT {
        for field in Fields::of(table).flatten() {
            let fits = field.bytes.len() <= room && (weight != Weight::Count || field.value.len() <= LONGEST_COUNT);
            if fits && weigh(&field) == Some(weight) && field.check().is_ok() {
                room -= field.bytes.len();
                kept += 1;
                out.extend_from_slice(field.bytes);
            }
        }
    }
    kept
}

fn weigh(field: &Field<'_>) -> Option<Weight> {
    str::from_utf8(field.name).ok().filter(|&name| name != DROPPED).map(Weight::of)
}

/// What an earlier look counted.
fn count(value: &[u8]) -> Option<i64> {
    let (kind, count) = value.split_first()?;
    let count = match kind {
        b'l' | b'L' => i64::from_be_bytes(count.try_into().ok()?),
        b'I' => i32::from_be_bytes(count.try_into().ok()?).into(),
        _ => return None,
    };
    Some(count.max(0))
}

fn end(start: usize, out: &mut Vec<u8>) {
    set_length(start + PREFIX - LENGTH, start + PREFIX, out.len(), out);
    out.push(END);
}

/// Writes the length of `from..to` at `at`.
fn set_length(at: usize, from: usize, to: usize, out: &mut [u8]) {
    let length = u32::try_from(to - from).unwrap_or(u32::MAX);
    out[at..at + LENGTH].copy_from_slice(&length.to_be_bytes());
}

/// A property that is there.
struct Property<'a> {
    flag: u16,
    kind: Kind,
    /// All of it.
    bytes: &'a [u8],
}

impl<'a> Property<'a> {
    /// Of a table: what follows its length.
    fn content(&self) -> &'a [u8] {
        &self.bytes[LENGTH..]
    }

    /// Whether it is one that lapin can read, the table aside.
    fn is_readable(&self) -> bool {
        match self.kind {
            Kind::Text => str::from_utf8(&self.bytes[1..]).is_ok(),
            Kind::Octet | Kind::Timestamp => true,
            Kind::Table => false,
        }
    }
}

/// The properties of a payload. Ends with an error when one is cut short, because nothing behind it can be made out.
struct Properties<'a> {
    flags: u16,
    next: usize,
    rest: &'a [u8],
}

impl<'a> Properties<'a> {
    /// `None` when the payload has no flags.
    fn of(payload: &'a [u8]) -> Option<Self> {
        let (&flags, rest) = payload.get(FIXED..)?.split_first_chunk::<FLAGS>()?;
        Some(Self { flags: u16::from_be_bytes(flags), next: 0, rest })
    }
}

impl<'a> Iterator for Properties<'a> {
    type Item = Result<Property<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(&kind) = PROPERTIES.get(self.next) {
            let flag = 1 << (15 - self.next);
            self.next += 1;
            if self.flags & flag == 0 {
                continue;
            }
            let length = match kind {
                Kind::Text => short_string(self.rest).map(<[u8]>::len),
                Kind::Table => self.rest.first_chunk().map(|&length| LENGTH + u32::from_be_bytes(length) as usize),
                Kind::Octet => Some(1),
                Kind::Timestamp => Some(8),
            };
            let Some((bytes, rest)) = length.and_then(|length| self.rest.split_at_checked(length)) else {
                (self.next, self.rest) = (PROPERTIES.len(), &[]);
                return Some(Err(Fault::Unreadable));
            };
            self.rest = rest;
            return Some(Ok(Property { flag, kind, bytes }));
        }
        None
    }
}
