//! The token: minted from key and secret ahead of its expiry, or given.
//!
//! Header `{"alg":"HS256","typ":"JWT"}`, signed with the secret's bytes as they are; claims as the vendor's own server SDKs write them.
//! It goes into `Authorization` by itself, with no `Bearer` before it.
//!
//! Key, secret and given token may be replaced in their files: what comes of that is used from the next call on.

use crate::settings;
use crate::settings::{ApiAuth, RotatingSecret};
use http::header::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Minted anew so long before it expires, at the latest: a call has to end within its token's life.
const AHEAD: Duration = Duration::from_mins(1);

/// `iat` is set back so far: a vendor whose clock is behind ours would otherwise see a token from the future.
const BACKDATE: Duration = Duration::from_secs(5);

/// The token could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Signing failed.
    #[error("sign the API token: {0}")]
    Sign(#[from] jsonwebtoken::errors::Error),
    /// It has characters that no header may have.
    #[error("the API token has characters that cannot be sent in a header")]
    Header,
}

/// A minted token.
pub struct Minted {
    /// The three segments.
    pub token: SecretString,
    /// When it was made, as it says itself.
    pub issued_at: SystemTime,
    /// When it ends.
    pub expires_at: SystemTime,
}

#[derive(Serialize)]
struct Claims<'a> {
    apikey: &'a str,
    permissions: &'a [String],
    version: u32,
    roles: &'a [String],
    iat: u64,
    exp: u64,
}

/// Makes a token from key and secret; `None` where the settings give a ready-made one.
pub fn mint(settings: &settings::Api, now: SystemTime) -> Result<Option<Minted>, TokenError> {
    let ApiAuth::Keys { api_key, secret } = &settings.auth else {
        return Ok(None);
    };
    let issued_at = now - BACKDATE;
    let expires_at = now + settings.token_ttl;
    let api_key = api_key.now();
    let claims = Claims {
        apikey: api_key.expose_secret(),
        permissions: &settings.token_permissions,
        version: settings.token_version,
        roles: &settings.token_roles,
        iat: seconds(issued_at),
        exp: seconds(expires_at),
    };
    let key = EncodingKey::from_secret(secret.now().expose_secret().as_bytes());
    let token = encode(&Header::new(Algorithm::HS256), &claims, &key)?;
    Ok(Some(Minted { token: token.into(), issued_at, expires_at }))
}

pub(super) struct Tokens {
    settings: settings::Api,
    current: Mutex<Current>,
}

#[derive(Clone)]
struct Current {
    header: HeaderValue,
    /// When to mint the next; never for a given token.
    renew_at: Option<SystemTime>,
    /// Of the secrets that it was made from.
    generation: u64,
}

impl Tokens {
    pub(super) fn new(settings: &settings::Api, now: SystemTime) -> Result<Self, TokenError> {
        Ok(Self { current: Mutex::new(make(settings, now)?), settings: settings.clone() })
    }

    /// A token with enough life left for a call.
    pub(super) fn current(&self, now: SystemTime) -> Result<HeaderValue, TokenError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.renew_at.is_some_and(|at| now >= at) || current.generation != generation(&self.settings.auth) {
            *current = make(&self.settings, now)?;
        }
        Ok(current.header.clone())
    }

    /// The API refused this token. True if another one is now there: minted by this call, or by another since, or found in the file of a given
    /// one. The files are read, which takes as long as the disk does.
    pub(super) fn replace(&self, refused: &HeaderValue, now: SystemTime) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.header != *refused {
            return true;
        }
        for secret in secrets(&self.settings.auth).into_iter().flatten() {
            secret.reread();
        }
        if current.renew_at.is_none() && current.generation == generation(&self.settings.auth) {
            return false;
        }
        make(&self.settings, now).is_ok_and(|made| {
            *current = made;
            true
        })
    }
}

fn secrets(auth: &ApiAuth) -> [Option<&RotatingSecret>; 2] {
    match auth {
        ApiAuth::Keys { api_key, secret } => [Some(api_key), Some(secret)],
        ApiAuth::Token(token) => [Some(token), None],
    }
}

fn generation(auth: &ApiAuth) -> u64 {
    secrets(auth).into_iter().flatten().map(RotatingSecret::generation).sum()
}

fn make(settings: &settings::Api, now: SystemTime) -> Result<Current, TokenError> {
    // Before the secrets: a change in between is met at the next call.
    let generation = generation(&settings.auth);
    let (token, renew_at) = match mint(settings, now)? {
        Some(minted) => {
            // At four fifths of its life, so that short-lived tokens are not minted for every call.
            let ahead = AHEAD.min(settings.token_ttl / 5);
            (minted.token, Some(minted.expires_at - ahead))
        }
        None => match &settings.auth {
            ApiAuth::Token(token) => (token.now(), None),
            ApiAuth::Keys { .. } => return Err(TokenError::Header),
        },
    };
    let mut header = HeaderValue::from_str(token.expose_secret()).map_err(|_| TokenError::Header)?;
    header.set_sensitive(true);
    Ok(Current { header, renew_at, generation })
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Sources, load};
    use std::fs;
    use std::path::Path;

    fn settings(files: &[(&str, &Path)]) -> settings::Api {
        let set = |(key, path): &(&str, &Path)| (format!("api.{key}"), path.display().to_string());
        let mut overrides: Vec<_> = files.iter().map(set).collect();
        overrides.push(("s3.buckets".to_owned(), "kyc-uploads".to_owned()));
        let sources = Sources { overrides, ..Sources::default() };
        load(sources).unwrap_or_else(|problems| panic!("{problems}")).settings.api
    }

    fn sent(tokens: &Tokens, now: SystemTime) -> HeaderValue {
        tokens.current(now).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_given_token_is_replaced_by_what_its_file_holds_after_a_refusal() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, now) = (folder.path().join("token"), SystemTime::now());
        fs::write(&path, "a.b.c").expect("written");
        let tokens = Tokens::new(&settings(&[("token_file", &path)]), now).unwrap_or_else(|error| panic!("{error}"));
        let first = sent(&tokens, now);
        assert!(!tokens.replace(&first, now), "there is no other");
        fs::write(&path, "").expect("truncated");
        assert!(!tokens.replace(&first, now), "nor is there in this moment");
        fs::write(&path, "Bearer d.e.f").expect("written");
        assert!(!tokens.replace(&first, now), "nor is that one");
        fs::write(&path, "d.e.f\n").expect("written");
        assert!(tokens.replace(&first, now));
        assert_eq!(sent(&tokens, now), "d.e.f");
        assert!(tokens.replace(&first, now), "who was refused with the old one tries the new one");
        assert!(!tokens.replace(&sent(&tokens, now), now));
    }

    #[test]
    fn tokens_are_made_from_what_key_and_secret_are_now() {
        let folder = tempfile::tempdir().expect("a folder");
        let (key, secret, now) = (folder.path().join("key"), folder.path().join("secret"), SystemTime::now());
        fs::write(&key, "first-key").expect("written");
        fs::write(&secret, "first-secret").expect("written");
        let settings = settings(&[("api_key_file", &key), ("secret_file", &secret)]);
        let tokens = Tokens::new(&settings, now).unwrap_or_else(|error| panic!("{error}"));
        let first = sent(&tokens, now);
        // Made in the same second from the same, it is the same; that it was tried again is what counts.
        assert!(tokens.replace(&first, now));
        assert_eq!(sent(&tokens, now), first);
        fs::write(&secret, "second-secret").expect("written");
        assert!(tokens.replace(&first, now));
        let second = sent(&tokens, now);
        assert_ne!(second, first);

        // Found by the task that reads the files from time to time: the next call has it.
        fs::write(&key, "second-key").expect("written");
        let ApiAuth::Keys { api_key, .. } = &settings.auth else { panic!("key and secret") };
        assert!(api_key.reread());
        let third = sent(&tokens, now);
        assert_ne!(third, second);
        assert_eq!(sent(&tokens, now), third);
    }
}
