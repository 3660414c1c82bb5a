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

/// When a token ended, in both forms, if it has.
pub(super) fn expired(token: &str, now: SystemTime) -> Option<String> {
    let at = claims(token)?.get("exp")?.as_u64()?;
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

    #[test]
    fn a_token_has_expired_from_the_second_that_it_names() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(expired("e30.eyJleHAiOjF9.x", at(0)), None);
        assert!(expired("e30.eyJleHAiOjF9.x", at(1)).is_some());
        assert_eq!(expired("e30.eyJleHAiOjF9.x", at(3)).unwrap(), "1970-01-01T00:00:01Z (2s ago)");
        assert_eq!(expired("e30.e30.x", at(3)), None);
    }
}
