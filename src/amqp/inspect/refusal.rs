//! Reads the refusal of a declaration whose arguments differ from those of the existing object. AMQP has no field for which argument
//! it is, so the text of the refusal (code 406) is the only source.
//!
//! `PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received the value '10000' of type 'signedint'
//! but current is the value '5000' of type 'signedint'`, or `received 'true' but current is 'false'`, or `none` for either. The text is cut at 255
//! bytes, so the end may be missing where names are long.

use super::found::Difference;
use std::fmt;

const START: &str = "inequivalent arg '";

/// The first argument that does not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Inequivalent {
    pub(super) argument: String,
    pub(super) wanted: Value,
    pub(super) found: Value,
}

/// A value as the broker prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    None,
    Text(String),
    Number(i64),
    Flag(bool),
    /// As it was printed, if at all.
    Unread(String),
}

impl Inequivalent {
    /// None: the text says something else.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (argument, rest) = text.split_once(START)?.1.split_once('\'')?;
        // From the end: the object's name may hold any of these words.
        let values = rest.rsplit_once(": received ").map_or("", |(_, values)| values);
        let (wanted, found) = values.split_once(" but current is ").unwrap_or((values, ""));
        Some(Self { argument: argument.to_owned(), wanted: Value::read(wanted), found: Value::read(found) })
    }
}

impl Value {
    fn read(printed: &str) -> Self {
        let unread = || Self::Unread(printed.to_owned());
        if printed == "none" {
            return Self::None;
        }
        let quoted = |text: &str| text.strip_prefix('\'')?.strip_suffix('\'').map(str::to_owned);
        let Some(typed) = printed.strip_prefix("the value ") else {
            return quoted(printed).map_or_else(unread, Self::Text);
        };
        let Some((value, kind)) = typed.rsplit_once(" of type ") else { return unread() };
        let (Some(value), Some(kind)) = (quoted(value), quoted(kind)) else { return unread() };
        match kind.as_str() {
            "longstr" => Self::Text(value),
            "bool" => value.parse().map_or_else(|_| unread(), Self::Flag),
            _ => value.parse().map_or_else(|_| unread(), Self::Number),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Text(text) if text.is_empty() => f.write_str("\"\""),
            Self::Number(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
            Self::Unread(text) if text.is_empty() => f.write_str("something else"),
            Self::Text(text) | Self::Unread(text) => f.write_str(text),
        }
    }
}

impl From<Inequivalent> for Difference {
    fn from(unlike: Inequivalent) -> Self {
        Self { argument: unlike.argument, wanted: unlike.wanted.to_string(), found: unlike.found.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, String, String) {
        let difference = Difference::from(Inequivalent::read(text).expect("a difference"));
        (difference.argument, difference.wanted, difference.found)
    }

    #[test]
    fn every_way_to_say_it_is_read() {
        let expect = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        let q = "for queue 'a: received b' in vhost '/': ";
        assert_eq!(
            read(&format!(
                "PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' {q}received the value '20' of type 'signedint' but current is the value '5' of type 'long'"
            )),
            expect("x-delivery-limit", "20", "5")
        );
        assert_eq!(
            read(&format!(
                "inequivalent arg 'x-overflow' {q}received the value 'reject-publish' of type 'longstr' but current is none"
            )),
            expect("x-overflow", "reject-publish", "none")
        );
        assert_eq!(
            read(&format!("inequivalent arg 'durable' {q}received 'true' but current is 'false'")),
            expect("durable", "true", "false")
        );
        assert_eq!(
            read(&format!("inequivalent arg 'x-message-ttl' {q}received the value '20' of type 'signed")),
            expect("x-message-ttl", "the value '20' of type 'signed", "something else")
        );
    }

    #[test]
    fn other_refusals_are_not_differences() {
        assert_eq!(Inequivalent::read("ACCESS_REFUSED - configure access to queue 'q' refused"), None);
        assert_eq!(Inequivalent::read("inequivalent arg 'x"), None);
    }
}
