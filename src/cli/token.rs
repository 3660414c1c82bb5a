//! `antispoofd token`: the token that the worker would send.

use super::exit::Exit;
use super::problem::Problem;
use super::stdout::print;
use super::terminal::{plain, say};
use crate::api;
use crate::settings::jwt::{claims, moment};
use crate::settings::{Api, ApiAuth};
use clap::Args;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Mint a token for the API and print it
///
/// The token goes to stdout, its claims and its expiry to stderr. With a ready-made token in the settings, that one is printed and
/// decoded. The token goes into the header Authorization as it is, without "Bearer".
#[derive(Args, Clone, Debug)]
#[command(after_help = super::examples::TOKEN)]
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
