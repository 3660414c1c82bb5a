//! `[api]`: the paid endpoint.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::Needs;
use super::jwt;
use super::reader::{Found, Reader, Wrong, quoted};
use super::rotating::RotatingSecret;
use super::urls::{http_url, is_loopback};

/// The paid endpoint: where it is, who we are there, how often and how long it may be called.
#[derive(Clone, Debug)]
pub struct Api {
    /// The endpoint: an `http://` or `https://` URL without credentials, query or fragment.
    pub url: String,
    /// Who we are. Under [`Needs::Client`] nothing is read and this is an empty token, which no endpoint takes.
    pub auth: ApiAuth,
    /// Limit for one call. At most 10 min, more than `connect_timeout`, at most `worker.drain_timeout`.
    pub timeout: Duration,
    /// Limit for a connection, TLS included. At most 1 min.
    pub connect_timeout: Duration,
    /// Verdicts with less accuracy than this are for review. 0 to 1; 0 = off.
    pub review_below: f64,
    /// What to do with a job whose call may have been paid for without a verdict.
    pub in_doubt: InDoubtPolicy,
    /// The name of the header that identifies a call, in lower case.
    pub idempotency_header: Option<String>,
    /// So many different jobs rejected in a row close the gate. 0 to 1000; 0 = off.
    pub rejection_streak: usize,
    /// Calls per second. 0 to 10000; 0 = no limit.
    pub rate_limit: f64,
    /// Life of a minted token. 2 min to 30 d.
    pub token_ttl: Duration,
    /// The claim `roles` of a minted token; none of them empty.
    pub token_roles: Vec<String>,
    /// The claim `permissions` of a minted token; none of them empty.
    pub token_permissions: Vec<String>,
    /// The claim `version` of a minted token.
    pub token_version: u32,
    /// Idle connections are closed after this. At most 10 min.
    pub pool_idle_timeout: Duration,
    /// Longest `Retry-After` that is obeyed. At most 24 h.
    pub max_retry_after: Duration,
    /// First wait between probes while the API is at fault. At most 1 min.
    pub probe_interval: Duration,
    /// Meaning by HTTP status: of 200 to 299 one of [`SUCCESS_CODES`], of 400 to 599 one of [`STATUS_CODES`]. Of what is not in here, 2xx mean
    /// `api_bad_response`, 4xx `api_forbidden` and 5xx `api_unavailable`.
    pub statuses: BTreeMap<u16, String>,
}

/// Who we are at the endpoint. `Debug` shows only which of the two it is.
#[derive(Clone)]
pub enum ApiAuth {
    /// Tokens are minted from the project's key and secret.
    Keys {
        /// The project's public key, as the claim `apikey`. Not empty.
        api_key: RotatingSecret,
        /// Signs the tokens. Not empty.
        secret: RotatingSecret,
    },
    /// A ready-made token: printable ASCII without spaces. Empty only under [`Needs::Client`].
    Token(RotatingSecret),
}

/// What to do with a job whose call was sent whole and not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InDoubtPolicy {
    /// Call again; it may be paid for twice.
    Retry,
    /// Leave it to a person.
    Park,
}

/// What a status of success can mean. A code that is tried again at once is not among them: the call has been paid for.
pub const SUCCESS_CODES: [&str; 2] = ["verdict", "api_bad_response"];

/// The failure codes an HTTP status of failure can mean.
pub const STATUS_CODES: [&str; 5] =
    ["api_rejected", "api_unauthorized", "api_forbidden", "api_rate_limited", "api_unavailable"];

// === impl Api ===

impl Api {
    pub(super) fn read(r: &mut Reader<'_>, needs: Needs) -> Self {
        let least = Duration::from_millis(1);
        let up_to = |longest: Duration| -> RangeInclusive<Duration> { least..=longest };
        let api = Self {
            url: r.text("api.url", |text| http_url(text).map(|_| text.to_owned())),
            auth: ApiAuth::read(r, needs),
            timeout: r.duration("api.timeout", up_to(Duration::from_mins(10))),
            connect_timeout: r.duration("api.connect_timeout", up_to(Duration::from_mins(1))),
            review_below: r.number("api.review_below", 0.0..=1.0),
            in_doubt: r.choice("api.in_doubt", &[("retry", InDoubtPolicy::Retry), ("park", InDoubtPolicy::Park)]),
            idempotency_header: r.text("api.idempotency_header", header),
            rejection_streak: r.int("api.rejection_streak", 0..=1000),
            rate_limit: r.number("api.rate_limit", 0.0..=10_000.0),
            token_ttl: r.duration("api.token_ttl", Duration::from_mins(2)..=Duration::from_hours(30 * 24)),
            token_roles: r.list("api.token_roles", claim),
            token_permissions: r.list("api.token_permissions", claim),
            token_version: r.int("api.token_version", 0..=i64::from(u32::MAX)),
            pool_idle_timeout: r.duration("api.pool_idle_timeout", up_to(Duration::from_mins(10))),
            max_retry_after: r.duration("api.max_retry_after", up_to(Duration::from_hours(24))),
            probe_interval: r.duration("api.probe_interval", up_to(Duration::from_mins(1))),
            statuses: r.statuses(status_code),
        };
        if r.sound(&["api.url"]) && http_url(&api.url).is_ok_and(|url| url.scheme() == "http" && !is_loopback(&url)) {
            r.warn("api.url", "is plain http to another machine: token and image travel readable", "use https://");
        }
        api
    }
}

fn claim(text: &str) -> Result<String, Wrong> {
    if text.is_empty() {
        return Err(Wrong::new("has an empty item", "remove it; an empty list is []"));
    }
    Ok(text.to_owned())
}

/// A header of our own request must not be replaced.
fn header(text: &str) -> Result<Option<String>, Wrong> {
    const TAKEN: [&str; 9] = [
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "te",
        "transfer-encoding",
        "upgrade",
    ];
    let remedy = "write the name of a header, as \"Idempotency-Key\"";
    let name = text.to_ascii_lowercase();
    if name.is_empty() {
        return Ok(None);
    }
    if TAKEN.contains(&name.as_str()) {
        return Err(Wrong::new(format!("{} has a meaning of its own", quoted(text)), remedy));
    }
    let fits = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    if fits { Ok(Some(name)) } else { Err(Wrong::new(format!("{} is no name of a header", quoted(text)), remedy)) }
}

fn status_code(status: u16, text: &str) -> Result<String, Wrong> {
    let codes = if status < 300 { &SUCCESS_CODES[..] } else { &STATUS_CODES[..] };
    if codes.contains(&text) {
        return Ok(text.to_owned());
    }
    let what = format!("{} is nothing that this status can mean", quoted(text));
    Err(Wrong::new(what, format!("write one of {}", codes.join(", "))))
}

// === impl ApiAuth ===

impl ApiAuth {
    fn read(r: &mut Reader<'_>, needs: Needs) -> Self {
        if needs == Needs::Client {
            return Self::Token(RotatingSecret::fixed(""));
        }
        let token = credential(r, "api.token", None);
        // A token makes the vendor's own variables mean nothing: they may be there for another program.
        let fallback = |name| if token.is_none() { Some(name) } else { None };
        let (for_key, for_secret) = (fallback("VIDEOSDK_API_KEY"), fallback("VIDEOSDK_SECRET"));
        let api_key = credential(r, "api.api_key", for_key);
        let secret = credential(r, "api.secret", for_secret);

        match (token, api_key, secret) {
            (Some(token), None, None) => {
                if token.text.split('.').count() != 3 {
                    r.warn(
                        "api.token",
                        "does not look like a token, which has three parts with dots between them",
                        "put the project's key and secret in api.api_key and api.secret instead, or correct the token",
                    );
                }
                let given = RotatingSecret::found(&token, form);
                if needs == Needs::Worker {
                    hold_against_the_clock(r, &token, given.path().is_some());
                }
                return Self::Token(given);
            }
            (None, Some(key), Some(secret)) => {
                return Self::Keys {
                    api_key: RotatingSecret::found(&key, form),
                    secret: RotatingSecret::found(&secret, form),
                };
            }
            (Some(_), key, secret) => {
                let beside: Vec<&str> = [("api.api_key", key.is_some()), ("api.secret", secret.is_some())]
                    .into_iter()
                    .filter_map(|(name, set)| set.then_some(name))
                    .collect();
                let what = format!("is set together with {}", beside.join(" and "));
                r.error_with("api.token", &beside, what, "keep either the token or key and secret, and set the other to \"\"");
            }
            // A credential that could not be read is not missing: its own problem says enough.
            _ if !r.sound(&["api.token", "api.api_key", "api.secret"]) => {}
            (None, None, None) => r.required(
                "api.api_key",
                "is not set, nor are api.secret and api.token: there are no credentials for the API",
                "set api.api_key and api.secret (or their _file, or VIDEOSDK_API_KEY and VIDEOSDK_SECRET), or api.token",
            ),
            (None, Some(_), None) => r.required(
                "api.secret",
                "is not set although api.api_key is",
                "set api.secret, api.secret_file or VIDEOSDK_SECRET",
            ),
            (None, None, Some(_)) => r.required(
                "api.api_key",
                "is not set although api.secret is",
                "set api.api_key, api.api_key_file or VIDEOSDK_API_KEY",
            ),
        }
        Self::Token(RotatingSecret::fixed(""))
    }
}

impl fmt::Debug for ApiAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys { .. } => "Keys(***)",
            Self::Token(_) => "Token(***)",
        })
    }
}

/// A token that has expired can be exchanged only where it is in a file: the next worker may be started before the next token is written.
fn hold_against_the_clock(r: &mut Reader<'_>, token: &Found, rotating: bool) {
    let Some(moment) = r.now.and_then(|now| jwt::expired(&token.text, now)) else { return };
    let remedy = "make a new one in the vendor's dashboard; or set api.api_key and api.secret instead, from which short-lived ones are made as they \
                  are needed. Is this machine's clock right?";
    if rotating {
        let what =
            format!("has expired: {moment}; the API refuses it, and no job is judged, until the file holds another");
        r.warn("api.token", what, remedy);
    } else {
        r.blame(token, Wrong::new(format!("has expired: {moment}"), remedy));
    }
}

/// A credential that can go into a header or a claim. None: not set, or wrong, which is noted.
fn credential(r: &mut Reader<'_>, key: &str, fallback: Option<&str>) -> Option<Found> {
    let found = r.secret(key, fallback)?;
    match form(&found.text) {
        Ok(()) => Some(found),
        Err(wrong) => {
            r.blame(&found, wrong);
            None
        }
    }
}

fn form(text: &str) -> Result<(), Wrong> {
    if text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer ")) {
        let what = "starts with \"Bearer \", which this API does not want";
        return Err(Wrong::new(what, "remove the word and keep what follows it"));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Wrong::new(
            "holds white space, control characters or characters beyond ASCII",
            "copy it again; it is one word without spaces or line breaks",
        ));
    }
    Ok(())
}
