//! The `Authorization` header, checked as a strict vendor would.

use std::time::SystemTime;

use http::{HeaderMap, StatusCode, header};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use super::refusal::Refusal;

/// An `exp` above this is not in seconds: as seconds it would be the year 5138, as milliseconds it is after 1973.
const FIRST_MILLISECONDS: u64 = 100_000_000_000;

/// Who may call.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Every call; the header is not looked at.
    Open,
    /// Calls that send exactly this.
    Token(SecretString),
    /// Calls that send a token that was made with this key and secret, has not expired, and is for server-side use.
    Keys {
        /// The public key, expected in the claim `apikey`.
        api_key: String,
        /// The secret; its bytes as they are, not base64-decoded, are the HMAC key.
        secret: SecretString,
    },
}

/// [`Auth`], ready to use.
pub(super) enum Verifier {
    Open,
    Token(SecretString),
    Keys(Box<Keys>),
}

pub(super) struct Keys {
    api_key: String,
    key: DecodingKey,
    validation: Validation,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    apikey: Value,
    #[serde(default)]
    version: Value,
    #[serde(default)]
    roles: Value,
    #[serde(default)]
    exp: Value,
}

// === impl Verifier ===

impl Verifier {
    pub(super) fn new(auth: &Auth) -> Self {
        match auth {
            Auth::Open => Self::Open,
            Auth::Token(token) => Self::Token(token.clone()),
            Auth::Keys { api_key, secret } => {
                let mut validation = Validation::new(Algorithm::HS256);
                // The claims are checked below, without leeway and with a reason for each.
                validation.required_spec_claims.clear();
                validation.validate_exp = false;
                validation.validate_aud = false;
                let key = DecodingKey::from_secret(secret.expose_secret().as_bytes());
                Self::Keys(Box::new(Keys { api_key: api_key.clone(), key, validation }))
            }
        }
    }

    pub(super) fn check(&self, headers: &HeaderMap, now: SystemTime) -> Result<(), Refusal> {
        if matches!(self, Self::Open) {
            return Ok(());
        }
        let token = raw_token(headers)?;
        match self {
            Self::Open => Ok(()),
            Self::Token(expected) if expected.expose_secret() == token => Ok(()),
            Self::Token(_) => Err(unauthorized("Token is invalid: it is not the one that was configured")),
            Self::Keys(keys) => check_claims(&decode(token, keys)?, &keys.api_key, now),
        }
    }
}

fn raw_token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(|| unauthorized("Token is missing: there is no Authorization header"))?;
    if values.next().is_some() {
        return Err(unauthorized("Token is invalid: there are several Authorization headers"));
    }
    let token = value.to_str().map_err(|_| unauthorized("Token is invalid: it is not ASCII text"))?;
    if token.is_empty() {
        return Err(unauthorized("Token is missing: the Authorization header is empty"));
    }
    let scheme = token.split_once(' ').map(|(scheme, _)| scheme);
    match scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("basic") => {
            Err(unauthorized("Token is invalid: it must stand by itself, without `Bearer ` or `Basic ` before it"))
        }
        Some(_) => Err(unauthorized("Token is invalid: it must stand by itself")),
        None => Ok(token),
    }
}

fn decode(token: &str, keys: &Keys) -> Result<Claims, Refusal> {
    use jsonwebtoken::errors::ErrorKind;
    jsonwebtoken::decode(token, &keys.key, &keys.validation).map(|data| data.claims).map_err(|error| {
        unauthorized(match error.kind() {
            ErrorKind::InvalidSignature => "Token is invalid: its signature was not made with the secret",
            ErrorKind::InvalidAlgorithm => "Token is invalid: its algorithm is not HS256",
            _ => "Token is invalid: it is not a JWT signed with HS256",
        })
    })
}

fn check_claims(claims: &Claims, api_key: &str, now: SystemTime) -> Result<(), Refusal> {
    if claims.apikey.as_str() != Some(api_key) {
        return Err(unauthorized("Token is invalid: its apikey is missing or not the configured key"));
    }
    let exp = claims
        .exp
        .as_u64()
        .ok_or_else(|| unauthorized("Token is invalid: its exp is not a whole number of seconds"))?;
    if exp >= FIRST_MILLISECONDS {
        return Err(unauthorized("Token is invalid: its exp is in milliseconds, not in seconds"));
    }
    let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if exp <= now {
        return Err(unauthorized("Token is expired"));
    }
    if claims.version.as_u64() != Some(2) {
        return Err(forbidden("Token is not for this API: its version is not the number 2"));
    }
    let roles = claims.roles.as_array().map_or(&[][..], Vec::as_slice);
    let has = |name: &str| roles.iter().filter_map(Value::as_str).any(|role| role.eq_ignore_ascii_case(name));
    if has("rtc") {
        return Err(forbidden("Token is not for this API: the role rtc is for joining rooms"));
    }
    if !has("crawler") {
        return Err(forbidden("Token is not for this API: the role crawler is missing"));
    }
    Ok(())
}

fn unauthorized(message: &'static str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, message)
}

fn forbidden(message: &'static str) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, message)
}
