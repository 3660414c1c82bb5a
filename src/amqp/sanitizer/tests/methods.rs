//! Routing keys that are not UTF-8.

use super::write::{deliver, frame};
use super::{FRAME_MAX, parse, sanitize};
use amq_protocol::frame::AMQPFrame;
use amq_protocol::protocol::{AMQPClass, basic};

fn routing_key(input: &[u8]) -> String {
    match parse(&sanitize(input, FRAME_MAX), FRAME_MAX).as_slice() {
        [AMQPFrame::Method(7, AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver)))] => {
            assert_eq!((deliver.consumer_tag.as_str(), deliver.delivery_tag), ("ctag", 5));
            deliver.routing_key.to_string()
        }
        [AMQPFrame::Method(7, AMQPClass::Basic(basic::AMQPMethod::GetOk(got)))] => got.routing_key.to_string(),
        [AMQPFrame::Method(7, AMQPClass::Basic(basic::AMQPMethod::Return(back)))] => back.routing_key.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn octets_of_a_routing_key_that_is_not_utf8_become_question_marks() {
    assert_eq!(routing_key(&deliver(b"a\xff\xfeb")), "a??b");
    let get_ok = [&[0, 60, 0, 71, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, b'x', 2, 0xc3, b'y', 0, 0, 0, 3][..]].concat();
    assert_eq!(routing_key(&frame(1, &get_ok)), "?y");
    let returned = [&[0, 60, 0, 50, 1, 56, 8][..], b"NO_ROUTE", &[0, 1, 0xff]].concat();
    assert_eq!(routing_key(&frame(1, &returned)), "?");
}

#[test]
fn one_that_is_utf8_stays_as_it_is() {
    assert_eq!(routing_key(&deliver("schlüssel".as_bytes())), "schlüssel");
}
