//! What every backend owes. The suite is one list of checks; each backend brings a place where its ledgers meet.

use super::Clock;
use antispoof_core::event::{Check, FailureResult, ImageReport, JobResult, Report, VerdictResult};
use antispoof_core::failure::{Code, Failure};
use antispoof_core::ports::{ClaimOutcome, DailyCalls, Intent, Ledger};
use antispoof_core::retry::Attempt;
use antispoof_core::verdict::{Outcome, Verdict};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::Instant;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_hours(24);
/// For what a real clock has to bring about.
const SHORT: Duration = Duration::from_millis(250);
/// Limit of a wait for it.
const SOON: Duration = Duration::from_secs(15);

/// How long things last in a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lives {
    pub(super) ttl: Duration,
    pub(super) claim: Duration,
}

/// Where the ledgers of a check keep what they know. No other process uses them.
pub(super) trait Place {
    type Ledger: Ledger + 'static;

    /// Without a limit, and so without a count of calls.
    async fn new(lives: Lives) -> Self
    where
        Self: Sized,
    {
        Self::limited(lives, 0).await
    }
    /// Where a day may have so many calls.
    async fn limited(lives: Lives, daily_call_limit: u64) -> Self;
    /// A worker's ledger. All that share one process share it.
    fn worker(&self) -> Arc<Self::Ledger>;
    /// Another process's ledger on the same place; `None` where there cannot be one.
    async fn stranger(&self) -> Option<Arc<Self::Ledger>>;
    /// Lets time pass, where the clock is ours. Where it is not, the check waits.
    fn pass(&self, time: Duration);
    /// Lets the day end that has a count.
    async fn next_day(&self);
    /// The same place after its worker has died without a word; `None` where nothing outlives it.
    async fn after_a_crash(self) -> Option<Self>
    where
        Self: Sized;
}

/// A clock that is set by hand.
#[derive(Clone, Debug, Default)]
pub(super) struct Hand(Arc<AtomicU64>);

impl Hand {
    pub(super) fn clock(&self) -> Clock {
        let now = self.0.clone();
        Clock::new(move || 1_800_000_000_000 + now.load(Ordering::Relaxed))
    }

    pub(super) fn pass(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_millis()).expect("a short time"), Ordering::Relaxed);
    }
}

pub(super) fn verdict(accuracy: f64) -> JobResult {
    let report = Report {
        image: Some(ImageReport {
            bucket: "kyc-uploads".to_owned(),
            key: "2026/é \"{}\" \\ 人.jpg".to_owned(),
            etag: Some("d41d8cd98f00b204e9800998ecf8427e".to_owned()),
            format: Some("jpeg".to_owned()),
            bytes: Some(200_436),
            digest: Some("sha256:00".to_owned()),
            ..ImageReport::default()
        }),
        check: Check { attempts: 1, http_status: Some(200), in_doubt: 2, ..Check::default() },
        at_ms: 1_795_384_799_123,
        replay: 0,
        after_ms: None,
    };
    let verdict = Verdict { spoof_detected: false, accuracy };
    JobResult::Verdict(VerdictResult { outcome: Outcome::Live, verdict, report })
}

pub(super) fn failure(replay: u32) -> JobResult {
    let failure = Failure::new(Code::ApiRejected, "the API answered 422").with_status(422);
    let report = Report::new(None, Attempt::spent(1), OffsetDateTime::UNIX_EPOCH, replay);
    JobResult::Failure(FailureResult::new(&failure, report))
}

fn concluded(result: &JobResult) -> ClaimOutcome {
    ClaimOutcome::Concluded(Box::new(result.clone()))
}

async fn place<P: Place>() -> P {
    P::new(Lives { ttl: LONG, claim: LONG }).await
}

/// Asks until the answer is the expected one: at once where the clock is ours.
async fn eventually<T: PartialEq + std::fmt::Debug>(expected: T, mut ask: impl AsyncFnMut() -> T) {
    let deadline = Instant::now() + SOON;
    loop {
        let seen = ask().await;
        if seen == expected {
            return;
        }
        assert!(Instant::now() < deadline, "waited {SOON:?} for {expected:?}, saw {seen:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What 64 tasks, of two processes where there can be two, are told who begin the same job at the same time.
async fn rush<P: Place>(place: &P, key: &str) -> Vec<ClaimOutcome> {
    let (worker, stranger) = (place.worker(), place.stranger().await);
    let barrier = Arc::new(tokio::sync::Barrier::new(64));
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let ledger = stranger.clone().filter(|_| n % 2 == 1).unwrap_or_else(|| worker.clone());
            let (barrier, key) = (barrier.clone(), key.to_owned());
            tokio::spawn(async move {
                barrier.wait().await;
                ledger.begin(&key).await.expect("an answer")
            })
        })
        .collect();
    let mut told = Vec::new();
    for task in tasks {
        told.push(task.await.expect("no panic"));
    }
    told
}

pub(super) async fn one_of_many_gets_the_job<P: Place>() {
    let place = place::<P>().await;
    let told = rush(&place, "a").await;
    assert_eq!(told.iter().filter(|known| **known == ClaimOutcome::Fresh).count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|known| **known == ClaimOutcome::Busy).count(), 63, "{told:?}");

    let ledger = place.worker();
    ledger.begin("b").await.expect("begin");
    assert_eq!(ledger.intent("b").await, Ok(Intent::Recorded(None)));
    ledger.release("b", true).await.expect("release");
    let told = rush(&place, "b").await;
    assert_eq!(told.iter().filter(|known| **known == ClaimOutcome::InDoubt { calls: 1 }).count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|known| **known == ClaimOutcome::Busy).count(), 63, "{told:?}");
}

pub(super) async fn a_job_goes_from_claimed_to_published<P: Place>() {
    let ledger = place::<P>().await.worker();
    assert_eq!(ledger.begin("a").await, Ok(ClaimOutcome::Fresh));
    assert_eq!(ledger.begin("a").await, Ok(ClaimOutcome::Busy));
    ledger.release("a", false).await.expect("release");
    assert_eq!(ledger.begin("a").await, Ok(ClaimOutcome::Fresh));
    assert_eq!(ledger.intent("a").await, Ok(Intent::Recorded(None)));
    assert_eq!(ledger.begin("a").await, Ok(ClaimOutcome::Busy));
    ledger.conclude("a", None, &verdict(0.989_906_817_674_636_8), None).await.expect("conclude");
    let end = concluded(&verdict(0.989_906_817_674_636_8));
    assert_eq!(ledger.begin("a").await, Ok(end.clone()));
    ledger.published("a", true).await.expect("published");
    assert_eq!(ledger.begin("a").await, Ok(end.clone()));
    assert_eq!(ledger.begin("a").await, Ok(end), "an end is not claimed");
    assert_eq!(ledger.begin("b").await, Ok(ClaimOutcome::Fresh), "another job");
}

pub(super) async fn calls_in_doubt_are_counted_and_given_back<P: Place>() {
    let ledger = place::<P>().await.worker();
    let claim = async |expected| assert_eq!(ledger.begin("a").await, Ok(expected));
    claim(ClaimOutcome::Fresh).await;
    assert_eq!(ledger.intent("a").await, Ok(Intent::Recorded(None)));
    assert_eq!(ledger.intent("a").await, Ok(Intent::Recorded(None)), "a quick try after one that was not sent");
    ledger.release("a", true).await.expect("release");
    claim(ClaimOutcome::InDoubt { calls: 1 }).await;
    ledger.release("a", true).await.expect("release");
    claim(ClaimOutcome::InDoubt { calls: 1 }).await;
    assert_eq!(ledger.intent("a").await, Ok(Intent::Recorded(None)));
    ledger.release("a", false).await.expect("release");
    claim(ClaimOutcome::InDoubt { calls: 1 }).await;
    assert_eq!(ledger.intent("a").await, Ok(Intent::Recorded(None)));
    ledger.release("a", true).await.expect("release");
    claim(ClaimOutcome::InDoubt { calls: 2 }).await;
    ledger.conclude("a", None, &verdict(0.5), None).await.expect("conclude");
    claim(concluded(&verdict(0.5))).await;
}

pub(super) async fn an_unpaid_intent_leaves_nothing<P: Place>() {
    let ledger = place::<P>().await.worker();
    ledger.begin("a").await.expect("begin");
    assert_eq!(ledger.intent("a").await, Ok(Intent::Recorded(None)));
    ledger.release("a", false).await.expect("release");
    assert_eq!(ledger.begin("a").await, Ok(ClaimOutcome::Fresh));
}

pub(super) async fn every_step_can_be_repeated<P: Place>() {
    let ledger = place::<P>().await.worker();
    ledger.release("a", false).await.expect("nothing to release");
    ledger.release("a", true).await.expect("nothing to release");
    ledger.published("a", true).await.expect("nothing to announce");
    assert_eq!(ledger.begin("a").await, Ok(ClaimOutcome::Fresh));
    ledger.published("a", false).await.expect("not ended");
    assert_eq!(ledger.begin("a").await, Ok(ClaimOutcome::Busy), "a publish does not remove a claim");
    for _ in 0..2 {
        assert_eq!(ledger.intent("a").await, Ok(Intent::Recorded(None)));
    }
    for _ in 0..2 {
        ledger.conclude("a", None, &verdict(0.25), None).await.expect("conclude");
    }
    for paid in [false, true, false] {
        ledger.release("a", paid).await.expect("conclude has released");
    }
    for _ in 0..2 {
        ledger.published("a", true).await.expect("published");
    }
    assert_eq!(ledger.begin("a").await, Ok(concluded(&verdict(0.25))));
    for _ in 0..2 {
        ledger.published("a", false).await.expect("forgotten");
    }
    assert_eq!(ledger.begin("a").await, Ok(ClaimOutcome::Fresh));
}

pub(super) async fn a_later_end_replaces_the_one_it_knows_of_and_no_other<P: Place>() {
    let ledger = place::<P>().await.worker();
    let mut superseded = None;
    for end in [failure(0), verdict(0.25), verdict(0.75), failure(3), verdict(0.5)] {
        assert_eq!(ledger.conclude("a", None, &end, superseded.as_ref()).await, Ok(None));
        ledger.published("a", true).await.expect("published");
        assert_eq!(ledger.begin("a").await, Ok(concluded(&end)));
        superseded = Some(end);
    }
    // The first end stands: a worker that did not know of it gets it.
    let first = Ok(Some(Box::new(verdict(0.5))));
    for (end, superseded) in [(verdict(0.25), None), (failure(0), None), (verdict(0.25), Some(verdict(0.75)))] {
        assert_eq!(ledger.conclude("a", None, &end, superseded.as_ref()).await, first);
        assert_eq!(ledger.begin("a").await, Ok(concluded(&verdict(0.5))));
    }
    assert_eq!(ledger.conclude("a", None, &verdict(0.5), None).await, Ok(None), "the same again");
}

pub(super) async fn an_end_after_a_release_counts<P: Place>() {
    let ledger = place::<P>().await.worker();
    ledger.begin("a").await.expect("begin");
    assert_eq!(ledger.intent("a").await, Ok(Intent::Recorded(None)));
    ledger.release("a", true).await.expect("release");
    // What was released as paid for is in doubt, and its end says so.
    let mut end = failure(0);
    end.report_mut().check.in_doubt = 1;
    assert_eq!(ledger.conclude("a", None, &end, None).await, Ok(None));
    assert_eq!(ledger.begin("a").await, Ok(concluded(&end)));
}

pub(super) async fn nobody_pays_for_what_is_not_theirs<P: Place>() {
    let ledger = place::<P>().await.worker();
    assert_eq!(ledger.intent("unclaimed").await, Ok(Intent::Recorded(None)), "the ledger was away at the beginning");
    assert_eq!(ledger.begin("unclaimed").await, Ok(ClaimOutcome::Busy), "it is claimed by that");
    ledger.conclude("ended", None, &verdict(0.5), None).await.expect("conclude");
    assert_eq!(ledger.intent("ended").await, Ok(Intent::ClaimLost));
    ledger.begin("in doubt").await.expect("begin");
    assert_eq!(ledger.intent("in doubt").await, Ok(Intent::Recorded(None)));
    ledger.release("in doubt", true).await.expect("release");
    assert_eq!(ledger.intent("in doubt").await, Ok(Intent::ClaimLost));
}

pub(super) async fn a_verdict_is_found_by_its_object<P: Place>() {
    let ledger = place::<P>().await.worker();
    assert_eq!(ledger.recall("o").await, Ok(None));
    ledger.conclude("failed", Some("o"), &failure(0), None).await.expect("conclude");
    assert_eq!(ledger.recall("o").await, Ok(None), "a failure is the job's, not the object's");
    ledger.conclude("a", Some("o"), &verdict(0.5), None).await.expect("conclude");
    assert_eq!(ledger.recall("o").await, Ok(Some(verdict(0.5))));
    ledger.conclude("b", None, &verdict(0.75), None).await.expect("conclude");
    ledger.published("a", true).await.expect("published");
    assert_eq!(ledger.recall("o").await, Ok(Some(verdict(0.5))));
    assert_eq!(ledger.recall("a").await, Ok(None), "a job is no object");
    assert_eq!(ledger.begin("o").await, Ok(ClaimOutcome::Fresh), "an object is no job");
}

pub(super) async fn what_is_too_old_is_forgotten<P: Place>() {
    let place = P::new(Lives { ttl: SHORT, claim: LONG }).await;
    let ledger = place.worker();
    ledger.conclude("ended", Some("o"), &verdict(0.5), None).await.expect("conclude");
    ledger.begin("in doubt").await.expect("begin");
    assert_eq!(ledger.intent("in doubt").await, Ok(Intent::Recorded(None)));
    ledger.release("in doubt", true).await.expect("release");
    place.pass(SHORT);
    eventually(Ok(ClaimOutcome::Fresh), async || ledger.begin("ended").await).await;
    eventually(Ok(None), async || ledger.recall("o").await).await;
    eventually(true, async || {
        let known = ledger.begin("in doubt").await;
        ledger.release("in doubt", false).await.expect("release");
        known == Ok(ClaimOutcome::Fresh)
    })
    .await;
}

pub(super) async fn a_dead_worker_s_claim_runs_out<P: Place>() {
    let place = P::new(Lives { ttl: LONG, claim: SHORT }).await;
    let dead = place.worker();
    let alive = place.stranger().await.unwrap_or_else(|| place.worker());
    dead.begin("a").await.expect("begin");
    dead.begin("b").await.expect("begin");
    assert_eq!(dead.intent("b").await, Ok(Intent::Recorded(None)));
    place.pass(LONG);
    eventually(Ok(ClaimOutcome::Fresh), async || alive.begin("a").await).await;
    eventually(Ok(ClaimOutcome::InDoubt { calls: 1 }), async || alive.begin("b").await).await;
}

/// Only where processes share a ledger.
pub(super) async fn a_claim_that_was_taken_over_is_lost<P: Place>() {
    // Long enough for the steps of the one that has it now, on a busy machine.
    let place = P::new(Lives { ttl: LONG, claim: 12 * SHORT }).await;
    let (slow, quick) = (place.worker(), place.stranger().await.expect("a shared ledger"));
    for key in ["a", "b"] {
        slow.begin(key).await.expect("begin");
    }
    assert_eq!(slow.intent("b").await, Ok(Intent::Recorded(None)));
    eventually(Ok(ClaimOutcome::Fresh), async || quick.begin("a").await).await;
    eventually(Ok(ClaimOutcome::InDoubt { calls: 1 }), async || quick.begin("b").await).await;
    for key in ["a", "b"] {
        assert_eq!(slow.intent(key).await, Ok(Intent::ClaimLost), "{key}");
        slow.release(key, false).await.expect("release");
        assert_eq!(quick.intent(key).await, Ok(Intent::Recorded(None)), "the release was not the owner's");
    }
    quick.release("a", true).await.expect("release");
    assert_eq!(slow.intent("a").await, Ok(Intent::ClaimLost), "another worker may have paid since");
    // The first end stands, and the worker that had lost the job gets it.
    slow.begin("c").await.expect("begin");
    eventually(Ok(ClaimOutcome::Fresh), async || quick.begin("c").await).await;
    quick.conclude("c", None, &verdict(0.5), None).await.expect("conclude");
    let standing = Ok(Some(Box::new(verdict(0.5))));
    assert_eq!(slow.conclude("c", None, &failure(0), None).await, standing);
    assert_eq!(slow.conclude("c", None, &verdict(0.25), None).await, standing);
    assert_eq!(quick.begin("c").await, Ok(concluded(&verdict(0.5))));
    // A verdict that was paid for is kept, with the three calls of the other on it.
    for _ in 0..2 {
        quick.release("b", true).await.expect("release");
        assert!(matches!(quick.begin("b").await, Ok(ClaimOutcome::InDoubt { .. })));
        assert_eq!(quick.intent("b").await, Ok(Intent::Recorded(None)));
    }
    let mut end = verdict(0.5);
    end.report_mut().check.in_doubt = 0;
    let kept = slow.conclude("b", None, &end, None).await.expect("conclude").expect("the calls of others");
    assert_eq!(kept.report().check.in_doubt, 3);
    assert_eq!(quick.conclude("b", None, &verdict(0.25), None).await, Ok(Some(kept)));
    assert_eq!(quick.intent("b").await, Ok(Intent::ClaimLost));
}

/// The number of the call on its day; `None`: the day has had its calls.
async fn call(ledger: &impl Ledger, key: &str) -> Option<u64> {
    ledger.begin(key).await.expect("begin");
    match ledger.intent(key).await.expect("an answer") {
        Intent::Recorded(today) => Some(today.expect("counted").counted),
        Intent::LimitReached { today, resumes_in } => {
            assert_eq!(today.counted, today.limit);
            assert!(resumes_in > Duration::ZERO && resumes_in <= LONG, "{resumes_in:?}");
            None
        }
        Intent::ClaimLost => panic!("{key} is claimed"),
    }
}

async fn counted(ledger: &impl Ledger) -> u64 {
    ledger.daily_calls().await.expect("an answer").expect("counted").counted
}

pub(super) async fn no_more_calls_than_a_day_may_have<P: Place>() {
    let place = P::limited(Lives { ttl: LONG, claim: LONG }, 10).await;
    let (worker, stranger) = (place.worker(), place.stranger().await);
    assert_eq!(counted(&*worker).await, 0);
    let barrier = Arc::new(tokio::sync::Barrier::new(64));
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let ledger = stranger.clone().filter(|_| n % 2 == 1).unwrap_or_else(|| worker.clone());
            let barrier = barrier.clone();
            tokio::spawn(async move {
                barrier.wait().await;
                call(&*ledger, &n.to_string()).await
            })
        })
        .collect();
    let mut numbers = Vec::new();
    let mut refused = None;
    for (n, task) in tasks.into_iter().enumerate() {
        match task.await.expect("no panic") {
            Some(number) => numbers.push(number),
            None => refused = Some(n),
        }
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
    assert_eq!(counted(&*worker).await, 10);
    // Nothing was put on record for one that was refused, so it is no call in doubt.
    let refused = refused.expect("most of them");
    let ledger = stranger.clone().filter(|_| refused % 2 == 1).unwrap_or_else(|| worker.clone());
    ledger.release(&refused.to_string(), false).await.expect("release");
    assert_eq!(ledger.begin(&refused.to_string()).await, Ok(ClaimOutcome::Fresh));
}

pub(super) async fn what_was_sent_counts_and_what_was_not_does_not<P: Place>() {
    let place = P::limited(Lives { ttl: LONG, claim: LONG }, 3).await;
    let ledger = place.worker();
    assert_eq!(call(&*ledger, "a").await, Some(1));
    assert_eq!(call(&*ledger, "a").await, Some(2), "a quick try is another call");
    ledger.release("a", false).await.expect("release");
    assert_eq!(counted(&*ledger).await, 2, "they were sent");
    let today = ledger.daily_calls().await.expect("an answer").expect("counted");
    ledger.unsent(today).await.expect("told");
    eventually(1, async || counted(&*ledger).await).await;
    for day in [today.day - 1, today.day + 1] {
        ledger.unsent(DailyCalls { day, ..today }).await.expect("told");
    }
    assert_eq!((call(&*ledger, "b").await, call(&*ledger, "c").await), (Some(2), Some(3)));
    assert_eq!(call(&*ledger, "d").await, None);
    for _ in 0..5 {
        ledger.unsent(today).await.expect("told");
    }
    eventually(0, async || counted(&*ledger).await).await;
    assert_eq!(call(&*ledger, "d").await, Some(1), "there are never fewer than none");
}

pub(super) async fn every_day_has_its_own_calls<P: Place>() {
    let place = P::limited(Lives { ttl: LONG, claim: LONG }, 1).await;
    let ledger = place.worker();
    for day in ["a", "b", "c"] {
        assert_eq!(call(&*ledger, day).await, Some(1));
        assert_eq!(call(&*ledger, &format!("{day} again")).await, None);
        place.next_day().await;
        assert_eq!(counted(&*ledger).await, 0);
    }
}

pub(super) async fn without_a_limit_nothing_is_counted<P: Place>() {
    let ledger = place::<P>().await.worker();
    assert_eq!(ledger.daily_calls().await, Ok(None));
    ledger.begin("a").await.expect("begin");
    assert_eq!(ledger.intent("a").await, Ok(Intent::Recorded(None)));
}

/// Only where something outlives the process.
pub(super) async fn what_was_counted_outlives_the_worker<P: Place>() {
    let place = P::limited(Lives { ttl: LONG, claim: LONG }, 3).await;
    let ledger = place.worker();
    assert_eq!((call(&*ledger, "a").await, call(&*ledger, "b").await), (Some(1), Some(2)));
    drop(ledger);
    let place = place.after_a_crash().await.expect("a ledger that lasts");
    let ledger = place.worker();
    assert_eq!(counted(&*ledger).await, 2);
    assert_eq!((call(&*ledger, "c").await, call(&*ledger, "d").await), (Some(3), None));
}

/// Only where something outlives the process.
pub(super) async fn what_was_recorded_outlives_the_worker<P: Place>() {
    let place = place::<P>().await;
    let ledger = place.worker();
    ledger.begin("claimed").await.expect("begin");
    ledger.begin("intended").await.expect("begin");
    assert_eq!(ledger.intent("intended").await, Ok(Intent::Recorded(None)));
    ledger.conclude("ended", Some("o"), &verdict(0.5), None).await.expect("conclude");
    drop(ledger);
    let place = place.after_a_crash().await.expect("a ledger that lasts");
    let ledger = place.worker();
    assert_eq!(ledger.begin("ended").await, Ok(concluded(&verdict(0.5))));
    assert_eq!(ledger.recall("o").await, Ok(Some(verdict(0.5))));
    place.pass(LONG / 2);
    eventually(Ok(ClaimOutcome::InDoubt { calls: 1 }), async || ledger.begin("intended").await).await;
    eventually(Ok(ClaimOutcome::Fresh), async || ledger.begin("claimed").await).await;
}

/// The checks that hold for every backend, as tests of this one.
macro_rules! conformance {
    ($place:ty: $($check:ident)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $check() {
            crate::ledger::conformance::$check::<$place>().await;
        })+
    };
    ($place:ty) => {
        conformance!($place:
            one_of_many_gets_the_job
            a_job_goes_from_claimed_to_published
            calls_in_doubt_are_counted_and_given_back
            an_unpaid_intent_leaves_nothing
            every_step_can_be_repeated
            a_later_end_replaces_the_one_it_knows_of_and_no_other
            an_end_after_a_release_counts
            nobody_pays_for_what_is_not_theirs
            a_verdict_is_found_by_its_object
            what_is_too_old_is_forgotten
            a_dead_worker_s_claim_runs_out
            no_more_calls_than_a_day_may_have
            what_was_sent_counts_and_what_was_not_does_not
            every_day_has_its_own_calls
            without_a_limit_nothing_is_counted
        );
    };
}
pub(super) use conformance;
