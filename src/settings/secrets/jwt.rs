//! What a ready-made token says of itself. Nothing of it is verified: whether it is good is for the API to say.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// The claims of a token. None: it is no JSON Web Token.
pub fn claims(token: &str) -> Option<Map<String, Value>> {
    let mut segments = token.split('.');
    let (_, payload, _) = (segments.next()?, segments.next()?, segments.next()?);
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// When a token ends, in seconds since 1970. None: it does not say, or is no JSON Web Token.
pub fn expiry(token: &str) -> Option<u64> {
    claims(token)?.get("exp")?.as_u64()
}

/// When a token ended, in both forms, if it has.
pub(crate) fn expired(token: &str, now: SystemTime) -> Option<String> {
    let at = expiry(token)?;
    let end = UNIX_EPOCH.checked_add(Duration::from_secs(at))?;
    if end <= now { moment(at, now) } else { None }
}

/// A time of a token (seconds since 1970) in both of its forms: `2026-11-23T00:30:00Z (in 30m)`. None when it is beyond what a clock can say.
pub fn moment(at: u64, now: SystemTime) -> Option<String> {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(at)).filter(|_| at < 253_402_300_800)?;
    let whole = |duration: Duration| humantime::format_duration(Duration::from_secs(duration.as_secs()));
    let apart = match time.duration_since(now) {
        Ok(ahead) => format!("in {}", whole(ahead + Duration::from_millis(999))),
        Err(behind) => format!("{} ago", whole(behind.duration())),
    };
    Some(format!("{} ({apart})", humantime::format_rfc3339_seconds(time)))
}
