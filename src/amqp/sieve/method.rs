//! The methods that a message comes with. They repeat the exchange and the routing key that its publisher chose, and these need not be UTF-8:
//! with a `CC` header a message reaches a queue under any routing key at all.

use super::table::short_string;

const BASIC: u16 = 60;
const RETURN: u16 = 50;
const DELIVER: u16 = 60;
const GET_OK: u16 = 71;

const DELIVERY_TAG_AND_REDELIVERED: usize = 9;
const REPLY_CODE: usize = 2;

/// Where the short strings of a method are.
enum Part {
    Skip(usize),
    Text,
}

/// Puts `?` for every octet that is not ASCII, in short strings that are not UTF-8. Nothing is decided on these names, so their length is all that
/// has to stay.
pub(super) fn make_readable(payload: &mut [u8]) {
    let Some((&mut [a, b, c, d], mut rest)) = payload.split_first_chunk_mut::<4>() else { return };
    let parts: &[Part] = match (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])) {
        (BASIC, DELIVER) => &[Part::Text, Part::Skip(DELIVERY_TAG_AND_REDELIVERED), Part::Text, Part::Text],
        (BASIC, GET_OK) => &[Part::Skip(DELIVERY_TAG_AND_REDELIVERED), Part::Text, Part::Text],
        (BASIC, RETURN) => &[Part::Skip(REPLY_CODE), Part::Text, Part::Text, Part::Text],
        _ => return,
    };
    for part in parts {
        let length = match *part {
            Part::Skip(length) => length,
            Part::Text => short_string(rest).map_or(usize::MAX, <[u8]>::len),
        };
        // Cut short: not a method, and lapin says so.
        let Some((part_bytes, after)) = rest.split_at_mut_checked(length) else { return };
        if matches!(part, Part::Text) && str::from_utf8(&part_bytes[1..]).is_err() {
            part_bytes[1..].iter_mut().filter(|octet| !octet.is_ascii()).for_each(|octet| *octet = b'?');
        }
        rest = after;
    }
}
