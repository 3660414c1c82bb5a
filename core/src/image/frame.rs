//! The headers of a frame and of its first scan (ITU-T T.81, B.2.2 and B.2.3).

use super::facts::Coding;

/// What is wrong with a JPEG; a phrase about "it".
pub type Reason = &'static str;

/// Most components of a frame, and of a scan.
const COMPONENTS: usize = 4;
/// The longest frame header that is read: everything before the components, and three bytes for each.
pub(super) const LONGEST_FRAME: usize = 6 + 3 * COMPONENTS;
/// The longest scan header: the number of components, two bytes for each, and three parameters.
pub(super) const LONGEST_SCAN: usize = 1 + 2 * COMPONENTS + 3;

/// What the frame header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) width: u16,
    pub(super) height: u16,
    progressive: bool,
    arithmetic: bool,
    ids: [u8; COMPONENTS],
    /// Horizontally and vertically, 1 to 4.
    sampling: [[u8; 2]; COMPONENTS],
    components: usize,
}

impl Frame {
    /// Reads a frame header of `length` bytes behind the marker FF `code`; `content` is its beginning, of at least [`LONGEST_FRAME`] where it is longer.
    pub(super) fn read(code: u8, length: usize, content: &[u8]) -> Result<Self, Reason> {
        let [precision, h1, h0, w1, w0, components, ref rest @ ..] = *content else {
            return Err("its frame header is too short");
        };
        let (height, width) = (u16::from_be_bytes([h1, h0]), u16::from_be_bytes([w1, w0]));
        let components = usize::from(components);
        if precision != 8 {
            return Err("it does not have 8 bits a sample, as common decoders want");
        }
        if height == 0 {
            return Err(
                "its frame header has no height (a DNL marker behind the scan would have it, which decoders do not read)",
            );
        }
        if width == 0 {
            return Err("its frame header has no width");
        }
        if length != 6 + 3 * components {
            return Err("its frame header contradicts its number of components");
        }
        if !matches!(components, 1 | 3 | 4) {
            return Err("it has neither one nor three nor four components");
        }
        let (mut ids, mut sampling) = ([0; COMPONENTS], [[1; 2]; COMPONENTS]);
        for (at, component) in rest.chunks_exact(3).take(components).enumerate() {
            ids[at] = component[0];
            sampling[at] = [component[1] >> 4, component[1] & 15];
            if sampling[at].iter().any(|factor| !(1..=4).contains(factor)) {
                return Err("its frame header has an impossible sampling factor");
            }
        }
        let (progressive, arithmetic) = (matches!(code, 0xC2 | 0xCA), matches!(code, 0xC9 | 0xCA));
        Ok(Self { width, height, progressive, arithmetic, ids, sampling, components })
    }

    /// How many components the first scan has, if its header goes with this frame; `content` as for [`Frame::read`], with [`LONGEST_SCAN`].
    pub(super) fn check_scan(&self, length: usize, content: &[u8]) -> Result<usize, Reason> {
        let components = usize::from(*content.first().ok_or("its scan header is too short")?);
        if !(1..=self.components).contains(&components) || length != 1 + 2 * components + 3 {
            return Err("its scan header contradicts its number of components");
        }
        let ids = &self.ids[..self.components];
        if content[1..=2 * components].chunks(2).any(|component| !ids.contains(&component[0])) {
            return Err("its scan header names a component that its frame header does not have");
        }
        Ok(components)
    }

    /// What decoding takes, where the first scan has so many components.
    pub(super) fn coding(&self, in_first_scan: usize) -> Coding {
        const BLOCK: u64 = 64;

        let sampling = &self.sampling[..self.components];
        let most = |direction: usize| u64::from(sampling.iter().map(|factors| factors[direction]).max().unwrap_or(1));
        let units = |side: u16, most: u64| u64::from(side).div_ceil(8 * most);
        let (across, down) = (units(self.width, most(0)), units(self.height, most(1)));
        let blocks: u64 = sampling.iter().map(|[h, v]| across * u64::from(*h) * down * u64::from(*v)).sum();
        // A decoder has pixels after a row of blocks, unless other scans bring what is missing.
        let at_once = self.progressive || in_first_scan < self.components;
        Coding {
            channels: if self.components == 1 { 1 } else { 3 },
            coefficients: if at_once { blocks * BLOCK } else { 0 },
            coarse_colour: self.components == 3 && sampling[1..].iter().any(|factors| *factors != sampling[0]),
            arithmetic: self.arithmetic,
        }
    }
}
