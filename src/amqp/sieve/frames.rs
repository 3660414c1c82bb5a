//! Follows the frames of the incoming bytes, however these are cut.
//!
//! ```text
//!   octet   1 .. 3    3 .. 7    7 .. 7 + size    7 + size
//!   type    channel   size      payload          0xCE
//! ```
//!
//! What may stay as it is stays where it is, in the reader's own buffer. Only from a frame on that came in part, or that has to be
//! changed, are the bytes of that read copied.

use super::header::{self, LeftOut};
use super::{greeting, method};
use crate::amqp::version::Product;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
const END: u8 = 0xCE;

/// Type, channel and size.
const PREFIX: usize = 7;
/// All of a frame that is not payload.
pub(super) const OVERHEAD: usize = PREFIX + 1;

/// A header above this is not held to look for what is good in it. Our own copies are far below, and `amqp.url` cannot ask for larger frames.
const HOLD_MAX: usize = 1024 * 1024;

/// Where in the stream of frames the next byte belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// To a new frame, or to the one that is held.
    #[default]
    Frame,
    /// To a frame that passes as it is; so many of its bytes are still to come.
    Passing(usize),
    /// To a frame that is left out; so many of its bytes are still to come.
    LeavingOut(usize),
    /// To something that is no frame. lapin reads it too, and closes the connection.
    Nowhere,
}

/// The follower. Holds at most one frame, and what it has made of one read.
#[derive(Debug, Default)]
pub(super) struct Frames {
    at: At,
    /// A frame that is not complete yet.
    held: Vec<u8>,
    /// Bytes to be given before anything else is read,
    ready: Vec<u8>,
    /// of which so many are given.
    given: usize,
    /// What the broker says of itself, until somebody asks.
    greeting: Option<Product>,
}

/// A frame of which the first [`PREFIX`] bytes are known.
enum Kind {
    /// To be looked at when it is complete.
    Looked(usize),
    /// A header that is too long to be held.
    Endless(usize),
    /// Passes as it comes.
    Passes(usize),
    /// Not a frame.
    No,
}

impl Frames {
    /// Copies what is ready into `out`, and says how many bytes.
    pub(super) fn give(&mut self, out: &mut [u8]) -> usize {
        let waiting = &self.ready[self.given..];
        let count = waiting.len().min(out.len());
        out[..count].copy_from_slice(&waiting[..count]);
        self.given += count;
        if self.given == self.ready.len() {
            self.ready.clear();
            self.given = 0;
        }
        count
    }

    /// What the broker has said of itself since this was last asked for.
    pub(super) fn greeting(&mut self) -> Option<Product> {
        self.greeting.take()
    }

    /// Takes what was read. So many bytes at its start are to be used as they are now; all that follows is taken into keeping
    /// and given by [`Frames::give`]. To be called only when nothing is left to give.
    pub(super) fn take(&mut self, input: &mut [u8], frame_max: usize) -> usize {
        debug_assert!(self.ready.is_empty(), "what is ready comes first");
        let stands = if self.held.is_empty() { self.walk(input, frame_max) } else { 0 };
        let mut rest = &input[stands..];
        while !rest.is_empty() {
            rest = self.copy(rest, frame_max);
        }
        stands
    }

    /// How far the input can stand as it is.
    fn walk(&mut self, input: &mut [u8], frame_max: usize) -> usize {
        let mut from = 0;
        while from < input.len() {
            let rest = &mut input[from..];
            match self.at {
                At::Passing(left) => {
                    let count = left.min(rest.len());
                    self.pass(left - count);
                    from += count;
                }
                At::Nowhere => return input.len(),
                At::LeavingOut(_) => return from,
                At::Frame => match kind(rest) {
                    Some(Kind::Passes(length)) => self.at = At::Passing(length),
                    Some(Kind::No) => self.at = At::Nowhere,
                    Some(Kind::Looked(length))
                        if length <= rest.len() && look(&mut rest[..length], frame_max, &mut self.greeting) =>
                    {
                        from += length;
                    }
                    Some(Kind::Looked(_) | Kind::Endless(_)) | None => return from,
                },
            }
        }
        from
    }

    /// Takes some of the input, at least a byte, and returns the rest.
    fn copy<'a>(&mut self, input: &'a [u8], frame_max: usize) -> &'a [u8] {
        match self.at {
            At::Passing(left) => {
                let (taken, rest) = input.split_at(left.min(input.len()));
                self.ready.extend_from_slice(taken);
                self.pass(left - taken.len());
                rest
            }
            At::LeavingOut(left) => {
                let count = left.min(input.len());
                self.at = if count == left { At::Frame } else { At::LeavingOut(left - count) };
                &input[count..]
            }
            At::Nowhere => {
                self.ready.extend_from_slice(input);
                &[]
            }
            At::Frame => {
                let rest = self.hold(input, self.wanted());
                if self.held.len() == self.wanted() {
                    self.settle(frame_max);
                }
                rest
            }
        }
    }

    /// Adds to what is held until it has `wanted` bytes.
    fn hold<'a>(&mut self, input: &'a [u8], wanted: usize) -> &'a [u8] {
        let (taken, rest) = input.split_at((wanted - self.held.len()).min(input.len()));
        self.held.extend_from_slice(taken);
        rest
    }

    /// How many bytes have to be held before there is something to decide. Grows once the prefix is there.
    fn wanted(&self) -> usize {
        match kind(&self.held) {
            Some(Kind::Looked(length)) => length,
            Some(Kind::Endless(_)) => PREFIX + header::FIXED,
            Some(Kind::Passes(_) | Kind::No) | None => PREFIX,
        }
    }

    /// Decides about what is held, which is as much as [`Frames::wanted`].
    fn settle(&mut self, frame_max: usize) {
        match kind(&self.held) {
            Some(Kind::Looked(_)) => {
                if look(&mut self.held, frame_max, &mut self.greeting) {
                    self.ready.extend_from_slice(&self.held);
                } else {
                    tell(header::rewrite(&self.held, frame_max, &mut self.ready));
                }
            }
            Some(Kind::Endless(length)) => {
                tell(header::bare(&self.held, &mut self.ready));
                self.at = At::LeavingOut(length - self.held.len());
            }
            Some(Kind::Passes(length)) => {
                self.ready.extend_from_slice(&self.held);
                self.at = At::Passing(length - self.held.len());
            }
            Some(Kind::No) => {
                self.ready.extend_from_slice(&self.held);
                self.at = At::Nowhere;
            }
            None => return,
        }
        self.held.clear();
    }

    fn pass(&mut self, left: usize) {
        self.at = if left == 0 { At::Frame } else { At::Passing(left) };
    }
}

/// What begins here; `None` while the prefix is not complete.
fn kind(bytes: &[u8]) -> Option<Kind> {
    let &[kind, _, _, a, b, c, d] = bytes.first_chunk::<PREFIX>()?;
    let size = u32::from_be_bytes([a, b, c, d]) as usize;
    let length = size + OVERHEAD;
    Some(match kind {
        HEADER if size > HOLD_MAX => Kind::Endless(length),
        // A method as long as that is none of a message's.
        METHOD if size > HOLD_MAX => Kind::Passes(length),
        METHOD | HEADER => Kind::Looked(length),
        BODY | HEARTBEAT => Kind::Passes(length),
        _ => Kind::No,
    })
}

/// Whether this frame can be passed on, after what can be put right in its place has been.
fn look(frame: &mut [u8], frame_max: usize, heard: &mut Option<Product>) -> bool {
    let length = frame.len();
    let [kind, .., end] = frame else { return true };
    let (kind, end) = (*kind, *end);
    if end != END {
        // Not for us to judge; lapin ends the connection.
        return true;
    }
    let payload = &mut frame[PREFIX..length - 1];
    if kind == METHOD {
        method::make_readable(payload);
        if let Some(product) = greeting::read(payload) {
            *heard = Some(product);
        }
        return true;
    }
    header::can_be_read(payload, frame_max)
}

/// Once for each message, and without a word of it: what is in there is somebody's data, and somebody means harm.
fn tell(left_out: LeftOut) {
    tracing::warn!(
        dropped = left_out.total(),
        not_text = left_out.not_text,
        too_deep = left_out.too_deep,
        too_large = left_out.too_large,
        unreadable = left_out.unreadable,
        "left {} properties or headers out of a message that could not be carried with them",
        left_out.total()
    );
}
