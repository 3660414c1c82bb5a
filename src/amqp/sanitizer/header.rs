//! Content headers: the properties of a message, among them the table of its headers.
//!
//! One rule: headers of ours, of a trace and of a CloudEvent are kept while there is room, any other is kept where all can be
//! carried. How many are left out is counted in `as-headers-dropped`.

use super::wire::{DEPTH_MAX, Entry, Fault, LENGTH, TEXT, entries, split};
use crate::amqp::headers::HeaderPriority;
use crate::amqp::headers::names::DROPPED;

/// Class, weight and the length of the body. The flags follow, and the properties that they announce.
pub(super) const FIXED: usize = 12;
const FLAGS: usize = 2;

/// A larger table is reduced to headers of ours, of a trace and of a CloudEvent. No job needs as much.
pub(super) const TABLE_MAX: usize = 20 * 1024;

/// The kinds of the properties in the order of their flags, from the highest bit on.
const PROPERTIES: &[u8; 14] = b"$$FBB$$$$T$$$$";
const TABLE: usize = 2;

/// The properties of a message that lapin can read.
#[derive(Default)]
struct Header<'a> {
    /// Each as it stands in the frame; empty where it is missing. The table still has all of its entries.
    properties: [&'a [u8]; PROPERTIES.len()],
    /// How many properties and headers are left out, by [`Fault`].
    dropped: [u32; 4],
}

/// What lapin gets instead of this payload. `None`: lapin can read it, and every copy of the message can carry it.
pub(super) fn sanitize(payload: &[u8], payload_max: usize) -> Option<Vec<u8>> {
    // Without flags there is nothing of a message in it, and lapin says so.
    let (fixed, properties) = payload.split_at_checked(FIXED)?;
    let header = Header::read(properties)?;
    let fits = payload.len() <= payload_max && header.properties[TABLE].len() <= LENGTH + TABLE_MAX;
    (!fits || header.total() > 0).then(|| header.rebuild(fixed, payload_max))
}

/// The payload without any property, for a header that is too long to be held back.
pub(super) fn bare(fixed: &[u8]) -> Vec<u8> {
    let mut header = Header::default();
    header.leave_out(Fault::TooLarge);
    header.rebuild(fixed, 0)
}

impl<'a> Header<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (&flags, mut rest) = bytes.split_first_chunk()?;
        let flags = u16::from_be_bytes(flags);
        let mut header = Self::default();
        let whole =
            PROPERTIES.iter().enumerate().filter(|(index, _)| flags & (0x8000 >> index) != 0).all(|(index, &kind)| {
                let Some((property, behind)) = split(kind, rest) else { return false };
                rest = behind;
                if kind == TEXT && str::from_utf8(&property[1..]).is_err() {
                    header.leave_out(Fault::NotText);
                } else {
                    header.properties[index] = property;
                }
                true
            });
        if !whole || !rest.is_empty() {
            header.leave_out(Fault::Unreadable);
        }
        header.entries().filter_map(Result::err).for_each(|fault| header.leave_out(fault));
        Some(header)
    }

    /// The entries of the table that lapin can read, and why it cannot read the others.
    fn entries(&self) -> impl Iterator<Item = Result<Entry<'a>, Fault>> + use<'a> {
        let table = entries(self.properties[TABLE].get(LENGTH..).unwrap_or_default(), true);
        table.map(|entry| entry.and_then(|entry| entry.check(DEPTH_MAX).map(|()| entry)))
    }

    /// Writes the payload anew, with as much of the table as there is room for, and logs what is left out.
    fn rebuild(mut self, fixed: &[u8], payload_max: usize) -> Vec<u8> {
        let others = self.properties.concat().len() - self.properties[TABLE].len();
        let budget = payload_max.saturating_sub(FIXED + FLAGS + others + LENGTH + mark(0).len()).min(TABLE_MAX);
        let table = self.table_within(budget);
        let table = [&u32::try_from(table.len()).unwrap_or(u32::MAX).to_be_bytes()[..], &table].concat();
        let mut properties: [&[u8]; PROPERTIES.len()] = self.properties;
        properties[TABLE] = &table;
        let flags: u16 =
            (0..PROPERTIES.len()).filter(|&index| !properties[index].is_empty()).map(|index| 0x8000 >> index).sum();
        // One line for each message, with none of its data.
        if self.total() > 0 {
            tracing::warn!(
                dropped = self.total(),
                not_text = self.dropped[Fault::NotText as usize],
                too_deep = self.dropped[Fault::TooDeep as usize],
                too_large = self.dropped[Fault::TooLarge as usize],
                unreadable = self.dropped[Fault::Unreadable as usize],
                "left {} properties or headers out of a message that could not be carried with them",
                self.total()
            );
        }
        [fixed, &flags.to_be_bytes(), &properties.concat()].concat()
    }

    /// The entries that the rule lets stay, and the count of what is left out.
    fn table_within(&mut self, mut budget: usize) -> Vec<u8> {
        let (mut table, mut earlier) = (Vec::new(), 0);
        let all_fit = self.entries().flatten().map(|entry| entry.bytes.len()).sum::<usize>() <= budget;
        for priority in HeaderPriority::ALL {
            for entry in self.entries().flatten().filter(|entry| priority_of(entry) == priority) {
                if entry.name == DROPPED.as_bytes() {
                    let counted = count(&entry);
                    earlier = counted.unwrap_or(earlier);
                    self.dropped[Fault::Unreadable as usize] += u32::from(counted.is_none());
                } else if entry.bytes.len() <= budget && (all_fit || priority != HeaderPriority::Foreign) {
                    budget -= entry.bytes.len();
                    table.extend_from_slice(entry.bytes);
                } else if !is_of_the_broker(&entry) {
                    self.leave_out(Fault::TooLarge);
                }
            }
        }
        let dropped = earlier.saturating_add(self.total().into());
        if dropped > 0 {
            table.extend(mark(dropped));
        }
        table
    }

    fn leave_out(&mut self, fault: Fault) {
        self.dropped[fault as usize] += 1;
    }

    fn total(&self) -> u32 {
        self.dropped.iter().sum()
    }
}

/// `as-headers-dropped`, as it stands in a table.
fn mark(count: i64) -> Vec<u8> {
    let name_length = u8::try_from(DROPPED.len()).unwrap_or_default();
    [&[name_length], DROPPED.as_bytes(), b"l", &count.to_be_bytes()].concat()
}

/// What an earlier worker counted in `as-headers-dropped`.
fn count(mark: &Entry<'_>) -> Option<i64> {
    match mark.kind {
        b'l' | b'L' => mark.value.first_chunk().map(|count| i64::from_be_bytes(*count).max(0)),
        b'I' => mark.value.first_chunk().map(|count| i32::from_be_bytes(*count).max(0).into()),
        _ => None,
    }
}

/// What the broker writes on a dead letter besides `x-death`, which tells the same. The producer has lost nothing with it.
fn is_of_the_broker(entry: &Entry<'_>) -> bool {
    [&b"x-first-death-"[..], b"x-last-death-"].iter().any(|prefix| entry.name.starts_with(prefix))
}

fn priority_of(entry: &Entry<'_>) -> HeaderPriority {
    // A count is an integer: something longer under the name of one is not ours.
    match HeaderPriority::of(str::from_utf8(entry.name).unwrap_or_default()) {
        HeaderPriority::Count if entry.value.len() > size_of::<i64>() => HeaderPriority::Foreign,
        priority => priority,
    }
}
