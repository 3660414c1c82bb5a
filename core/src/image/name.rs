//! The name of what is no JPEG.

/// What a file was found to be: a phrase that follows "the object is".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// Pictures and video, which could be given as a JPEG.
    Picture(&'static str),
    /// Anything else.
    Other(&'static str),
}
