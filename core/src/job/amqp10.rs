//! The sections of an AMQP 1.0 body. RabbitMQ hands them to AMQP 0-9-1 consumers as they are, with `type: amqp-1.0`, where they are not one run of data.

/// Why the sections hold no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// A value section with a map in it.
    Map,
    /// A value section with a list or an array in it.
    List,
    /// Sequence sections.
    Sequence,
    /// Another value, another section, or a section that is cut off.
    Other,
}

const DATA: u64 = 0x75;
const SEQUENCE: u64 = 0x76;
const VALUE: u64 = 0x77;

/// Zero, with which a described value begins; no text does.
const DESCRIBED: u8 = 0x00;

/// True for a body that begins with one of the sections. UTF-16 and UTF-32 can begin with a zero, too, but do not go on like this.
pub(super) fn is_sections(body: &[u8]) -> bool {
    matches!(section(body), Some((DATA | SEQUENCE | VALUE, _)))
}

/// The pieces of text in the sections, in their order: of one value section with a string or binary, or of data sections one after the other.
pub(super) fn pieces(body: &[u8]) -> Result<Vec<&[u8]>, Unread> {
    let mut pieces = Vec::new();
    let (mut rest, mut first) = (body, true);
    while !rest.is_empty() {
        let (kind, value) = section(rest).ok_or(Unread::Other)?;
        let (content, after) = match kind {
            DATA => binary(value).ok_or(Unread::Other)?,
            VALUE if first => {
                let (content, after) = binary(value).or_else(|| string(value)).ok_or_else(|| in_value(value))?;
                if !after.is_empty() {
                    return Err(Unread::Other);
                }
                (content, after)
            }
            SEQUENCE => return Err(Unread::Sequence),
            _ => return Err(Unread::Other),
        };
        pieces.push(content);
        (rest, first) = (after, false);
    }
    Ok(pieces)
}

/// The number of the section that `body` begins with, and what follows its descriptor.
fn section(body: &[u8]) -> Option<(u64, &[u8])> {
    let (&DESCRIBED, rest) = body.split_first()? else { return None };
    match rest.split_first()? {
        (0x53, rest) => rest.split_first().map(|(&number, rest)| (number.into(), rest)),
        (0x80, rest) => rest.split_first_chunk().map(|(number, rest)| (u64::from_be_bytes(*number), rest)),
        _ => None,
    }
}

fn binary(value: &[u8]) -> Option<(&[u8], &[u8])> {
    sized(value, 0xa0, 0xb0)
}

fn string(value: &[u8]) -> Option<(&[u8], &[u8])> {
    sized(value, 0xa1, 0xb1)
}

/// What a value of variable length holds, and what follows it. `short` has its length in one byte, `long` in four.
fn sized(value: &[u8], short: u8, long: u8) -> Option<(&[u8], &[u8])> {
    let (&constructor, rest) = value.split_first()?;
    if constructor == short {
        let (&length, rest) = rest.split_first()?;
        rest.split_at_checked(length.into())
    } else if constructor == long {
        let (length, rest) = rest.split_first_chunk()?;
        rest.split_at_checked(u32::from_be_bytes(*length).try_into().ok()?)
    } else {
        None
    }
}

fn in_value(value: &[u8]) -> Unread {
    match value.first() {
        Some(0xc1 | 0xd1) => Unread::Map,
        Some(0x45 | 0xc0 | 0xd0 | 0xe0 | 0xf0) => Unread::List,
        _ => Unread::Other,
    }
}
