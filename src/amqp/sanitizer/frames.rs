//! Follows the frames of the incoming bytes, however these are cut.

use super::{header, method};
use crate::amqp::version::Product;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const END: u8 = 0xCE;
/// Type, channel (two octets) and size (four) before the payload.
const PREFIX: usize = 7;
const OVERHEAD: usize = PREFIX + 1;

/// A longer header is not held back to be rebuilt. Our own copies are far below.
const HOLD_MAX: usize = 1024 * 1024;

/// What is exchanged while a connection is opened.
#[derive(Debug, Default)]
pub(in crate::amqp) struct Handshake {
    /// The largest frame that both take, in bytes. It is agreed on before a message is delivered.
    pub(in crate::amqp) frame_max: AtomicUsize,
    /// Which broker it is, from its greeting on.
    pub(in crate::amqp) product: OnceLock<Product>,
}

/// Takes bytes as they arrive and gives out frames that lapin can read. Holds back at most one frame.
#[derive(Debug)]
pub(super) struct Frames {
    handshake: Arc<Handshake>,
    buffer: Vec<u8>,
    /// So much at the start of the buffer can be drained.
    ready: usize,
    /// So many of the bytes behind that belong to a frame that passes, or that was replaced.
    left: usize,
    passes: bool,
}

impl Frames {
    pub(super) fn new(handshake: Arc<Handshake>) -> Self {
        Self { handshake, buffer: Vec::new(), ready: 0, left: 0, passes: true }
    }

    /// Takes the next bytes of the stream.
    pub(super) fn feed(&mut self, input: &[u8]) {
        self.buffer.extend_from_slice(input);
        while self.advance().is_some() {}
    }

    /// Moves what is ready into `out`, and says how many bytes that is.
    pub(super) fn drain(&mut self, out: &mut [u8]) -> usize {
        let count = self.ready.min(out.len());
        out[..count].copy_from_slice(&self.buffer[..count]);
        self.buffer.drain(..count);
        self.ready -= count;
        count
    }

    /// Goes on by a frame, or a part of one. `None`: more has to be fed first.
    fn advance(&mut self) -> Option<()> {
        let rest = &self.buffer[self.ready..];
        if self.left == 0 {
            let &[kind, channel_high, channel_low, size @ ..] = rest.first_chunk::<PREFIX>()?;
            let size = u32::from_be_bytes(size) as usize;
            let rebuilt = match kind {
                METHOD | HEADER if size <= HOLD_MAX => self.sanitize(kind, rest.get(PREFIX..size + OVERHEAD)?),
                HEADER => Some(header::bare(rest.get(PREFIX..PREFIX + header::FIXED)?)),
                _ => None,
            };
            (self.left, self.passes) = (size + OVERHEAD, rebuilt.is_none());
            if let Some(payload) = rebuilt {
                let size = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
                let frame = [&[kind, channel_high, channel_low][..], &size, &payload, &[END]].concat();
                let end = self.ready + frame.len();
                self.buffer.splice(self.ready..self.ready, frame);
                self.ready = end;
            }
            return Some(());
        }
        let count = self.left.min(rest.len());
        self.left -= count;
        if self.passes {
            self.ready += count;
        } else {
            self.buffer.drain(self.ready..self.ready + count);
        }
        (count > 0).then_some(())
    }

    /// What lapin gets instead of this payload, which ends with the end octet of its frame. `None`: the frame passes. So does one that
    /// is malformed, which only a broker can send: lapin closes the connection.
    fn sanitize(&self, kind: u8, payload: &[u8]) -> Option<Vec<u8>> {
        let payload = payload.strip_suffix(&[END])?;
        if kind == HEADER {
            let frame_max = self.handshake.frame_max.load(Ordering::Acquire);
            return header::sanitize(payload, frame_max.saturating_sub(OVERHEAD));
        }
        // A connection has one greeting, and the first counts.
        method::greeting(payload).map(|product| self.handshake.product.get_or_init(|| product));
        method::sanitize(payload)
    }
}
