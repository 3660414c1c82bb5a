//! URLs of HTTP servers, which hold no credentials.

use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use super::invalid::InvalidValue;

/// An `http://` or `https://` URL with a host and without credentials, query or fragment.
pub(super) fn http_url(text: &str) -> Result<Url, InvalidValue> {
    let form = "write it as https://host/path";
    let refuse = |what: &str, remedy: &str| Err(InvalidValue::new(what, remedy));
    let url = Url::parse(text).map_err(|error| InvalidValue::new(format!("is not a URL: {error}"), form))?;
    if !["http", "https"].contains(&url.scheme()) {
        return refuse("is neither an http:// nor an https:// URL", form);
    }
    if url.host_str().is_none_or(str::is_empty) {
        return refuse("has no host", form);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("holds a user name or password", "remove it; credentials have settings of their own");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("has a part after a ? or #", "remove it; it would not be sent as written");
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
