//! What is left out of a message, and what stays.

use super::super::header::TABLE_MAX;
use super::super::wire::DEPTH_MAX;
use super::write::{field, header, integer, long, nested, short, text, with_headers};
use super::{FRAME_MAX, left, parse, properties, sanitize};
use amq_protocol::frame::AMQPFrame;
use lapin::types::ShortString;
use std::thread;

const NOT_TEXT: &[u8] = b"a\xff";

/// A hostile entry between two good ones; says what is left and what was counted.
fn between_good_ones(hostile: &[u8]) -> (Vec<String>, Option<i64>) {
    let fields = [&field(b"before", &text(b"1"))[..], hostile, &field(b"behind", &text(b"2"))].concat();
    let properties = properties(&with_headers(&fields), FRAME_MAX);
    assert_eq!(properties.content_type().as_ref().map(ShortString::as_str), Some("application/json"));
    assert_eq!(*properties.delivery_mode(), Some(2));
    left(&properties)
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn what_cannot_be_read_is_left_out_and_counted_and_its_neighbours_stay() {
    for hostile in [
        field(b"deep", &nested(b'A', DEPTH_MAX + 1)),
        field(b"deep", &nested(b'F', DEPTH_MAX + 1)),
        field(NOT_TEXT, &text(b"x")),
        field(b"inside", &[&b"F"[..], &long(&field(NOT_TEXT, b"V"))].concat()),
        field(b"unknown inside", &[&b"A"[..], &long(b"?")].concat()),
        field(b"cut short inside", &[&b"A"[..], &long(b"S\0\0\0\x09abc")].concat()),
        field(b"a name alone", &[&b"F"[..], &long(&short(b"name"))].concat()),
        field(b"longer than what holds it", &[&b"A"[..], &long(b"A\0\0\0\x01"), &[]].concat()),
    ] {
        assert_eq!(between_good_ones(&hostile), (names(&["before", "behind"]), Some(1)), "{}", hostile.escape_ascii());
    }
}

#[test]
fn behind_an_entry_of_unknown_type_nothing_can_be_made_out() {
    assert_eq!(between_good_ones(&field(b"new", b"~1234")), (names(&["before"]), Some(1)));
    assert_eq!(between_good_ones(&field(b"endless", b"S\xff\xff\xff\xff")), (names(&["before"]), Some(1)));
}

#[test]
fn every_type_of_the_protocol_passes() {
    let values: [&[u8]; 19] = [
        b"V",
        b"t\x01",
        b"b1",
        b"B1",
        b"s12",
        b"U12",
        b"u12",
        b"I1234",
        b"i1234",
        b"f1234",
        b"D12345",
        b"L12345678",
        b"l12345678",
        b"T12345678",
        b"d12345678",
        b"S\0\0\0\x02\xff\xff",
        b"x\0\0\0\x01\xff",
        b"A\0\0\0\0",
        b"F\0\0\0\0",
    ];
    let fields: Vec<u8> = (b'a'..).zip(values).flat_map(|(name, value)| field(&[name], value)).collect();
    let frame = with_headers(&fields);
    assert_eq!(sanitize(&frame, FRAME_MAX), frame);
    assert_eq!(left(&properties(&frame, FRAME_MAX)).0.len(), values.len());
}

#[test]
fn the_deepest_nesting_that_passes_needs_little_stack() {
    for kind in [b'A', b'F'] {
        let frame = with_headers(&field(b"deep", &nested(kind, DEPTH_MAX)));
        assert_eq!(sanitize(&frame, FRAME_MAX), frame);
        // A quarter of what lapin's thread has.
        let small = thread::Builder::new().stack_size(512 * 1024);
        small.spawn(move || assert_eq!(parse(&frame, FRAME_MAX).len(), 1)).unwrap().join().unwrap();
    }
}

#[test]
fn a_property_that_is_not_text_is_left_out_and_the_others_stay() {
    const TEXTS: u16 = 0b1100_0111_1011_1100;
    for bit in (2..16).filter(|bit| TEXTS & (1 << bit) != 0) {
        // The timestamp lies among them.
        let mut parts: Vec<Vec<u8>> = Vec::new();
        for other in (2..16).rev() {
            match other {
                6 => parts.push(vec![0; 8]),
                _ if other == bit => parts.push(short(b"\xf0\x28\x8c\x28")),
                _ if TEXTS & (1 << other) != 0 => parts.push(short(b"good")),
                _ => {}
            }
        }
        let frame = header(TEXTS | 1 << 6, &parts.concat());
        let properties = properties(&frame, FRAME_MAX);
        assert_eq!(left(&properties), (vec![], Some(1)), "bit {bit}");
        let texts = [
            properties.content_type(),
            properties.content_encoding(),
            properties.correlation_id(),
            properties.reply_to(),
            properties.expiration(),
            properties.message_id(),
            properties.kind(),
            properties.user_id(),
            properties.app_id(),
            properties.cluster_id(),
        ];
        let there: Vec<_> = texts.into_iter().flatten().map(ShortString::as_str).collect();
        assert_eq!(there, ["good"; 9], "bit {bit}");
        assert_eq!(*properties.timestamp(), Some(0));
        assert!(properties.headers().is_some());
    }
}

#[test]
fn behind_a_property_that_is_cut_short_nothing_can_be_made_out() {
    let frame = header(1 << 15 | 1 << 8 | 1 << 5, &[&short(b"text/plain")[..], &[200, b'x']].concat());
    let properties = properties(&frame, FRAME_MAX);
    assert_eq!(properties.content_type().as_ref().map(ShortString::as_str), Some("text/plain"));
    assert_eq!((properties.correlation_id(), left(&properties).1), (&None, Some(1)));
}

#[test]
fn what_follows_the_properties_is_left_out() {
    let frame = header(1 << 15, &[&short(b"text/plain")[..], b"more"].concat());
    assert_eq!(left(&properties(&frame, FRAME_MAX)).1, Some(1));
}

#[test]
fn a_table_without_room_keeps_what_has_a_meaning() {
    let big = text(&vec![b'x'; TABLE_MAX]);
    let fields = [
        field(b"big", &big),
        field(b"small", &text(b"s")),
        field(b"cloudEvents:id", &text(b"e")),
        field(b"traceparent", &text(b"00-a")),
        field(b"as-attempt", &integer(3)),
        field(b"x-delivery-count", &integer(4)),
        field(b"x-death", &nested(b'A', 2)),
        field(NOT_TEXT, &big),
    ];
    let properties = properties(&with_headers(&fields.concat()), FRAME_MAX * 2);
    let kept = names(&["as-attempt", "cloudEvents:id", "traceparent", "x-death", "x-delivery-count"]);
    assert_eq!(left(&properties), (kept, Some(3)));
}

#[test]
fn what_the_broker_repeats_of_a_dead_letter_is_left_out_and_not_counted() {
    let of_broker = ["x-first-death-exchange", "x-first-death-queue", "x-first-death-reason", "x-last-death-reason"];
    let fields: Vec<u8> = of_broker.iter().flat_map(|name| field(name.as_bytes(), &text(b"q"))).collect();
    let big = field(b"big", &text(&vec![b'x'; TABLE_MAX]));
    assert_eq!(left(&properties(&with_headers(&[&fields[..], &big].concat()), FRAME_MAX * 2)), (vec![], Some(1)));
    let long: Vec<u8> =
        of_broker.iter().flat_map(|name| field(name.as_bytes(), &text(&vec![b'q'; TABLE_MAX]))).collect();
    assert_eq!(left(&properties(&with_headers(&long), FRAME_MAX * 2)), (vec![], None));
    assert_eq!(left(&properties(&with_headers(&fields), FRAME_MAX)), (names(&of_broker), None));
}

#[test]
fn there_is_room_for_the_others_once_what_cannot_be_read_is_gone() {
    let fields = [field(NOT_TEXT, &text(&vec![b'x'; TABLE_MAX])), field(b"small", &text(b"s"))].concat();
    assert!(fields.len() > TABLE_MAX);
    assert_eq!(left(&properties(&with_headers(&fields), FRAME_MAX)), (names(&["small"]), Some(1)));
}

#[test]
fn counts_stay_before_everything_else() {
    let fields = [
        field(b"as-other", &text(&vec![b'x'; 5000])),
        field(b"as-replay", &text(&vec![b'x'; 5000])),
        field(b"cloudEvents:id", &text(&vec![b'x'; 5000])),
        field(b"as-attempt", &integer(3)),
    ];
    let properties = properties(&with_headers(&fields.concat()), 8192);
    assert_eq!(left(&properties), (names(&["as-attempt", "as-other"]), Some(2)));
}

#[test]
fn a_frame_above_the_limit_of_the_connection_is_cut_down() {
    let fields = [field(b"big", &text(&vec![b'x'; 8000])), field(b"as-attempt", &integer(3))].concat();
    assert_eq!(sanitize(&with_headers(&fields), FRAME_MAX), with_headers(&fields));
    assert_eq!(left(&properties(&with_headers(&fields), 8000)), (names(&["as-attempt"]), Some(1)));
}

#[test]
fn what_was_left_out_earlier_counts_on() {
    for (earlier, says) in
        [(integer(5), 6), (integer(-5), 1), (b"I\0\0\0\x02".to_vec(), 3), (integer(i64::MAX), i64::MAX)]
    {
        let fields = [field(b"as-headers-dropped", &earlier), field(NOT_TEXT, b"V")].concat();
        assert_eq!(left(&properties(&with_headers(&fields), FRAME_MAX)), (vec![], Some(says)));
    }
    let fields = [field(b"as-headers-dropped", &text(b"five")), field(NOT_TEXT, b"V")].concat();
    assert_eq!(left(&properties(&with_headers(&fields), FRAME_MAX)).1, Some(2), "it was not ours");
}

#[test]
fn of_a_header_too_long_to_be_held_the_message_is_left() {
    let frame = with_headers(&field(b"big", &text(&vec![b'x'; 2_000_000])));
    let stream = [&frame[..], &super::write::body(b"{}")].concat();
    let frames = parse(&sanitize(&stream, FRAME_MAX), FRAME_MAX);
    let [AMQPFrame::Header(7, header), AMQPFrame::Body(7, body)] = frames.as_slice() else { panic!("{frames:?}") };
    assert_eq!((header.class_id, header.body_size, body.as_slice()), (60, 42, &b"{}"[..]));
    assert_eq!(left(&header.properties), (vec![], Some(1)));
}
