//! However a stream is cut, the same comes out; and nothing at all makes it panic.

use super::super::SanitizingStream;
use super::super::frames::Handshake;
use super::super::wire::DEPTH_MAX;
use super::write::{body, deliver, field, frame, header, heartbeat, integer, nested, text, with_headers};
use super::{FRAME_MAX, drain, frames, parse, sanitize};
use futures_io::AsyncRead;
use futures_util::task::noop_waker;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Frames that pass as they are.
fn clean() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || vec(any::<u8>(), 0..300);
    prop_oneof![
        bytes().prop_map(|bytes| body(&bytes)),
        "[a-zü]{0,20}".prop_map(|key| deliver(key.as_bytes())),
        Just(heartbeat()),
        Just(header(0, &[])),
        ("[a-z]{0,9}", bytes()).prop_map(|(name, value)| with_headers(&field(name.as_bytes(), &text(&value)))),
        any::<i64>().prop_map(|count| with_headers(&field(b"as-attempt", &integer(count)))),
        (1..=DEPTH_MAX).prop_map(|depth| with_headers(&field(b"x-death", &nested(b'F', depth)))),
        // A method that the sanitizer has nothing to do with.
        Just(frame(1, &[0, 20, 0, 11, 0, 0, 0, 0])),
    ]
}

/// Frames of which something has to go.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (DEPTH_MAX + 1..DEPTH_MAX + 4).prop_map(|depth| with_headers(&field(b"deep", &nested(b'A', depth)))),
        vec(any::<u8>(), 0..200).prop_map(|bytes| with_headers(&bytes)),
        (any::<u16>(), vec(any::<u8>(), 0..200)).prop_map(|(flags, bytes)| header(flags, &bytes)),
        vec(any::<u8>(), 0..250).prop_map(|key| deliver(&key)),
        (2000..9000_usize).prop_map(|size| with_headers(&field(b"big", &text(&vec![b'x'; size])))),
    ]
}

/// Feeds a stream in pieces of these lengths, over and over, as a reader with buffers of `at_once` bytes.
fn in_pieces(stream: &[u8], lengths: &[usize], at_once: usize, frame_max: usize) -> Vec<u8> {
    let (mut frames, mut out, mut rest) = (frames(frame_max), Vec::new(), stream);
    for &length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        frames.feed(piece);
        drain(&mut frames, &mut out, at_once);
        rest = behind;
    }
    out
}

proptest! {
    #[test]
    fn any_cutting_gives_the_same(
        stream in vec(prop_oneof![clean(), hostile()], 1..12),
        lengths in vec(1..500_usize, 1..20),
        at_once in 1..200_usize,
    ) {
        let stream = stream.concat();
        let whole = sanitize(&stream, 4096);
        prop_assert_eq!(&in_pieces(&stream, &lengths, at_once, 4096), &whole);
        prop_assert_eq!(&in_pieces(&stream, &[1], at_once, 4096), &whole);
    }

    #[test]
    fn a_clean_stream_passes_byte_for_byte(stream in vec(clean(), 1..12), lengths in vec(1..500_usize, 1..20)) {
        let count = stream.len();
        let stream = stream.concat();
        prop_assert_eq!(&sanitize(&stream, FRAME_MAX), &stream);
        prop_assert_eq!(&in_pieces(&stream, &lengths, 100, FRAME_MAX), &stream);
        prop_assert_eq!(parse(&stream, FRAME_MAX).len(), count);
    }

    #[test]
    fn what_leaves_is_read_by_lapin_and_passes_again_as_it_is(frame in prop_oneof![clean(), hostile()]) {
        let once = sanitize(&frame, 4096);
        prop_assert_eq!(parse(&once, 4096).len(), 1);
        prop_assert_eq!(&sanitize(&once, 4096), &once);
    }

    #[test]
    fn anything_at_all_is_followed_without_a_panic(
        stream in vec(prop_oneof![clean(), hostile(), vec(any::<u8>(), 0..40), (0..9_u8).prop_map(|kind| vec![kind])], 0..8),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        lengths in vec(1..500_usize, 1..20),
    ) {
        let mut stream = stream.concat();
        for (at, octet) in damage {
            if !stream.is_empty() {
                let at = at.index(stream.len());
                stream[at] = octet;
            }
        }
        prop_assert_eq!(in_pieces(&stream, &lengths, 100, 4096), sanitize(&stream, 4096));
    }
}

/// Gives what it was given, a piece for each read, and is not ready in between.
struct Pieces(VecDeque<Vec<u8>>, bool);

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.1 = !self.1;
        if self.1 {
            return Poll::Pending;
        }
        let Some(piece) = self.0.pop_front() else { return Poll::Ready(Ok(0)) };
        buf[..piece.len()].copy_from_slice(&piece);
        Poll::Ready(Ok(piece.len()))
    }
}

#[test]
fn a_read_is_empty_only_at_the_end_of_the_stream() {
    let stream = [with_headers(&field(b"deep", &nested(b'A', DEPTH_MAX + 1))), body(b"{}"), heartbeat()].concat();
    let pieces = stream.chunks(5).map(<[u8]>::to_vec).collect();
    let handshake = Handshake { frame_max: FRAME_MAX.into(), ..Handshake::default() };
    let mut stream_of_frames = SanitizingStream::new(Pieces(pieces, false), Arc::new(handshake));
    let waker = noop_waker();
    let mut cx = Context::from_waker(&waker);
    let mut out = Vec::new();
    let mut buffer = [0; 16];
    loop {
        match Pin::new(&mut stream_of_frames).poll_read(&mut cx, &mut buffer) {
            Poll::Pending => {}
            Poll::Ready(Ok(0)) => break,
            Poll::Ready(read) => out.extend_from_slice(&buffer[..read.unwrap()]),
        }
    }
    assert_eq!(out, sanitize(&stream, FRAME_MAX));
}
