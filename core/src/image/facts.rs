//! What the header of an image says.

/// Formats that go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JPEG/JFIF or Exif, baseline or progressive.
    Jpeg,
}

impl Format {
    /// The name in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
        }
    }
}

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// By the bytes, whatever the key or the Content-Type claim.
    pub format: Format,
    /// Pixels, before any EXIF rotation; at least 1.
    pub width: u32,
    /// Pixels, before any EXIF rotation; at least 1.
    pub height: u32,
    /// EXIF orientation, 1 (upright) to 8.
    pub orientation: u8,
    /// Offset of the first byte behind the header of the first scan: an end-of-image marker counts only from there on.
    pub scan_from: u64,
    /// Whether the scans have restart intervals, with which decoders get over a damaged place.
    pub restarts: bool,
}
