//! The first method of a connection, in which the broker says which it is. lapin reads it and keeps it to itself.

use super::table::Fields;
use crate::amqp::version::Product;

/// Class and method of `connection.start`.
const START: [u8; 4] = [0, 10, 0, 10];
/// Of the protocol: major, minor.
const PROTOCOL: usize = 2;
const TEXT: u8 = b'S';
const LENGTH: usize = size_of::<u32>();

/// What the broker says of itself, if this method is its greeting. What it does not say, or not as text, is empty.
pub(super) fn read(payload: &[u8]) -> Option<Product> {
    let table = payload.strip_prefix(&START)?.get(PROTOCOL..)?;
    let (length, rest) = table.split_first_chunk::<LENGTH>()?;
    let content = rest.get(..u32::from_be_bytes(*length) as usize)?;
    let (mut name, mut version) = (&[][..], &[][..]);
    for field in Fields::of(content).map_while(Result::ok) {
        let Some((&TEXT, value)) = field.value.split_first() else { continue };
        match (field.name, value.get(LENGTH..)) {
            (b"product", Some(text)) => name = text,
            (b"version", Some(text)) => version = text,
            _ => {}
        }
    }
    Some(Product::heard(name, version))
}
