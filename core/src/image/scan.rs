//! The headers of scans (ITU-T T.81, B.2.3).

use super::frame::{COMPONENTS, Component, Frame, Reason};
use super::tables::{Huffman, Tables};

/// The longest scan header: the number of components, two bytes for each, and three parameters.
pub(super) const LONGEST_SCAN: usize = 1 + 2 * COMPONENTS + 3;

/// Most blocks in a unit of several components.
const BLOCKS: u8 = 10;
/// The last coefficient of a block.
const LAST: u8 = 63;
/// The largest shift of coefficients that libjpeg and zune-jpeg take.
const LARGEST_SHIFT: u8 = 13;

/// What a scan header says.
struct Scan<'a> {
    /// Two bytes for each component: its id, and the numbers of its tables.
    components: &'a [u8],
    /// First and last coefficient.
    band: (u8, u8),
    /// Shifts of the coefficients before this scan, where there was one, and in it.
    shifts: (u8, u8),
}

/// Whether the header of the first scan goes with the frame and the tables; `content` is the beginning of the header's `length` bytes, of at least
/// [`LONGEST_SCAN`] where it is longer.
pub(super) fn check_first(frame: &Frame, tables: &Tables, length: usize, content: &[u8]) -> Result<(), Reason> {
    let scan = Scan::read(length, content)?;
    let mut blocks = 0;
    for component in scan.components_of(frame)? {
        if !tables.has_quantisation(component.quantisation) {
            return Err("its first scan needs a quantisation table that was not defined");
        }
        blocks += component.blocks;
    }
    if scan.count() > 1 && blocks > BLOCKS {
        return Err("its sampling factors are too large for a scan of several components");
    }
    if frame.progressive {
        scan.check_progressive()?;
    }
    if frame.arithmetic {
        return Ok(());
    }
    let usable = |huffman: Huffman, number: u8| match huffman {
        Huffman::Defined => true,
        // Frames of a video come without tables, and libjpeg has those that the standard gives as examples; but not for a progressive picture.
        Huffman::Missing => !frame.progressive && number < 2,
        Huffman::Unusable | Huffman::Impossible => false,
    };
    let needs = if frame.progressive { scan.needs_in_progressive() } else { Needs { dc: true, ac: true } };
    for (dc, ac) in scan.tables() {
        if (needs.dc && !usable(tables.dc(dc), dc)) || (needs.ac && !usable(tables.ac(ac), ac)) {
            return Err("its first scan needs a Huffman table that was not defined, or is impossible");
        }
    }
    Ok(())
}

/// Whether the header of a later scan can be right, of which neither the frame nor what was defined before the first scan is known.
pub(super) fn check_later(tables: &Tables, length: usize, content: &[u8]) -> Result<(), Reason> {
    let scan = Scan::read(length, content)?;
    // Right for progressive ones, and less than what others need.
    let needs = scan.needs_in_progressive();
    let unusable = |huffman: Huffman| huffman == Huffman::Unusable;
    for (dc, ac) in scan.tables() {
        if (needs.dc && unusable(tables.dc(dc))) || (needs.ac && unusable(tables.ac(ac))) {
            return Err("a scan in it needs a Huffman table that is impossible");
        }
    }
    Ok(())
}

/// Which Huffman tables a scan needs.
struct Needs {
    dc: bool,
    ac: bool,
}

impl<'a> Scan<'a> {
    fn read(length: usize, content: &'a [u8]) -> Result<Self, Reason> {
        let count = usize::from(*content.first().ok_or("its scan header is too short")?);
        if !(1..=COMPONENTS).contains(&count) || length != 1 + 2 * count + 3 {
            return Err("its scan header contradicts its number of components");
        }
        let (components, parameters) = content[1..].split_at(2 * count);
        let [first, last, shifts] = *parameters else {
            return Err("its scan header is too short");
        };
        Ok(Self { components, band: (first, last), shifts: (shifts >> 4, shifts & 15) })
    }

    fn count(&self) -> usize {
        self.components.len() / 2
    }

    /// The components that it names, each of them once: of several with the same id it may name as many.
    fn components_of(&self, frame: &Frame) -> Result<Vec<Component>, Reason> {
        let mut left: Vec<(u8, Component)> = frame.components().collect();
        if self.count() > left.len() {
            return Err("its scan header contradicts its number of components");
        }
        let named = self.components.chunks_exact(2).map(|named| {
            let at = left.iter().position(|(id, _)| *id == named[0]);
            at.map(|at| left.remove(at).1)
                .ok_or("its scan header names a component that its frame header does not have")
        });
        named.collect()
    }

    /// The numbers of the tables for DC and for AC, for each component.
    fn tables(&self) -> impl Iterator<Item = (u8, u8)> {
        self.components.chunks_exact(2).map(|component| (component[1] >> 4, component[1] & 15))
    }

    fn check_progressive(&self) -> Result<(), Reason> {
        let ((first, last), (before, shift)) = (self.band, self.shifts);
        let band = if first == 0 { last == 0 } else { first <= last && last <= LAST && self.count() == 1 };
        let refines = before == 0 || before == shift + 1;
        if band && refines && shift <= LARGEST_SHIFT {
            Ok(())
        } else {
            Err("its first scan has parameters that a progressive picture cannot have")
        }
    }

    /// A scan of a progressive picture has coefficients of one kind, and refines DC without a table.
    fn needs_in_progressive(&self) -> Needs {
        let dc = self.band.0 == 0;
        Needs { dc: dc && self.shifts.0 == 0, ac: !dc }
    }
}
