//! Much to do and one thing that is wrong for a while: what it costs, and how soon it is as before.

use crate::drama::{Cast, world_with};
use crate::jobs;
use crate::ledger;
use crate::life::set_ambient;
use crate::plan::{Backend, Plan, Seed};
use crate::records::Kind;
use crate::world::{Services, World};
use antispoofd::gate::Reason;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

const CONCURRENCY: u16 = 16;
const JOBS: usize = 500;

/// The rest of the way through the shortest delay queue, at most: for jobs that went back right before the end.
const DRAINED_WITHIN: Duration = Duration::from_secs(12);

/// One worker with much to do.
struct Busy {
    world: World,
    cast: Arc<Cast>,
}

impl Busy {
    fn new(number: u64, change: impl FnOnce(&mut Plan)) -> Self {
        set_ambient(number);
        let mut plan = Plan::new(Seed { faults: 0, ..Seed::new(number) });
        plan.backend = Backend::Durable;
        plan.workers = 1;
        plan.concurrency = CONCURRENCY;
        plan.max_attempts = 8;
        plan.rejection_streak = 20;
        plan.daily_limit = 0;
        plan.thinks = Duration::from_millis(50);
        plan.latency = Duration::from_millis(3);
        change(&mut plan);
        let world = World::new(plan, false);
        let cast = Cast::new(&world);
        drop(cast.keep_running());
        Self { world, cast }
    }

    fn become_of(&self, services: Services) {
        world_with(&self.world, |state| state.services = services);
        self.world.tell();
    }

    fn calls(&self) -> u64 {
        self.world.lock().calls.of_vendor
    }

    fn reason(&self) -> Option<Reason> {
        let lives = self.cast.lives();
        lives[0].gate.read(|state| state.closed().map(|closed| closed.reason))
    }

    fn left(&self) -> usize {
        let state = self.world.lock();
        assert_eq!(state.violation(), None);
        state.records.jobs.iter().filter(|job| job.events.is_empty()).count()
    }

    /// Waits until nothing is left to do, and says how long that took.
    async fn drained(&self) -> Duration {
        let began = Instant::now();
        let over = self.world.until(|state| (state.queues.empty() || state.violation().is_some()).then_some(()));
        timeout(Duration::from_hours(8), over).await.expect("it comes to an end");
        assert_eq!(self.world.lock().violation(), None);
        began.elapsed()
    }

    /// Every job has its verdict, and nobody was charged for more than one attempt.
    fn assert_blameless(&self, what: &str) {
        let state = self.world.lock();
        assert_eq!(state.queues.parked.len(), 0, "{what}: nothing is parked");
        for job in &state.records.jobs {
            assert!(job.events.iter().all(|(_, key)| key.starts_with("verdict.")), "{what}: {job:?}");
            assert!(!job.events.is_empty() && job.attempts <= 1, "{what}: {job:?}");
        }
    }
}

fn down(change: impl FnOnce(&mut Services)) -> Services {
    let mut services = Services::SOUND;
    change(&mut services);
    services
}

#[tokio::test(start_paused = true)]
async fn a_day_has_its_calls_and_the_next_one_the_rest() {
    const LIMIT: u64 = 120;
    for (number, backend, day) in [
        (0, Backend::Durable, ledger::DAY),
        (1, Backend::Memory, Duration::from_hours(24)),
        (2, Backend::Durable, ledger::DAY),
    ] {
        let busy = Busy::new(number, |plan| (plan.backend, plan.daily_limit) = (backend, LIMIT));
        jobs::at_once(&busy.world, JOBS, Kind::Good);
        let began = Instant::now();
        for days in 1..=4 {
            sleep(day.mul_f64(0.9)).await;
            assert_eq!(busy.calls(), days * LIMIT, "{backend:?}: on day {days}");
            assert_eq!(busy.reason(), Some(Reason::DailyLimit));
            sleep_until(began + day * u32::try_from(days).expect("few")).await;
        }
        sleep(Duration::from_secs(1)).await;
        assert!(busy.calls() > 4 * LIMIT, "calls are made again when the day is over, and not at some later look");
        busy.drained().await;
        assert_eq!((busy.calls(), busy.reason()), (JOBS as u64, None));
        busy.assert_blameless(&format!("{backend:?}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_not_sent_leaves_its_place_in_the_day_to_another() {
    // A schedule in which four jobs are at their call together.
    let busy = Busy::new(3, |plan| (plan.daily_limit, plan.learns) = (3, false));
    busy.become_of(down(|services| services.vendor = false));
    jobs::at_once(&busy.world, 30, Kind::Good);
    let limited = async {
        while busy.reason() != Some(Reason::DailyLimit) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    // Until the worker is there.
    sleep(Duration::from_millis(100)).await;
    timeout(Duration::from_mins(1), limited).await.expect("three are on their way, and one more comes");
    busy.become_of(Services::SOUND);
    sleep(Duration::from_mins(6)).await;
    assert_eq!((busy.left(), busy.reason()), (27, Some(Reason::DailyLimit)), "a look has found that none was sent");
    busy.drained().await;
    busy.assert_blameless("not sent");
}

#[tokio::test(start_paused = true)]
async fn what_is_away_for_a_while_costs_no_attempt_and_is_used_again_at_once() {
    for (number, what) in (0..6).zip([true, false].into_iter().cycle()) {
        for lasts in [3, 17, 60, 900] {
            let busy = Busy::new(number, |_| ());
            jobs::at_once(&busy.world, JOBS, Kind::Good);
            sleep(Duration::from_millis(300)).await;
            assert!(busy.left() > JOBS / 2);
            let before = busy.calls();
            busy.become_of(down(|services| if what { services.vendor = false } else { services.store = false }));
            sleep(Duration::from_secs(lasts)).await;
            assert!(busy.reason().is_some());
            let probes = busy.calls() - before;
            assert!(probes <= u64::from(CONCURRENCY) + 8 + lasts * 3 / 2, "{probes} calls in {lasts} s");
            let left = busy.left();
            busy.become_of(Services::SOUND);
            sleep(Duration::from_secs(2)).await;
            assert!(busy.reason().is_none(), "{number}: jobs run again after two seconds");
            let drained = busy.drained().await;
            assert!(drained < DRAINED_WITHIN, "{number}: {left} jobs took {drained:?}");
            busy.assert_blameless(&format!("{what} {number}, {lasts} s"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_asks_everybody_to_wait_is_left_alone_until_then() {
    for number in 0..20 {
        let busy = Busy::new(number, |_| ());
        jobs::at_once(&busy.world, JOBS, Kind::Good);
        busy.become_of(down(|services| services.full_until = Some(Duration::from_secs(30))));
        sleep(Duration::from_secs(29)).await;
        assert!(busy.calls() <= 20, "{} calls", busy.calls());
        assert_eq!(busy.reason(), Some(Reason::Hold));
        // And once more, which one call finds out.
        busy.become_of(down(|services| services.full_until = Some(Duration::from_mins(1))));
        let before = busy.calls();
        sleep(Duration::from_secs(30)).await;
        assert_eq!(busy.calls() - before, 1, "one call finds out");
        busy.become_of(Services::SOUND);
        busy.drained().await;
        busy.assert_blameless(&number.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_bills_and_does_not_answer_is_asked_ever_more_rarely() {
    for park in [false, true] {
        for number in 0..20 {
            let busy = Busy::new(number, |plan| plan.park_in_doubt = park);
            jobs::at_once(&busy.world, JOBS, Kind::Good);
            busy.become_of(down(|services| services.silent = true));
            sleep(Duration::from_mins(10)).await;
            // What was in hand, after 5 s, 10 s, 20 s, 40 s, and then every minute.
            let calls = busy.calls();
            assert!((20..=u64::from(CONCURRENCY) + 22).contains(&calls), "{calls} calls that may have been paid for");
            busy.become_of(Services::SOUND);
            busy.drained().await;
            let state = busy.world.lock();
            let parked = u64::try_from(state.queues.parked.len()).expect("a few");
            let spent = state.records.jobs.iter().map(|job| u64::from(job.attempts)).sum::<u64>();
            assert_eq!(
                (parked, spent),
                if park { (calls, 0) } else { (0, calls) },
                "each costs an attempt, or a person"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_rejects_everything_does_not_park_the_queue() {
    for number in 0..20 {
        let busy = Busy::new(number, |_| ());
        jobs::at_once(&busy.world, JOBS, Kind::Good);
        busy.become_of(down(|services| services.rejects = true));
        sleep(Duration::from_mins(10)).await;
        assert_eq!(busy.reason(), Some(Reason::Rejections));
        let parked = busy.world.lock().queues.parked.len();
        assert_eq!(parked, 19, "told before it was a streak");
        assert!(busy.calls() < 200, "{} calls", busy.calls());
        busy.become_of(Services::SOUND);
        busy.drained().await;
        let state = busy.world.lock();
        let judged = state.records.jobs.iter().filter(|job| job.events[0].1.starts_with("verdict.")).count();
        assert_eq!((judged, state.queues.parked.len()), (JOBS - 19, 19));
    }
}

#[tokio::test(start_paused = true)]
async fn images_that_really_are_bad_hold_up_the_others_for_as_long_as_they_are_probed() {
    for number in 0..5 {
        let busy = Busy::new(number, |_| ());
        let unjudged = || {
            let state = busy.world.lock();
            state.records.jobs.iter().filter(|job| job.kind == Kind::Good && job.events.is_empty()).count()
        };
        jobs::at_once(&busy.world, 60, Kind::Rejected);
        jobs::at_once(&busy.world, JOBS, Kind::Good);
        sleep(Duration::from_mins(10)).await;
        assert_eq!(unjudged(), 0, "the good ones behind them were found, one probe after the other");
        // The rest of the bad ones is told as soon as there are good ones between them.
        for _ in 0..4 {
            jobs::at_once(&busy.world, 1, Kind::Good);
            sleep(Duration::from_mins(5)).await;
        }
        assert_eq!((busy.left(), busy.world.lock().queues.parked.len()), (0, 60));
    }
}
