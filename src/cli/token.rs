//! `antispoofd token`: the token that the worker would send.

use super::exit::Exit;
use super::problem::Problem;
use super::terminal::{plain, print, say};
use crate::api;
use crate::settings::{Api, ApiAuth};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Mint a token for the API and print it
///
/// The token goes to stdout, its claims and its expiry to stderr. With a ready-made token in the settings, that one is printed and
/// decoded. The token goes into the header Authorization as it is, without "Bearer".
#[derive(Args, Clone, Debug)]
pub(super) struct TokenArgs {}

pub(super) fn run(_: &TokenArgs, settings: &Api) -> Result<Exit, Problem> {
    let now = SystemTime::now();
    let (origin, token) = match (api::mint(settings, now).map_err(Problem::failed)?, &settings.auth) {
        (Some(minted), _) => ("minted from api.api_key and api.secret", minted.token),
        (None, ApiAuth::Token(token)) => ("ready-made, from api.token", token.now()),
        (None, ApiAuth::Keys { .. }) => {
            return Err(Problem::failed(anyhow::anyhow!("mint a token from key and secret")));
        }
    };
    say(origin);
    match claims(token.expose_secret()) {
        Some(claims) => describe(&claims, now),
        None => say("not a JSON Web Token: there is nothing to decode"),
    }
    print(token.expose_secret())?;
    Ok(Exit::Ok)
}

fn describe(claims: &Map<String, Value>, now: SystemTime) {
    for (name, value) in claims {
        let shown = match (name.as_str(), value) {
            ("iat" | "exp" | "nbf", value) => match value.as_u64().and_then(|at| moment(at, now)) {
                Some(moment) => moment,
                None => value.to_string(),
            },
            // Enough to tell two projects apart.
            ("apikey", Value::String(key)) => format!("{}…", key.chars().take(4).collect::<String>()),
            (_, value) => value.to_string(),
        };
        say(&plain(&format!("  {name}: {shown}")));
    }
    match claims.get("exp").and_then(Value::as_u64).map(|at| UNIX_EPOCH.checked_add(Duration::from_secs(at))) {
        Some(Some(end)) if end <= now => say("warning: this token has expired"),
        Some(_) => {}
        None => say("warning: this token does not say when it expires"),
    }
}

/// The claims of a token, unverified.
pub(super) fn claims(token: &str) -> Option<Map<String, Value>> {
    let mut segments = token.split('.');
    let (_, payload, _) = (segments.next()?, segments.next()?, segments.next()?);
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// A time of a token in both of its forms: `2026-11-23T00:30:00Z (in 30m)`. None when it is beyond what a clock can say.
pub(super) fn moment(at: u64, now: SystemTime) -> Option<String> {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(at)).filter(|_| at < 253_402_300_800)?;
    let whole = |duration: Duration| humantime::format_duration(Duration::from_secs(duration.as_secs()));
    let apart = match time.duration_since(now) {
        Ok(ahead) => format!("in {}", whole(ahead + Duration::from_millis(999))),
        Err(behind) => format!("{} ago", whole(behind.duration())),
    };
    Some(format!("{} ({apart})", humantime::format_rfc3339_seconds(time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read_from_a_token_and_from_nothing_else() {
        // {"exp":1}
        assert_eq!(claims("e30.eyJleHAiOjF9.x").unwrap()["exp"], 1);
        assert!(claims("e30.eyJleHAiOjF9").is_none());
        assert!(claims("opaque").is_none());
        assert!(claims("a.!!.c").is_none());
    }

    #[test]
    fn moments_are_said_in_both_forms() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        assert_eq!(moment(1_000_001_800, now).unwrap(), "2001-09-09T02:16:40Z (in 30m)");
        assert_eq!(moment(999_999_995, now).unwrap(), "2001-09-09T01:46:35Z (5s ago)");
        assert_eq!(moment(u64::MAX, now), None);
    }
}
