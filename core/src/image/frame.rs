//! The header of a frame (ITU-T T.81, B.2.2).

use super::facts::Coding;

/// What is wrong with a JPEG; a phrase about "it".
pub type Reason = &'static str;

/// Most components of a frame, and of a scan.
pub(super) const COMPONENTS: usize = 4;
/// The longest frame header that is read: everything before the components, and three bytes for each.
pub(super) const LONGEST_FRAME: usize = 6 + 3 * COMPONENTS;

/// libjpeg refuses more pixels in a row or a column; zune-jpeg takes 16,384 unless told otherwise.
const LONGEST_SIDE: u16 = 65_500;

/// What the frame header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) progressive: bool,
    pub(super) arithmetic: bool,
    ids: [u8; COMPONENTS],
    /// Horizontally and vertically, 1 to 4.
    sampling: [[u8; 2]; COMPONENTS],
    /// The numbers of their quantisation tables.
    quantisation: [u8; COMPONENTS],
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
        if width.max(height) > LONGEST_SIDE {
            return Err("it has a side of more than 65500 pixels, which common decoders do not read");
        }
        if length != 6 + 3 * components {
            return Err("its frame header contradicts its number of components");
        }
        if !matches!(components, 1 | 3 | 4) {
            return Err("it has neither one nor three nor four components");
        }
        let (mut ids, mut sampling) = ([0; COMPONENTS], [[1; 2]; COMPONENTS]);
        let mut quantisation = [0; COMPONENTS];
        for (at, component) in rest.chunks_exact(3).take(components).enumerate() {
            ids[at] = component[0];
            sampling[at] = [component[1] >> 4, component[1] & 15];
            quantisation[at] = component[2];
            if sampling[at].iter().any(|factor| !(1..=4).contains(factor)) {
                return Err("its frame header has an impossible sampling factor");
            }
        }
        for direction in 0..2 {
            let mut factors = sampling[..components].iter().map(|factors| factors[direction]);
            let most = factors.clone().max().unwrap_or(1);
            if factors.any(|factor| most % factor != 0) {
                return Err("its largest sampling factor is no multiple of another, which common decoders do not read");
            }
        }
        let (progressive, arithmetic) = (matches!(code, 0xC2 | 0xCA), matches!(code, 0xC9 | 0xCA));
        Ok(Self { width, height, progressive, arithmetic, ids, sampling, quantisation, components })
    }

    /// What decoding takes, where the first scan has a header that begins so.
    pub(super) fn coding(&self, scan: &[u8]) -> Coding {
        const BLOCK: u64 = 64;

        let sampling = &self.sampling[..self.components];
        let most = |direction: usize| u64::from(sampling.iter().map(|factors| factors[direction]).max().unwrap_or(1));
        let units = |side: u16, most: u64| u64::from(side).div_ceil(8 * most);
        let (across, down) = (units(self.width, most(0)), units(self.height, most(1)));
        let blocks: u64 = sampling.iter().map(|[h, v]| across * u64::from(*h) * down * u64::from(*v)).sum();
        // A decoder has pixels after a row of blocks, unless other scans bring what is missing.
        let in_first_scan = scan.first().copied().map_or(0, usize::from);
        let at_once = self.progressive || in_first_scan < self.components;
        Coding {
            channels: if self.components == 1 { 1 } else { 3 },
            coefficients: if at_once { blocks * BLOCK } else { 0 },
            lossless_bytes: 0,
            coarse_colour: self.components == 3 && sampling[1..].iter().any(|factors| *factors != sampling[0]),
            arithmetic: self.arithmetic,
        }
    }

    /// Its components, each with its id.
    pub(super) fn components(&self) -> impl Iterator<Item = (u8, Component)> {
        let Self { ids, sampling, quantisation, .. } = *self;
        (0..self.components).map(move |at| {
            let [horizontal, vertical] = sampling[at];
            (ids[at], Component { blocks: horizontal * vertical, quantisation: quantisation[at] })
        })
    }
}

/// What a scan needs to know of a component.
#[derive(Clone, Copy, Debug)]
pub(super) struct Component {
    /// Blocks of it in a unit of a scan that has more components.
    pub(super) blocks: u8,
    /// The number of its quantisation table.
    pub(super) quantisation: u8,
}
