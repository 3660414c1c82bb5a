//! The headers of a frame and of its first scan (ITU-T T.81, B.2.2 and B.2.3).

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
    ids: [u8; COMPONENTS],
    components: usize,
}

impl Frame {
    /// Reads a frame header of `length` bytes; `content` is its beginning, of at least [`LONGEST_FRAME`] where it is longer.
    pub(super) fn read(length: usize, content: &[u8]) -> Result<Self, Reason> {
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
        let mut ids = [0; COMPONENTS];
        for (id, component) in ids.iter_mut().zip(rest.chunks_exact(3)) {
            *id = component[0];
            let factors = [component[1] >> 4, component[1] & 15];
            if factors.iter().any(|factor| !(1..=4).contains(factor)) {
                return Err("its frame header has an impossible sampling factor");
            }
        }
        Ok(Self { width, height, ids, components })
    }

    /// Whether the header of the first scan goes with this frame; `content` as for [`Frame::read`], with [`LONGEST_SCAN`].
    pub(super) fn check_scan(&self, length: usize, content: &[u8]) -> Result<(), Reason> {
        let components = usize::from(*content.first().ok_or("its scan header is too short")?);
        if !(1..=self.components).contains(&components) || length != 1 + 2 * components + 3 {
            return Err("its scan header contradicts its number of components");
        }
        let ids = &self.ids[..self.components];
        if content[1..=2 * components].chunks(2).any(|component| !ids.contains(&component[0])) {
            return Err("its scan header names a component that its frame header does not have");
        }
        Ok(())
    }
}
