//! The methods that the sanitizer reads.

use super::wire::{LENGTH, TEXT, entries, split};
use crate::amqp::version::Product;

/// Class and method.
const NAME: usize = 4;
const CONNECTION_START: &[u8] = &[0, 10, 0, 10];

/// A method of a message with `?` for each octet that is not ASCII, in its short strings that are not UTF-8. `None`: it can pass
/// as it is. It repeats the routing key that the producer chose; nothing is decided on that.
pub(super) fn sanitize(payload: &[u8]) -> Option<Vec<u8>> {
    let (name, mut rest) = payload.split_at_checked(NAME)?;
    let arguments: &[u8] = match name {
        // `basic.deliver`, `basic.get-ok` and `basic.return`, up to the routing key.
        [0, 60, 0, 60] => &[TEXT, b'L', b't', TEXT, TEXT],
        [0, 60, 0, 71] => &[b'L', b't', TEXT, TEXT],
        [0, 60, 0, 50] => &[b's', TEXT, TEXT, TEXT],
        _ => return None,
    };
    let mut rebuilt = None;
    for &kind in arguments {
        let at = payload.len() - rest.len();
        let (argument, behind) = split(kind, rest)?;
        if kind == TEXT && str::from_utf8(&argument[1..]).is_err() {
            let octets = &mut rebuilt.get_or_insert_with(|| payload.to_vec())[at + 1..at + argument.len()];
            octets.iter_mut().filter(|octet| !octet.is_ascii()).for_each(|octet| *octet = b'?');
        }
        rest = behind;
    }
    rebuilt
}

/// Name and version of the broker, if this is its greeting, which lapin keeps to itself. What is missing or no text is empty.
pub(super) fn greeting(payload: &[u8]) -> Option<Product> {
    let (_protocol, properties) = split(b's', payload.strip_prefix(CONNECTION_START)?)?;
    let (table, _) = split(b'F', properties)?;
    let (mut name, mut version) = (&[][..], &[][..]);
    for entry in entries(&table[LENGTH..], true).flatten().filter(|entry| entry.kind == b'S') {
        match entry.name {
            b"product" => name = &entry.value[LENGTH..],
            b"version" => version = &entry.value[LENGTH..],
            _ => {}
        }
    }
    Some(Product::heard(name, version))
}
