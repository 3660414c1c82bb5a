//! The segments that define tables, read as their bytes come (ITU-T T.81, B.2.4). Of a table it is kept whether it is there and whether it can be used.

use super::frame::Reason;

/// Tables of one kind; decoders have no more.
const SLOTS: u8 = 4;
/// The longest code of a Huffman table, in bits.
const LONGEST_CODE: u8 = 16;
/// Most codes of a Huffman table.
const CODES: u16 = 256;
/// The largest symbol of a table for DC coefficients: how many bits follow.
const LARGEST_DC: u8 = 15;
/// Conditioning values for arithmetic coding: so many for DC, then as many for AC.
const CONDITIONS: u8 = 16;

/// What has been defined so far, and where the segment that is being read stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tables {
    quantisation: Slots,
    huffman: Slots,
    /// Those of the Huffman tables that no decoder can use. A scan that does not need one may go on.
    unusable: Slots,
    at: At,
}

/// A bit for each slot: of Huffman tables those for DC first, then those for AC.
#[derive(Clone, Copy, Debug, Default)]
struct Slots(u8);

/// What a segment defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Huffman,
    Quantisation,
    Conditioning,
}

#[derive(Clone, Copy, Debug, Default)]
enum At {
    /// Between two tables.
    #[default]
    Head,
    /// In the numbers of codes for each length.
    Counts { slot: u8, length: u8, code: u32, codes: u16, unusable: bool },
    /// In the symbols of a Huffman table, of which so many are still to come.
    Symbols { slot: u8, left: u16, unusable: bool },
    /// In the values of a quantisation table, of which so many bytes are still to come.
    Values { slot: u8, left: u16 },
    /// Before a conditioning value.
    Condition { index: u8 },
}

impl Tables {
    /// Takes the next bytes of a segment.
    pub(super) fn read(&mut self, kind: Kind, mut bytes: &[u8]) -> Result<(), Reason> {
        while let [first, rest @ ..] = bytes {
            // Most of a table is not looked at.
            let more = match &mut self.at {
                At::Values { left, .. } | At::Symbols { slot: SLOTS.., left, .. } => skip(left, rest.len()),
                _ => 0,
            };
            self.at = self.next(kind, *first)?;
            bytes = &rest[more..];
        }
        Ok(())
    }

    /// The segment ends here.
    pub(super) fn end(&mut self) -> Result<(), Reason> {
        match std::mem::take(&mut self.at) {
            At::Head => Ok(()),
            _ => Err("a table in it is longer than the segment that should hold it"),
        }
    }

    fn next(&mut self, kind: Kind, byte: u8) -> Result<At, Reason> {
        Ok(match self.at {
            At::Head => return head(kind, byte),
            At::Counts { slot, length, code, codes, unusable } => {
                let (length, code, codes) = (length + 1, code * 2 + u32::from(byte), codes + u16::from(byte));
                // A code of ones alone is none.
                let unusable = unusable || code >= 1 << length;
                match length {
                    LONGEST_CODE if codes > CODES => return Err("it has a Huffman table of more than 256 codes"),
                    LONGEST_CODE => self.symbols(slot, codes, unusable),
                    _ => At::Counts { slot, length, code, codes, unusable },
                }
            }
            At::Symbols { slot, left, unusable } => {
                self.symbols(slot, left - 1, unusable || (slot < SLOTS && byte > LARGEST_DC))
            }
            At::Values { slot, left: 1 } => {
                self.quantisation.set(slot, true);
                At::Head
            }
            At::Values { slot, left } => At::Values { slot, left: left - 1 },
            At::Condition { index } if index < CONDITIONS && byte & 15 > byte >> 4 => {
                return Err("it has an impossible value for arithmetic coding");
            }
            At::Condition { .. } => At::Head,
        })
    }

    fn symbols(&mut self, slot: u8, left: u16, unusable: bool) -> At {
        if left > 0 {
            return At::Symbols { slot, left, unusable };
        }
        self.huffman.set(slot, true);
        self.unusable.set(slot, unusable);
        At::Head
    }

    pub(super) fn has_quantisation(&self, slot: u8) -> bool {
        self.quantisation.has(slot)
    }

    /// Of the table for DC coefficients in a slot.
    pub(super) fn dc(&self, slot: u8) -> Huffman {
        self.of(slot, slot)
    }

    /// Of the table for AC coefficients in a slot.
    pub(super) fn ac(&self, slot: u8) -> Huffman {
        self.of(slot, slot + SLOTS)
    }

    fn of(&self, slot: u8, place: u8) -> Huffman {
        match slot {
            SLOTS.. => Huffman::Impossible,
            _ if self.unusable.has(place) => Huffman::Unusable,
            _ if self.huffman.has(place) => Huffman::Defined,
            _ => Huffman::Missing,
        }
    }
}

/// What is known of a Huffman table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Huffman {
    Defined,
    /// Not defined up to here.
    Missing,
    /// More codes than their lengths have room for, or symbols that its kind does not have.
    Unusable,
    /// There is no such slot.
    Impossible,
}

impl Slots {
    fn set(&mut self, slot: u8, to: bool) {
        self.0 = self.0 & !(1 << slot) | u8::from(to) << slot;
    }

    fn has(self, slot: u8) -> bool {
        slot < 2 * SLOTS && self.0 & 1 << slot != 0
    }
}

/// Leaves out as many bytes of a table as there are, but for its last, and returns how many.
fn skip(left: &mut u16, bytes: usize) -> usize {
    let skipped = (*left - 1).min(u16::try_from(bytes).unwrap_or(u16::MAX));
    *left -= skipped;
    usize::from(skipped)
}

/// The byte that says which table comes.
fn head(kind: Kind, byte: u8) -> Result<At, Reason> {
    let (upper, lower) = (byte >> 4, byte & 15);
    match kind {
        Kind::Huffman if upper > 1 || lower >= SLOTS => Err("it has a Huffman table of an impossible class or number"),
        Kind::Huffman => {
            let slot = lower + upper * SLOTS;
            Ok(At::Counts { slot, length: 0, code: 0, codes: 0, unusable: false })
        }
        Kind::Quantisation if lower >= SLOTS => Err("it has a quantisation table of an impossible number"),
        // libjpeg takes every precision but 0 for 16 bits.
        Kind::Quantisation => Ok(At::Values { slot: lower, left: if upper == 0 { 64 } else { 128 } }),
        Kind::Conditioning if byte >= 2 * CONDITIONS => Err("it has an impossible table for arithmetic coding"),
        Kind::Conditioning => Ok(At::Condition { index: byte }),
    }
}
