//! What is done with one image.

use antispoof_convert::{ConvertError, Wish};
use antispoof_core::image::{Facts, Format, inspect};

/// What has to be done with an image before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// What its header says.
    pub(super) facts: Facts,
    /// Its length.
    pub(super) bytes: u64,
    pub(super) aim: Aim,
    /// Most bytes that are held for it at a time.
    pub(super) memory: u64,
}

/// What for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// A JPEG, upright and small enough.
    Convert,
    /// To know whether a decoder reads it. It is sent as it is.
    Check,
}

/// What came of it.
pub(super) struct Done {
    pub(super) bytes: Vec<u8>,
    pub(super) facts: Facts,
    pub(super) steps: Vec<String>,
}

impl Aim {
    pub(super) fn run(self, file: Vec<u8>, facts: &Facts, wish: Wish) -> Result<Done, ConvertError> {
        if self == Self::Check {
            antispoof_convert::check(&file, facts)?;
            return Ok(Done { bytes: file, facts: *facts, steps: Vec::new() });
        }
        let made = antispoof_convert::convert(file, facts, wish)?;
        // Followed to its end when it is sent, as every other image is.
        let of_jpeg = inspect(&made.jpeg).map_err(|failure| ConvertError::Corrupt(failure.message().to_owned()))?;
        let mut steps = Vec::new();
        if facts.format != Format::Jpeg {
            steps.push(format!("{}→{}", facts.format.name(), Format::Jpeg.name()));
        }
        if facts.orientation != 1 {
            steps.push(format!("turned {}", facts.orientation));
        }
        if let Some((before, after)) = made.scaled {
            steps.push(format!("scaled {before}→{after}"));
        }
        Ok(Done { bytes: made.jpeg, facts: of_jpeg, steps })
    }
}
