//! A set of formats.

use super::facts::Format;

/// The formats that are converted to JPEG. A set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Formats(u8);

impl Formats {
    /// None.
    pub const NONE: Self = Self(0);

    /// Whether this one is among them.
    pub const fn contains(self, format: Format) -> bool {
        self.0 & bit(format) != 0
    }
}

impl FromIterator<Format> for Formats {
    fn from_iter<I: IntoIterator<Item = Format>>(formats: I) -> Self {
        Self(formats.into_iter().fold(0, |set, format| set | bit(format)))
    }
}

const fn bit(format: Format) -> u8 {
    1 << format as u8
}
