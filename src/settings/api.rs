//! `[api]`: the paid endpoint.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use antispoof_core::retry::InDoubt;
use schemars::JsonSchema;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Deserializer};

use super::findings::Findings;
use super::http_url::{http_url, is_loopback};
use super::invalid::{InvalidValue, quoted};
use super::secrets::file::Given;
use super::secrets::jwt;
use super::secrets::rotating::RotatingSecret;
use super::sources::Needs;
use super::statuses::Statuses;
use super::units::{DAY, HOUR, MINUTE};
use super::values::{Choice, Int, Number, Time, is_word, list, optional, text};

/// The paid endpoint: its address and credentials, how often and how long it may be called.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// The endpoint: an `http://` or `https://` URL without credentials, query or fragment.
    #[serde(deserialize_with = "url")]
    pub url: String,
    /// The credentials. Under [`Needs::Client`] nothing is read and this is an empty token, which no endpoint takes.
    #[serde(skip)]
    pub auth: ApiAuth,
    #[serde(rename = "api_key", deserialize_with = "credential")]
    key: RotatingSecret,
    #[serde(deserialize_with = "credential")]
    secret: RotatingSecret,
    #[serde(deserialize_with = "credential")]
    token: RotatingSecret,
    /// Limit for one call. More than `connect_timeout`, at most `worker.drain_timeout`.
    #[serde(with = "Time::<1, { 10 * MINUTE }>")]
    pub timeout: Duration,
    /// Limit for a connection, TLS included.
    #[serde(with = "Time::<1, MINUTE>")]
    pub connect_timeout: Duration,
    /// Verdicts with less accuracy than this are for review; 0 = off.
    #[serde(with = "Number::<0, 1>")]
    pub review_below: f64,
    /// What to do with a job whose call may have been paid for without a verdict.
    #[serde(with = "Choice::<InDoubt>")]
    pub in_doubt: InDoubt,
    /// The name of the header that identifies a call, in lower case.
    #[serde(deserialize_with = "header")]
    #[schemars(with = "String")]
    pub idempotency_header: Option<String>,
    /// So many different jobs rejected in a row close the gate; 0 = off.
    #[serde(with = "Int::<0, 1000>")]
    pub rejection_streak: usize,
    /// Calls per second; 0 = no limit.
    #[serde(with = "Number::<0, 10_000>")]
    pub rate_limit: f64,
    /// What a call costs, in any currency: for the metric.
    #[serde(with = "Number::<0, 1_000_000>")]
    pub call_price: f64,
    /// Calls a day (UTC); 0 = no limit.
    #[serde(with = "Int::<0, 1_000_000_000>")]
    pub daily_call_limit: u64,
    /// Life of a minted token.
    #[serde(with = "Time::<{ 2 * MINUTE }, { 30 * DAY }>")]
    pub token_ttl: Duration,
    /// The claim `roles` of a minted token; none of them empty.
    #[serde(deserialize_with = "claims")]
    pub token_roles: Vec<String>,
    /// The claim `permissions` of a minted token; none of them empty.
    #[serde(deserialize_with = "claims")]
    pub token_permissions: Vec<String>,
    /// The claim `version` of a minted token.
    #[serde(with = "Int::<0, { u32::MAX as i64 }>")]
    pub token_version: u32,
    /// Idle connections are closed after this.
    #[serde(with = "Time::<1, { 10 * MINUTE }>")]
    pub pool_idle_timeout: Duration,
    /// Longest `Retry-After` that is obeyed.
    #[serde(with = "Time::<1, { 24 * HOUR }>")]
    pub max_retry_after: Duration,
    /// First wait between probes while the API is at fault.
    #[serde(with = "Time::<1, MINUTE>")]
    pub probe_interval: Duration,
    /// Meaning by HTTP status: of 200 to 299 one of [`super::SUCCESS_CODES`], of 400 to 599 one of [`super::STATUS_CODES`]. Of what is not in
    /// here, 2xx mean `api_bad_response`, 4xx `api_forbidden` and 5xx `api_unavailable`.
    #[serde(with = "Statuses")]
    pub statuses: BTreeMap<u16, String>,
}

/// The credentials for the endpoint. `Debug` shows only which of the two it is.
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

/// The credentials, each with the variable of the vendor's that stands in for it where neither it nor a token is set.
pub(super) const CREDENTIALS: [(&str, Option<&str>); 3] =
    [("api.token", None), ("api.api_key", Some("VIDEOSDK_API_KEY")), ("api.secret", Some("VIDEOSDK_SECRET"))];

impl Api {
    /// Puts the credentials together.
    pub(super) fn validate(&mut self, findings: &mut Findings<'_>) {
        if http_url(&self.url).is_ok_and(|url| url.scheme() == "http" && !is_loopback(&url)) {
            let what = "is plain http to another machine: token and image travel readable";
            findings.warn(&["api.url"], what, "use https://");
        }
        if findings.needs != Needs::Client {
            self.check_credentials(findings);
        }
        self.auth = if self.token.is_empty() && !self.key.is_empty() {
            ApiAuth::Keys { api_key: self.key.clone(), secret: self.secret.clone() }
        } else {
            ApiAuth::Token(self.token.clone())
        };
    }

    /// When the ready-made token ends that is in use now, in seconds since 1970. None: tokens are minted, or this one does not say.
    pub fn token_expiry(&self) -> Option<u64> {
        match &self.auth {
            ApiAuth::Keys { .. } => None,
            ApiAuth::Token(token) => jwt::expiry(token.now().expose_secret()),
        }
    }

    fn check_credentials(&self, findings: &mut Findings<'_>) {
        const ALL: [&str; 3] = ["api.api_key", "api.secret", "api.token"];
        match (!self.token.is_empty(), !self.key.is_empty(), !self.secret.is_empty()) {
            (true, false, false) => self.check_token(findings),
            (false, true, true) => {}
            (true, key, secret) => {
                let set = [("api.api_key", key), ("api.secret", secret)].into_iter().filter(|(_, set)| *set);
                let beside: Vec<&str> = set.map(|(name, _)| name).collect();
                let what = format!("is set together with {}", beside.join(" and "));
                let remedy = "keep either the token or key and secret, and set the other to \"\"";
                findings.error(&[&["api.token"], &beside[..]].concat(), what, remedy);
            }
            (false, false, false) => findings.missing(
                &ALL,
                "is not set, nor are api.secret and api.token: there are no credentials for the API",
                "set api.api_key and api.secret (or their _file, or VIDEOSDK_API_KEY and VIDEOSDK_SECRET), or api.token",
            ),
            (false, true, false) => findings.missing(
                &["api.secret", "api.api_key", "api.token"],
                "is not set although api.api_key is",
                "set api.secret, api.secret_file or VIDEOSDK_SECRET",
            ),
            (false, false, true) => findings.missing(
                &ALL,
                "is not set although api.secret is",
                "set api.api_key, api.api_key_file or VIDEOSDK_API_KEY",
            ),
        }
    }

    /// A token that has expired can be exchanged only where it is in a file: the next worker may be started before the next token is written.
    fn check_token(&self, findings: &mut Findings<'_>) {
        let token = self.token.now();
        if token.expose_secret().split('.').count() != 3 {
            findings.warn(
                &["api.token"],
                "does not look like a token, which has three parts with dots between them",
                "put the project's key and secret in api.api_key and api.secret instead, or correct the token",
            );
        }
        let worker = findings.needs == Needs::Worker;
        let Some(now) = findings.now.filter(|_| worker) else { return };
        let Some(moment) = jwt::expired(token.expose_secret(), now) else { return };
        let remedy = "make a new one in the vendor's dashboard; or set api.api_key and api.secret instead, from which short-lived ones are made as they \
                      are needed. Is this machine's clock right?";
        if self.token.path().is_some() {
            let what = format!(
                "has expired: {moment}; the API refuses it, and no job is judged, until the file holds another"
            );
            findings.warn(&["api.token"], what, remedy);
        } else {
            findings.error(&["api.token"], format!("has expired: {moment}"), remedy);
        }
    }
}

impl Default for ApiAuth {
    fn default() -> Self {
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

fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer, |text| http_url(text).map(|_| text.to_owned()))
}

fn claims<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    list(deserializer, |text| match text {
        "" => Err(InvalidValue::new("has an empty item", "remove it; an empty list is []")),
        text => Ok(text.to_owned()),
    })
}

/// A credential that can go into a header or a claim. Empty: not set.
fn credential<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RotatingSecret, D::Error> {
    let given = Given::deserialize(deserializer)?;
    form(&given.text).map_err(|invalid| InvalidValue::error(&[invalid]))?;
    Ok(RotatingSecret::given(given, form))
}

fn form(text: &str) -> Result<(), InvalidValue> {
    if text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer ")) {
        let what = "starts with \"Bearer \", which this API does not want";
        return Err(InvalidValue::new(what, "remove the word and keep what follows it"));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(InvalidValue::new(
            "holds white space, control characters or characters beyond ASCII",
            "copy it again; it is one word without spaces or line breaks",
        ));
    }
    Ok(())
}

/// A header of our own request must not be replaced.
fn header<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
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
    optional(deserializer, |text| {
        let name = text.to_ascii_lowercase();
        let what = if TAKEN.contains(&name.as_str()) {
            format!("{} has a meaning of its own", quoted(text))
        } else if is_word(&name, 64, b"!#$%&'*+-.^_`|~") {
            return Ok(name);
        } else {
            format!("{} is no name of a header", quoted(text))
        };
        Err(InvalidValue::new(what, "write the name of a header, as \"Idempotency-Key\""))
    })
}
