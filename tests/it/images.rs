//! Images for tests and demos, made from the two portraits in `tests/samples`: the same bytes on every run.
//!
//! The integration tests and `cargo run --example samples` share this file, so what a test sends is what a person can look at.
//! `catalogue` has the named samples; `jpeg::tiny` and `jpeg::of_size` make as many different JPEGs as a load scenario needs, at
//! the cost of a copy.

#[path = "images/catalogue.rs"]
mod catalogue;
#[path = "../../convert/src/tests/made.rs"]
pub(crate) mod convertible;
#[path = "images/foreign.rs"]
mod foreign;
#[path = "images/jpeg.rs"]
pub(crate) mod jpeg;
#[path = "../../core/src/image/tests/made.rs"]
pub(crate) mod made;

use sha2::{Digest, Sha256};

pub(crate) use catalogue::catalogue;

/// What the daemon, with its default settings, is to make of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// It reaches the detector, which answers.
    Verdict,
    /// A terminal failure with this code, and no paid call.
    Failure(&'static str),
}

impl Expected {
    /// `verdict`, or the failure code.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Failure(code) => code,
        }
    }
}

/// A named sample. Its bytes are made when they are asked for.
pub(crate) struct Sample {
    /// The file name, which lies where `kind` says so.
    pub(crate) name: &'static str,
    /// What the bytes are, in a few words.
    pub(crate) kind: &'static str,
    /// What is to become of it.
    pub(crate) expected: Expected,
    /// Width and height in pixels as the file's header says, before any EXIF rotation. None where there is no such header.
    pub(crate) size: Option<(u32, u32)>,
    /// EXIF orientation, 1 to 8. None where the file has no EXIF.
    pub(crate) orientation: Option<u8>,
    make: Box<dyn Fn() -> Vec<u8>>,
}

impl Sample {
    /// What is to become of it with the settings of the demo, which converts some formats.
    pub(crate) fn expected_in_demo(&self) -> Expected {
        if matches!(self.kind, "png" | "webp") { Expected::Verdict } else { self.expected }
    }

    /// The file's bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        (self.make)()
    }
}

/// The sample of the catalogue with this name.
///
/// # Panics
///
/// When there is none: the test has a typing error.
pub(crate) fn sample(name: &str) -> Sample {
    catalogue()
        .into_iter()
        .find(|sample| sample.name == name)
        .unwrap_or_else(|| panic!("no sample is called {name:?}; tests/it/images/catalogue.rs lists them"))
}

/// The lowercase hex SHA-256 of `bytes`, as it stands in a manifest, in the simulator's statistics and, after `sha256:`, in an event.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a String cannot fail");
        hex
    })
}
