//! The sanitizer is tested through its output, which `amq-protocol`, the parser of lapin, has to read. Its inputs are just above
//! the sanitizer's own limits, so that none of them could harm a parser.

mod cuts;
mod greetings;
mod headers;
mod methods;
mod write;

use super::frames::{Frames, Handshake};
use amq_protocol::frame::{AMQPFrame, parse_frame};
use lapin::BasicProperties;
use lapin::types::FieldTable;
use std::sync::Arc;

/// What both sides of most connections agree on.
const FRAME_MAX: usize = 131_072;

/// Frames of a connection that has agreed on this limit.
fn frames(frame_max: usize) -> Frames {
    Frames::new(Arc::new(Handshake { frame_max: frame_max.into(), ..Handshake::default() }))
}

/// All that comes out for bytes that come in whole.
fn sanitize(input: &[u8], frame_max: usize) -> Vec<u8> {
    let mut frames = frames(frame_max);
    frames.feed(input);
    let mut out = Vec::new();
    drain(&mut frames, &mut out, 1000);
    out
}

fn drain(frames: &mut Frames, out: &mut Vec<u8>, at_once: usize) {
    let mut buffer = vec![0; at_once];
    loop {
        match frames.drain(&mut buffer) {
            0 => return,
            count => out.extend_from_slice(&buffer[..count]),
        }
    }
}

/// The frames that lapin makes of these bytes.
///
/// # Panics
///
/// When it would make none of some, or found one too large.
fn parse(mut bytes: &[u8], frame_max: usize) -> Vec<AMQPFrame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (rest, frame) = parse_frame(bytes).expect("a frame");
        assert!(bytes.len() - rest.len() <= frame_max, "a frame that is too large");
        frames.push(frame);
        bytes = rest;
    }
    frames
}

/// What is left of the properties in the one header frame of `input`.
fn properties(input: &[u8], frame_max: usize) -> BasicProperties {
    match <[_; 1]>::try_from(parse(&sanitize(input, frame_max), frame_max)).expect("one frame") {
        [AMQPFrame::Header(7, header)] => {
            assert_eq!((header.class_id, header.body_size), (60, 42));
            header.properties
        }
        other => panic!("{other:?}"),
    }
}

/// The names of the headers that are left, and what `as-headers-dropped` says.
fn left(properties: &BasicProperties) -> (Vec<String>, Option<i64>) {
    let headers = properties.headers().as_ref().map(FieldTable::inner);
    let mut names: Vec<_> = headers.into_iter().flatten().map(|(name, _)| name.to_string()).collect();
    names.retain(|name| name != "as-headers-dropped");
    (names, crate::amqp::headers::number(properties, "as-headers-dropped"))
}
