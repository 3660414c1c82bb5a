//! Frames as a broker sends them, and malformed ones.

pub(super) const CHANNEL: u16 = 7;

pub(super) fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap();
    [&[kind][..], &CHANNEL.to_be_bytes(), &size.to_be_bytes(), payload, &[0xCE]].concat()
}

pub(super) fn body(bytes: &[u8]) -> Vec<u8> {
    frame(3, bytes)
}

pub(super) fn heartbeat() -> Vec<u8> {
    [8, 0, 0, 0, 0, 0, 0, 0xCE].to_vec()
}

pub(super) fn deliver(routing_key: &[u8]) -> Vec<u8> {
    let tag_and_redelivered = [0, 0, 0, 0, 0, 0, 0, 5, 0];
    let start = [0, 60, 0, 60];
    frame(1, &[&start, &*short(b"ctag"), &tag_and_redelivered, &short(b"antispoof.jobs"), &short(routing_key)].concat())
}

/// A header frame with these flags and what follows them.
pub(super) fn header(flags: u16, properties: &[u8]) -> Vec<u8> {
    let fixed = [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 42];
    frame(2, &[&fixed, &flags.to_be_bytes()[..], properties].concat())
}

/// A header frame with this table of headers between a content type and a delivery mode.
pub(super) fn with_headers(fields: &[u8]) -> Vec<u8> {
    header(1 << 15 | 1 << 13 | 1 << 12, &[&short(b"application/json")[..], &long(fields), &[2]].concat())
}

pub(super) fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&short(name)[..], value].concat()
}

pub(super) fn text(value: &[u8]) -> Vec<u8> {
    [b"S", &long(value)[..]].concat()
}

pub(super) fn integer(value: i64) -> Vec<u8> {
    [b"l", &value.to_be_bytes()[..]].concat()
}

/// So many arrays (`A`) or tables (`F`) in one another.
pub(super) fn nested(kind: u8, depth: usize) -> Vec<u8> {
    let mut value = vec![b'V'];
    for _ in 0..depth {
        let inside = if kind == b'F' { field(b"k", &value) } else { value };
        value = [&[kind][..], &long(&inside)].concat();
    }
    value
}

pub(super) fn short(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
}

pub(super) fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}
