//! URLs that hold credentials. What is wrong with one is said without repeating it: it may hold a password.

use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};
use url::{Host, Url};

use super::file::Given;
use super::rotating::RotatingSecret;
use crate::settings::inline_schema::inline_schema;
use crate::settings::invalid::InvalidValue;

/// The address of a broker with the credentials for it: a valid `amqp://` or `amqps://` URL.
pub type AmqpUrl = SecretUrl<Amqp>;

/// The address of a Redis server with the credentials for it: a valid `redis://` or `rediss://` URL.
pub type RedisUrl = SecretUrl<Redis>;

/// A valid URL of a protocol. `Display` and `Debug` show it without its user, password and parameters.
#[derive(Clone)]
pub struct SecretUrl<P> {
    whole: SecretString,
    source: RotatingSecret,
    /// Without user, password and parameters.
    plain: Url,
    has_user: bool,
    /// What the path names, decoded; `/` where there is none.
    name: String,
    protocol: PhantomData<P>,
}

/// What the URLs of a protocol are like.
pub trait Protocol {
    /// The name of the type, for `Debug`.
    const NAME: &str;
    /// How to write one.
    const FORM: &str;

    /// What is wrong with a URL, and what would be right.
    fn check(url: &Url) -> Result<(), (String, &'static str)>;
}

/// AMQP 0-9-1.
#[derive(Clone)]
pub enum Amqp {}

/// The protocol of Redis.
#[derive(Clone)]
pub enum Redis {}

impl<P: Protocol + Clone> SecretUrl<P> {
    pub(in crate::settings) fn parse(text: &str) -> Result<Self, InvalidValue> {
        let mut plain =
            Url::parse(text).map_err(|error| InvalidValue::new(format!("is not a URL: {error}"), P::FORM))?;
        P::check(&plain).map_err(|(what, remedy)| InvalidValue::new(what, remedy))?;
        let decodes = |part: &str| percent_decode_str(part).decode_utf8().is_ok();
        if !decodes(plain.username()) || !decodes(plain.password().unwrap_or_default()) {
            let what = "has a user name or password that is not UTF-8 when decoded";
            return Err(InvalidValue::new(what, "correct its %xx parts"));
        }
        let has_user = !plain.username().is_empty() || plain.password().is_some();
        plain.set_query(None);
        if plain.set_username("").and(plain.set_password(None)).is_err() {
            return Err(InvalidValue::new("has no host", P::FORM));
        }
        let name = plain.path().strip_prefix('/').unwrap_or("%2f");
        let name = percent_decode_str(name).decode_utf8_lossy().into_owned();
        let (whole, source) = (SecretString::from(text), RotatingSecret::fixed(text));
        Ok(Self { whole, source, plain, has_user, name, protocol: PhantomData })
    }

    /// One that follows its file, where it came from one. None: it is not set.
    pub(in crate::settings) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        let given = Given::deserialize(deserializer)?;
        if given.text.is_empty() {
            return Ok(None);
        }
        let url = Self::parse(&given.text).map_err(|invalid| InvalidValue::error(&[invalid]))?;
        Ok(Some(Self { source: RotatingSecret::given(given, |text| Self::parse(text).map(drop)), ..url }))
    }

    /// The URL as its file last held it.
    #[must_use]
    pub fn current(&self) -> Self {
        // What is no URL is not taken from a file.
        Self::parse(self.source.now().expose_secret())
            .map_or_else(|_| self.clone(), |url| Self { source: self.source.clone(), ..url })
    }

    /// Where it comes from.
    pub fn secret(&self) -> &RotatingSecret {
        &self.source
    }

    /// The URL as it was set, with its credentials.
    pub fn expose(&self) -> &str {
        self.whole.expose_secret()
    }
}

impl AmqpUrl {
    /// Whether it is `amqps://`.
    pub fn is_tls(&self) -> bool {
        self.plain.scheme() == "amqps"
    }

    /// The host, never empty.
    pub fn host(&self) -> &str {
        self.plain.host_str().unwrap_or_default()
    }

    /// The port, where none is written the one of the scheme.
    pub fn port(&self) -> u16 {
        self.plain.port().unwrap_or(if self.is_tls() { 5671 } else { 5672 })
    }

    /// The vhost, decoded: `/` where none is written. Never empty.
    pub fn vhost(&self) -> &str {
        &self.name
    }
}

impl<'de> Deserialize<'de> for AmqpUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let missing = || InvalidValue::new("is empty", "set amqp.url, amqp.url_file or ANTISPOOFD__AMQP__URL");
        Self::optional(deserializer)?.ok_or_else(|| InvalidValue::error(&[missing()]))
    }
}

/// A secret that not every value of is one: a URL may hold no credentials.
impl<P> JsonSchema for SecretUrl<P> {
    inline_schema!({ "type": "string", "writeOnly": true, "$comment": "URL" });
}

impl<P> PartialEq for SecretUrl<P> {
    fn eq(&self, other: &Self) -> bool {
        self.whole.expose_secret() == other.whole.expose_secret()
    }
}

impl<P> Eq for SecretUrl<P> {}

impl<P> fmt::Display for SecretUrl<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, path) = (self.plain.scheme(), self.plain.host_str().unwrap_or_default(), self.plain.path());
        let user = if self.has_user { "***@" } else { "" };
        let port = self.plain.port().map(|port| format!(":{port}")).unwrap_or_default();
        write!(f, "{scheme}://{user}{host}{port}{path}")
    }
}

impl<P: Protocol> fmt::Debug for SecretUrl<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({self})", P::NAME)
    }
}

/// The control channel, one that consumes, one that probes and one to spare; the same are enough to publish one message at a time.
const CHANNELS_MIN: u16 = 4;

/// RabbitMQ refuses less from 4.1 on, and all headers of ours fit. The client takes buffers of 64 times the size for each connection, so
/// that a longer frame costs memory and brings nothing.
const FRAME_SIZES: RangeInclusive<u32> = 8192..=1024 * 1024;

const PERCENT: &str = "correct its %xx parts";

impl Protocol for Amqp {
    const NAME: &str = "AmqpUrl";
    const FORM: &str = "write it as amqp://user:password@host:5672/%2f, or amqps:// for TLS";

    fn check(url: &Url) -> Result<(), (String, &'static str)> {
        let refuse = |what: &str, remedy| Err((what.to_owned(), remedy));
        if !["amqp", "amqps"].contains(&url.scheme()) {
            return refuse("is not an AMQP URL", Self::FORM);
        }
        match url.host() {
            Some(Host::Domain(host)) if !host.is_empty() => {}
            // The client takes the host of such a URL for absent and would connect to localhost.
            Some(Host::Ipv6(_)) => {
                return refuse("has an IPv6 address for a host, which the client cannot take", "use a host name");
            }
            _ => return refuse("has no host", Self::FORM),
        }
        if url.fragment().is_some() {
            let remedy = "write # in a user name or password as %23";
            return refuse("has a part after a #, which AMQP URLs do not have", remedy);
        }
        match url.path().strip_prefix('/') {
            Some("") => {
                let remedy = "write the default vhost / as %2f, or leave the slash out";
                return refuse("ends with a slash, which names a vhost with an empty name", remedy);
            }
            Some(name) if name.contains('/') => {
                return refuse("has a vhost with a slash in it", "write a slash that belongs to the name as %2f");
            }
            Some(name) if percent_decode_str(name).decode_utf8().is_err() => {
                return refuse("has a vhost that is not UTF-8 when decoded", PERCENT);
            }
            Some(_) | None => {}
        }
        url.query_pairs().try_for_each(|(name, value)| parameter(&name, &value))
    }
}

/// One parameter of an AMQP URL.
fn parameter(name: &str, value: &str) -> Result<(), (String, &'static str)> {
    const KNOWN: &str = "the parameters are auth_mechanism, channel_max and frame_max";
    let readable = match name {
        "heartbeat" => {
            let what = "sets the heartbeat, which is a setting of its own";
            return Err((what.to_owned(), "remove the parameter and set amqp.heartbeat"));
        }
        "connection_timeout" => {
            let what = "sets the connection timeout, which is a setting of its own";
            return Err((what.to_owned(), "remove the parameter and set amqp.connect_timeout"));
        }
        "auth_mechanism" => {
            ["amqplain", "anonymous", "external", "plain", "rabbit-cr-demo"].contains(&&*value.to_lowercase())
        }
        "channel_max" => match value.parse::<u16>() {
            Ok(channels) if channels != 0 && channels < CHANNELS_MIN => {
                let what = format!("has a channel_max below {CHANNELS_MIN}, with which no message could be settled");
                return Err((what, "remove the parameter, or allow two more than worker.concurrency"));
            }
            known => known.is_ok(),
        },
        "frame_max" => match value.parse::<u32>() {
            Ok(bytes) if !FRAME_SIZES.contains(&bytes) => {
                let (least, most) = (FRAME_SIZES.start(), FRAME_SIZES.end());
                let what = format!("has a frame_max that is not between {least} and {most} bytes");
                return Err((what, "remove the parameter: a worker proposes frames that suit it"));
            }
            known => known.is_ok(),
        },
        _ => return Err(("has an unknown parameter after the ?".to_owned(), KNOWN)),
    };
    if readable { Ok(()) } else { Err((format!("has a parameter {name} that cannot be read"), KNOWN)) }
}

impl Protocol for Redis {
    const NAME: &str = "RedisUrl";
    const FORM: &str = "write it as redis://user:password@host:6379/0, or rediss:// for TLS";

    fn check(url: &Url) -> Result<(), (String, &'static str)> {
        if !["redis", "rediss"].contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
            return Err(("is not a redis:// or rediss:// URL with a host".to_owned(), Self::FORM));
        }
        if url.query().is_some() || url.fragment().is_some() {
            let remedy = "remove it; write # in a password as %23 and ? as %3F";
            return Err(("has a part after a ? or #".to_owned(), remedy));
        }
        let database = url.path().trim_start_matches('/');
        if !database.is_empty() && database.parse::<u32>().is_err() {
            return Err(("has a database that is not a number".to_owned(), Self::FORM));
        }
        Ok(())
    }
}
