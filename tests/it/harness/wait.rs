//! Waiting on a condition. This is the only place of the tests that sleeps.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// For what happens within milliseconds when it works: an answer, a confirm, an event of a small job.
pub(crate) const SOON: Duration = Duration::from_secs(15);
/// For a process to be up, or to have ended by itself.
pub(crate) const STARTED: Duration = Duration::from_secs(30);
/// For what has delays in it: delay queues, reconnecting with backoff, figures that the broker samples every few seconds.
pub(crate) const EVENTUALLY: Duration = Duration::from_secs(90);

/// The pause between two looks grows from the first to the second: quick when it is quick, cheap when it is not.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Looks again and again until `look` answers `Ok`, and returns what it found. Its `Err` says what was seen instead.
///
/// # Panics
///
/// When `limit` has passed, with what was awaited and what was seen last. A look that hangs is cut off by the same limit.
pub(crate) async fn eventually<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + limit;
    let mut pause = FIRST_PAUSE;
    let mut last = None;
    loop {
        match timeout_at(deadline, look()).await {
            Ok(Ok(found)) => return found,
            Ok(Err(seen)) => last = Some(seen),
            Err(_) => break,
        }
        if timeout_at(deadline, sleep(pause)).await.is_err() {
            break;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    let last = last.unwrap_or_else(|| "nothing: the first look did not return".to_owned());
    panic!("waited {limit:?} for {what}; seen last: {last}");
}

/// As `eventually`, with a look every few milliseconds however long it takes: for what is timed.
///
/// # Panics
///
/// As `eventually`.
pub(crate) async fn soon<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + limit;
    let mut last = None;
    while let Ok(seen) = timeout_at(deadline, look()).await {
        match seen {
            Ok(found) => return found,
            Err(_) if Instant::now() >= deadline => break,
            Err(seen) => last = Some(seen),
        }
        sleep(FIRST_PAUSE).await;
    }
    panic!("waited {limit:?} for {what}; seen last: {last:?}");
}

/// Looks again and again until `look` returns `expected`.
///
/// # Panics
///
/// As `eventually`; what was seen last is the last value.
pub(crate) async fn eventually_equals<T: PartialEq + Debug>(
    what: &str,
    limit: Duration,
    expected: T,
    mut look: impl AsyncFnMut() -> T,
) {
    eventually(what, limit, async || {
        let seen = look().await;
        if seen == expected { Ok(()) } else { Err(format!("{seen:?}, expected {expected:?}")) }
    })
    .await;
}

/// Looks again and again for as long as `during`, for what must not change in that time: no call is made, no byte passes.
///
/// A pass says that it held so long, not that it holds for ever: prefer waiting for what happens instead, where something does.
///
/// # Panics
///
/// As soon as `look` answers `Err`, with what it says.
pub(crate) async fn holds(what: &str, during: Duration, mut look: impl AsyncFnMut() -> Result<(), String>) {
    let end = Instant::now() + during;
    while Instant::now() < end {
        match timeout_at(end, look()).await {
            Ok(Err(seen)) => panic!("{what} did not hold for {during:?}: {seen}"),
            Ok(Ok(())) => sleep(FIRST_PAUSE).await,
            Err(_) => return,
        }
    }
}
