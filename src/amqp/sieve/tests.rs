//! What lapin reads with is the judge: whatever leaves the sieve has to be a frame to `amq-protocol`.

mod cuts;
mod greetings;
mod headers;
mod methods;
mod write;

use super::frames::Frames;
use amq_protocol::frame::{AMQPFrame, parse_frame};
use lapin::BasicProperties;
use lapin::types::FieldTable;

/// What both sides of most connections agree on.
const FRAME_MAX: usize = 131_072;

/// All that comes out for bytes that come in whole.
fn sieve(input: &[u8], frame_max: usize) -> Vec<u8> {
    let mut input = input.to_vec();
    let mut frames = Frames::default();
    let stands = frames.take(&mut input, frame_max);
    let mut out = input[..stands].to_vec();
    drain(&mut frames, &mut out, 1000);
    out
}

fn drain(frames: &mut Frames, out: &mut Vec<u8>, at_once: usize) {
    let mut buffer = vec![0; at_once];
    loop {
        match frames.give(&mut buffer) {
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
    match <[_; 1]>::try_from(parse(&sieve(input, frame_max), frame_max)).expect("one frame") {
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
