//! Waiting ends when the condition holds, and says what it saw when it never does.

use std::future::pending;
use std::time::Duration;

use crate::harness::wait::{SOON, eventually, eventually_equals, holds};

const SHORT: Duration = Duration::from_millis(60);

#[tokio::test]
async fn returns_what_it_waited_for() {
    let mut looks = 0;
    let found = eventually("the third look", SOON, async || {
        looks += 1;
        if looks == 3 { Ok("found") } else { Err(format!("look {looks}")) }
    })
    .await;
    assert_eq!((found, looks), ("found", 3));
}

#[tokio::test]
#[should_panic(expected = "waited 60ms for rain; seen last: sunshine")]
async fn says_what_was_awaited_and_what_was_seen_last() {
    eventually::<()>("rain", SHORT, async || Err("sunshine".to_owned())).await;
}

#[tokio::test]
#[should_panic(expected = "waited 60ms for three; seen last: 2, expected 3")]
async fn says_which_value_it_saw_instead() {
    eventually_equals("three", SHORT, 3, async || 2).await;
}

#[tokio::test]
#[should_panic(expected = "waited 60ms for an answer; seen last: nothing: the first look did not return")]
async fn a_look_that_hangs_is_cut_off() {
    eventually::<()>("an answer", SHORT, async || pending().await).await;
}

#[tokio::test]
#[should_panic(expected = "silence did not hold for 15s: a noise")]
async fn what_must_not_change_is_reported_as_soon_as_it_does() {
    let mut looks = 0;
    holds("silence", SOON, async || {
        looks += 1;
        if looks < 3 { Ok(()) } else { Err("a noise".to_owned()) }
    })
    .await;
}

#[tokio::test]
async fn what_holds_may_hang() {
    holds("silence", SHORT, async || pending().await).await;
}
