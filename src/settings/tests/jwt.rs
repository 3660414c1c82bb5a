//! What a ready-made token says of itself.

use std::time::{Duration, UNIX_EPOCH};

use super::super::secrets::jwt::{claims, expired, moment};

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
