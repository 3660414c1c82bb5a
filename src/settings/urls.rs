//! URLs of the settings. What is wrong with one is said without repeating it: it may hold a password.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use url::{Host, Url};

use super::reader::{Found, Wrong};
use super::rotating::RotatingSecret;

/// Where a broker is and who we are there: a valid `amqp://` or `amqps://` URL. `Display` and `Debug` show it without
/// its user and password.
#[derive(Clone)]
pub struct AmqpUrl {
    whole: SecretString,
    source: RotatingSecret,
    redacted: String,
    tls: bool,
    host: String,
    port: u16,
    vhost: String,
}

impl AmqpUrl {
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let url = Url::parse(text).map_err(|error| Wrong::new(format!("is not a URL: {error}"), FORM))?;
        let tls = match url.scheme() {
            "amqp" => false,
            "amqps" => true,
            _ => return Err(Wrong::new("is not an AMQP URL", FORM)),
        };
        let host = match url.host() {
            Some(Host::Domain(host)) if !host.is_empty() => host.to_owned(),
            // The client takes the host of such a URL for absent and would connect to localhost.
            Some(Host::Ipv6(_)) => {
                return Err(Wrong::new(
                    "has an IPv6 address for a host, which the client cannot take",
                    "use a host name",
                ));
            }
            _ => return Err(Wrong::new("has no host", FORM)),
        };
        if url.fragment().is_some() {
            let remedy = "write # in a user name or password as %23";
            return Err(Wrong::new("has a part after a #, which AMQP URLs do not have", remedy));
        }
        let decodes = |part: &str| percent_decode_str(part).decode_utf8().is_ok();
        if !decodes(url.username()) || !decodes(url.password().unwrap_or_default()) {
            return Err(Wrong::new(
                "has a user name or password that is not UTF-8 when decoded",
                "correct its %xx parts",
            ));
        }
        let vhost = vhost(url.path())?;
        parameters(&url)?;

        let port = url.port().unwrap_or(if tls { 5671 } else { 5672 });
        let user = if url.username().is_empty() && url.password().is_none() { "" } else { "***@" };
        let port_part = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let redacted = format!("{}://{user}{host}{port_part}{}", url.scheme(), url.path());
        let source = RotatingSecret::fixed(text);
        Ok(Self { whole: SecretString::from(text), source, redacted, tls, host, port, vhost })
    }

    /// One that follows its file, where it came from one.
    pub(super) fn of(found: &Found) -> Result<Self, Wrong> {
        let url = Self::parse(&found.text)?;
        Ok(Self { source: RotatingSecret::found(found, |text| Self::parse(text).map(drop)), ..url })
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

    /// Whether it is `amqps://`.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host, never empty.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, where none is written the one of the scheme.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The vhost, decoded: `/` where none is written. Never empty.
    pub fn vhost(&self) -> &str {
        &self.vhost
    }
}

impl fmt::Display for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted)
    }
}

impl fmt::Debug for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AmqpUrl({})", self.redacted)
    }
}

/// The control channel, one that consumes, one that probes and one to spare; the same are enough to publish one message at a time.
const CHANNELS_MIN: u16 = 4;

/// RabbitMQ refuses less from 4.1 on, and all headers of ours fit. The client takes buffers of 64 times the size for each connection, and no
/// frame that long does anybody good.
const FRAME_SIZES: std::ops::RangeInclusive<u32> = 8192..=1024 * 1024;

const FORM: &str = "write it as amqp://user:password@host:5672/%2f, or amqps:// for TLS";

fn vhost(path: &str) -> Result<String, Wrong> {
    let Some(name) = path.strip_prefix('/') else { return Ok("/".to_owned()) };
    if name.is_empty() {
        return Err(Wrong::new(
            "ends with a slash, which names a vhost with an empty name",
            "write the default vhost / as %2f, or leave the slash out",
        ));
    }
    if name.contains('/') {
        return Err(Wrong::new("has a vhost with a slash in it", "write a slash that belongs to the name as %2f"));
    }
    match percent_decode_str(name).decode_utf8() {
        Ok(name) => Ok(name.into_owned()),
        Err(_) => Err(Wrong::new("has a vhost that is not UTF-8 when decoded", "correct its %xx parts")),
    }
}

fn parameters(url: &Url) -> Result<(), Wrong> {
    const KNOWN: &str = "the parameters are auth_mechanism, channel_max and frame_max";
    for (name, value) in url.query_pairs() {
        let valid = match &*name {
            "heartbeat" => {
                let what = "sets the heartbeat, which is a setting of its own";
                return Err(Wrong::new(what, "remove the parameter and set amqp.heartbeat"));
            }
            "connection_timeout" => {
                let what = "sets the connection timeout, which is a setting of its own";
                return Err(Wrong::new(what, "remove the parameter and set amqp.connect_timeout"));
            }
            "auth_mechanism" => {
                ["amqplain", "anonymous", "external", "plain", "rabbit-cr-demo"].contains(&&*value.to_lowercase())
            }
            "channel_max" => {
                let known = value.parse::<u16>();
                if known.as_ref().is_ok_and(|&channels| channels != 0 && channels < CHANNELS_MIN) {
                    let what =
                        format!("has a channel_max below {CHANNELS_MIN}, with which no message could be settled");
                    return Err(Wrong::new(what, "remove the parameter, or allow two more than worker.concurrency"));
                }
                known.is_ok()
            }
            "frame_max" => {
                let known = value.parse::<u32>();
                if known.as_ref().is_ok_and(|bytes| !FRAME_SIZES.contains(bytes)) {
                    let (least, most) = (FRAME_SIZES.start(), FRAME_SIZES.end());
                    let what = format!("has a frame_max that is not between {least} and {most} bytes");
                    return Err(Wrong::new(what, "remove the parameter: the broker's own default, 131072, is right"));
                }
                known.is_ok()
            }
            _ => return Err(Wrong::new("has an unknown parameter after the ?", KNOWN)),
        };
        if !valid {
            return Err(Wrong::new(format!("has a parameter {name} that cannot be read"), KNOWN));
        }
    }
    Ok(())
}

/// An `http://` or `https://` URL with a host and without credentials, query or fragment.
pub(super) fn http_url(text: &str) -> Result<Url, Wrong> {
    let form = "write it as https://host/path";
    let url = Url::parse(text).map_err(|error| Wrong::new(format!("is not a URL: {error}"), form))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(Wrong::new("is neither an http:// nor an https:// URL", form));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(Wrong::new("has no host", form));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Wrong::new("holds a user name or password", "remove it; credentials have settings of their own"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Wrong::new("has a part after a ? or #", "remove it; it would not be sent as written"));
    }
    Ok(url)
}

/// Whether what is sent to this host stays on this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => Ipv4Addr::is_loopback(&address),
        Some(Host::Ipv6(address)) => Ipv6Addr::is_loopback(&address),
        None => false,
    }
}

/// Where a Redis server is and who we are there: a valid `redis://` or `rediss://` URL. `Display` and `Debug` show it without its user and
/// password.
#[derive(Clone)]
pub struct RedisUrl {
    whole: SecretString,
    source: RotatingSecret,
    redacted: String,
}

impl RedisUrl {
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        const FORM: &str = "write it as redis://user:password@host:6379/0, or rediss:// for TLS";
        let url = Url::parse(text).map_err(|error| Wrong::new(format!("is not a URL: {error}"), FORM))?;
        if !["redis", "rediss"].contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
            return Err(Wrong::new("is not a redis:// or rediss:// URL with a host", FORM));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(Wrong::new(
                "has a part after a ? or #",
                "remove it; write # in a password as %23 and ? as %3F",
            ));
        }
        let decodes = |part: &str| percent_decode_str(part).decode_utf8().is_ok();
        if !decodes(url.username()) || !decodes(url.password().unwrap_or_default()) {
            return Err(Wrong::new(
                "has a user name or password that is not UTF-8 when decoded",
                "correct its %xx parts",
            ));
        }
        let database = url.path().trim_start_matches('/');
        if !database.is_empty() && database.parse::<u32>().is_err() {
            return Err(Wrong::new("has a database that is not a number", FORM));
        }
        let user = if url.username().is_empty() && url.password().is_none() { "" } else { "***@" };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let host = url.host_str().unwrap_or_default();
        let redacted = format!("{}://{user}{host}{port}{}", url.scheme(), url.path());
        Ok(Self { whole: SecretString::from(text), source: RotatingSecret::fixed(text), redacted })
    }

    /// One that follows its file, where it came from one.
    pub(super) fn of(found: &Found) -> Result<Self, Wrong> {
        let url = Self::parse(&found.text)?;
        Ok(Self { source: RotatingSecret::found(found, |text| Self::parse(text).map(drop)), ..url })
    }

    /// In place of one that is missing, which has been noted.
    pub(super) fn nowhere() -> Self {
        Self { whole: SecretString::from(""), source: RotatingSecret::fixed(""), redacted: String::new() }
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

impl PartialEq for RedisUrl {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for RedisUrl {}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({})", self.redacted)
    }
}
