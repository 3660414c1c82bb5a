//! Within what the limit is learned.

/// The least and the most calls at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    min: u16,
    max: u16,
}

/// Bounds that contradict each other.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the bounds of an adaptive limit must be at least 1, and the lower one not above the upper one")]
pub struct InvalidBounds;

impl Bounds {
    /// At least 1, and `min` at most `max`.
    pub const fn try_new(min: u16, max: u16) -> Result<Self, InvalidBounds> {
        if min == 0 || min > max { Err(InvalidBounds) } else { Ok(Self { min, max }) }
    }

    /// The least.
    pub const fn min(self) -> u16 {
        self.min
    }

    /// The most.
    pub const fn max(self) -> u16 {
        self.max
    }
}
