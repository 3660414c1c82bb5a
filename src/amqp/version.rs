//! The broker's name and version, as its greeting says, and whether the worker is compatible with it.
//!
//! The worker does the same with every version that it supports. What differs between versions (what counts as a delivery, whose
//! `x-death` is honoured, how a consumer that is too slow is ended) is covered by doing what holds on all of them.
//! `docs/broker-versions.md` has the list.

use std::fmt;

/// The product for which the topology is made.
const RABBITMQ: &str = "RabbitMQ";

/// From this version on quorum queues know how long a message may stay and dead-letter at least once: the delay queues need both.
const OLDEST: Version = Version { major: 3, minor: 10 };

/// The last major version that was tested.
const NEWEST_MAJOR: u32 = 4;

/// Long enough for any name and version, and short enough for a log line and a label.
const LONGEST: usize = 48;

/// Name and version of a broker: printable ASCII, at most 48 bytes each, empty where it does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Product {
    name: String,
    version: String,
}

/// Whether the worker is compatible with a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compatibility {
    /// The version is one of those that are tested.
    Supported,
    /// It may be; the text says what speaks against it.
    Doubtful(&'static str),
    /// The broker lacks what the topology needs.
    TooOld,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u32,
    minor: u32,
}

// === impl Product ===

impl Product {
    /// From a broker's greeting, in which there can be any octets.
    pub(super) fn heard(name: &[u8], version: &[u8]) -> Self {
        Self { name: printable(name), version: printable(version) }
    }

    /// `RabbitMQ`; empty when it does not say.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `4.3.6`; empty when it does not say.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether the worker is compatible with it.
    pub fn compatibility(&self) -> Compatibility {
        if self.name != RABBITMQ {
            return Compatibility::Doubtful(
                "it does not say that it is RabbitMQ: nothing here was tried with it. What is needed: quorum queues with x-message-ttl, \
                 x-delivery-limit and at-least-once dead-lettering, publisher confirms, mandatory publishes that come back",
            );
        }
        match Version::read(&self.version) {
            None => Compatibility::Doubtful("its version cannot be read: 3.10 to 4.x is what this program knows"),
            Some(version) if version < OLDEST => Compatibility::TooOld,
            Some(version) if version.major > NEWEST_MAJOR => {
                Compatibility::Doubtful("it is newer than what this program knows: 3.10 to 4.x")
            }
            Some(_) => Compatibility::Supported,
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name.as_str(), self.version.as_str()) {
            ("", "") => f.write_str("a broker that does not say which it is"),
            ("", version) => write!(f, "a broker of version {version} that does not say which it is"),
            (name, "") => write!(f, "{name} of a version that it does not say"),
            (name, version) => write!(f, "{name} {version}"),
        }
    }
}

// === impl Version ===

impl Version {
    /// `3.13.7`, `4.1.0-rc.1`, `4.0.5+3.gabc`, `4.3`: two numbers, and a rest that does not matter.
    fn read(text: &str) -> Option<Self> {
        let (major, rest) = text.split_once('.')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (minor, after) = rest.split_at(digits);
        let ends = after.is_empty() || after.starts_with(['.', '-', '+']);
        let all_digits = major.bytes().all(|byte| byte.is_ascii_digit());
        (ends && all_digits).then_some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

fn printable(said: &[u8]) -> String {
    let shown = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '?' };
    said.iter().take(LONGEST).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compatibility(version: &str) -> Compatibility {
        Product::heard(b"RabbitMQ", version.as_bytes()).compatibility()
    }

    #[test]
    fn what_can_be_worked_with_follows_from_the_version() {
        for known in [
            "3.10.0",
            "3.10.8",
            "3.11.28",
            "3.12.14",
            "3.13.1",
            "3.13.7",
            "4.0.5",
            "4.0.5+3.gabc",
            "4.1.0-rc.1",
            "4.2.1",
            "4.3.6",
            "4.4.1",
            "4.30",
        ] {
            assert_eq!(compatibility(known), Compatibility::Supported, "{known}");
        }
        for old in ["3.9", "3.9.29", "3.9.13-beta.1", "3.8.0", "2.8.7", "0.0"] {
            assert_eq!(compatibility(old), Compatibility::TooOld, "{old}");
        }
        for new in ["5.0", "5.0.0-alpha.1", "10.1.2"] {
            assert!(matches!(compatibility(new), Compatibility::Doubtful(why) if why.contains("newer")), "{new}");
        }
    }

    #[test]
    fn a_version_that_cannot_be_read_is_no_reason_to_refuse() {
        for garbage in [
            "",
            "4",
            "4.",
            ".3",
            "four.three",
            "4.x",
            "v4.3.6",
            "+4.3",
            "-3.9",
            "4.3_6",
            "99999999999.1",
            "3.9999999999",
        ] {
            assert!(
                matches!(compatibility(garbage), Compatibility::Doubtful(why) if why.contains("cannot be read")),
                "{garbage:?}"
            );
        }
    }

    #[test]
    fn another_product_is_doubtful_whatever_its_version() {
        for (name, version) in [("LavinMQ", "2.1.0"), ("rabbitmq", "4.3.6"), ("Qpid", "3.9.0"), ("", "3.9.0"), ("", "")]
        {
            let compatibility = Product::heard(name.as_bytes(), version.as_bytes()).compatibility();
            assert!(
                matches!(compatibility, Compatibility::Doubtful(why) if why.contains("not say that it is RabbitMQ")),
                "{name}"
            );
        }
    }

    #[test]
    fn what_it_says_of_itself_breaks_no_line() {
        let product = Product::heard(b"Rab\n\x1b[31m\xff\"MQ", "9".repeat(1000).as_bytes());
        assert_eq!(product.name(), "Rab??[31m?\"MQ");
        assert_eq!(product.version().len(), LONGEST);
        assert_eq!(Product::heard(b"RabbitMQ", b"4.3.6").to_string(), "RabbitMQ 4.3.6");
        assert_eq!(Product::default().to_string(), "a broker that does not say which it is");
    }
}
