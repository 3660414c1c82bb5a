//! The name and version that a broker sends in its greeting.

use super::super::frames::{Frames, Handshake};
use super::FRAME_MAX;
use super::write::frame;
use crate::amqp::version::Product;
use std::sync::Arc;

fn text(name: &str, kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(value.len()).expect("short").to_be_bytes();
    [&[u8::try_from(name.len()).expect("short")][..], name.as_bytes(), &[kind], &length, value].concat()
}

/// `connection.start` with these properties.
fn start(properties: &[Vec<u8>]) -> Vec<u8> {
    let table = properties.concat();
    let length = u32::try_from(table.len()).expect("short").to_be_bytes();
    let (mechanisms, locales) = ([&[0, 0, 0, 5][..], b"PLAIN"].concat(), [&[0, 0, 0, 5][..], b"en_US"].concat());
    frame(1, &[&[0, 10, 0, 10, 0, 9][..], &length, &table, &mechanisms, &locales].concat())
}

/// The product that is read when the bytes come in pieces of so many. What comes out is what went in.
fn heard(input: &[u8], at_once: usize) -> Option<Product> {
    let handshake = Arc::new(Handshake { frame_max: FRAME_MAX.into(), ..Handshake::default() });
    let (mut frames, mut out) = (Frames::new(handshake.clone()), Vec::new());
    for piece in input.chunks(at_once) {
        frames.feed(piece);
        super::drain(&mut frames, &mut out, 1000);
    }
    assert_eq!(out, input, "a greeting is passed on as it is");
    handshake.product.get().cloned()
}

#[test]
fn name_and_version_are_heard_however_the_bytes_are_cut() {
    let capabilities = text("capabilities", b'F', &text("product", b'S', b"not this one"));
    let input = start(&[
        capabilities,
        text("version", b'S', b"4.3.6"),
        text("product", b'S', b"RabbitMQ"),
        text("x", b'S', b""),
    ]);
    for at_once in 1..=input.len() {
        assert_eq!(heard(&input, at_once), Some(Product::heard(b"RabbitMQ", b"4.3.6")), "{at_once} at once");
    }
}

#[test]
fn what_is_not_said_or_is_no_text_is_empty() {
    assert_eq!(heard(&start(&[]), 4096), Some(Product::default()));
    assert_eq!(heard(&start(&[text("product", b'x', b"RabbitMQ")]), 4096), Some(Product::default()));
    let torn = start(&[text("product", b'S', b"LavinMQ"), vec![7, b'v', b'e']]);
    assert_eq!(heard(&torn, 4096), Some(Product::heard(b"LavinMQ", b"")));
}

#[test]
fn nothing_else_is_a_greeting() {
    assert_eq!(heard(&frame(1, &[0, 10, 0, 30, 0, 0, 0, 2, 0, 0, 0, 60]), 4096), None);
    assert_eq!(heard(&frame(1, &[0, 10, 0, 10, 0, 9, 0, 0, 0, 200]), 4096), None);
    assert_eq!(heard(&frame(1, &[0, 10]), 4096), None);
}
