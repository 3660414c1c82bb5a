//! The token for the API: as far as it can be told without the API.

use super::report::Line;
use crate::api;
use crate::settings::jwt::{claims, moment};
use crate::settings::{ApiAuth, Loaded};
use secrecy::ExposeSecret as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const TOKEN: &str = "token";

/// The worker does not renew a ready-made token; that it ends so soon should be known.
const SOON: Duration = Duration::from_hours(7 * 24);

pub(super) fn probe(loaded: &Loaded) -> Line {
    let now = SystemTime::now();
    match &loaded.settings.api.auth {
        ApiAuth::Keys { .. } => match api::mint(&loaded.settings.api, now) {
            Ok(_) => {
                Line::ok(TOKEN, "can be made from api.api_key and api.secret; only a call tells whether they are right")
            }
            Err(error) => Line::wrong(TOKEN, error.to_string(), "correct api.api_key and api.secret"),
        },
        ApiAuth::Token(token) => {
            let origin = loaded.origins.get("api.token").map(ToString::to_string).unwrap_or_default();
            ready_made(token.now().expose_secret(), &origin, now)
        }
    }
}

fn ready_made(token: &str, origin: &str, now: SystemTime) -> Line {
    const REMEDY: &str = "make a new one in the vendor's dashboard; or set api.api_key and api.secret instead, from which short-lived ones are \
         made as they are needed";
    let Some(claims) = claims(token) else {
        return Line::note(TOKEN, format!("api.token ({origin}) is no JSON Web Token: when it ends is not known"));
    };
    let at = |claim: &str| {
        let seconds = claims.get(claim)?.as_u64()?;
        Some((UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?, moment(seconds, now)?))
    };
    match (at("nbf"), at("exp")) {
        (_, Some((end, said))) if end <= now => {
            Line::wrong(TOKEN, format!("api.token ({origin}) has expired: {said}"), REMEDY)
        }
        (Some((start, said)), _) if start > now => Line::wrong(
            TOKEN,
            format!("api.token ({origin}) is not valid yet: {said}"),
            "is this machine's clock right? else wait, or make a new one",
        ),
        (_, Some((end, said))) if end <= now + SOON => {
            Line::note(TOKEN, format!("api.token ({origin}) ends soon: {said}")).help(REMEDY)
        }
        (_, Some((_, said))) => Line::ok(TOKEN, format!("api.token ({origin}) ends {said}")),
        (_, None) => Line::ok(TOKEN, format!("api.token ({origin}) does not say when it ends")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn said(payload: &str) -> String {
        let token = format!("e30.{}.AAAA", URL_SAFE_NO_PAD.encode(payload));
        ready_made(&token, "here", UNIX_EPOCH + Duration::from_secs(1_000_000_000)).to_string()
    }

    #[test]
    fn a_ready_made_token_is_held_against_the_clock() {
        let expired = said(r#"{"exp":999999995}"#);
        assert!(
            expired.starts_with("failed ") && expired.contains("has expired: 2001-09-09T01:46:35Z (5s ago)"),
            "{expired}"
        );
        assert!(said(r#"{"exp":1000000060}"#).starts_with("note "));
        assert!(said(r#"{"exp":1100000000}"#).starts_with("ok "));
        assert!(said(r#"{"nbf":1000000060,"exp":1100000000}"#).contains("not valid yet"));
        assert!(said("{}").contains("does not say when it ends"));
        assert!(ready_made("opaque", "here", UNIX_EPOCH).to_string().starts_with("note "));
    }
}
