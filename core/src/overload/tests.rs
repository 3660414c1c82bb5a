//! The limits against a made-up API: workers that always have jobs, and an API with a quota, with so many hands, or both. Time is a number.

use super::*;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

const MS: fn(u64) -> Duration = Duration::from_millis;
const S: fn(u64) -> Duration = Duration::from_secs;

/// An API. A call that arrives takes a token of the quota, then a hand.
#[derive(Clone, Debug)]
struct Api {
    /// Calls a second, and how many it saves up.
    quota: Option<(f64, f64)>,
    asks: Option<Duration>,
    tokens: f64,
    at: Duration,
    latency: Duration,
    /// When each of its hands is free again; empty is no limit.
    hands: Vec<Duration>,
    /// It answers 503 rather than let a call wait for longer.
    patience: Duration,
    dice: u64,
}

impl Api {
    fn new(latency: Duration) -> Self {
        let (tokens, at) = (0.0, Duration::ZERO);
        Self { quota: None, asks: None, tokens, at, latency, hands: Vec::new(), patience: S(3600), dice: 1 }
    }

    fn quota(self, rate: f64, burst: f64) -> Self {
        Self { quota: Some((rate, burst)), tokens: burst, asks: Some(S(1)), ..self }
    }

    fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    fn hands(self, hands: u16) -> Self {
        Self { hands: vec![Duration::ZERO; hands.into()], ..self }
    }

    fn call(&mut self, now: Duration) -> (Signal, Duration) {
        if let Some((rate, burst)) = self.quota {
            self.tokens = (self.tokens + rate * now.saturating_sub(self.at).as_secs_f64()).min(burst);
            self.at = now;
            if self.tokens < 1.0 {
                return (Signal::Refused(self.asks), now + MS(5));
            }
            self.tokens -= 1.0;
        }
        // Half as long to half as long again.
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let latency = self
            .latency
            .mul_f64(0.5 + f64::from(u32::try_from(self.dice >> 40).expect("24 bits")) / f64::from(1 << 24));
        let Some(free) = self.hands.iter_mut().min() else { return (Signal::Served, now + latency) };
        let begins = now.max(*free);
        if begins.saturating_sub(now) > self.patience {
            return (Signal::Overloaded, now + MS(5));
        }
        *free = begins + latency;
        (Signal::Served, *free)
    }
}

#[derive(Clone, Debug, Default)]
struct Count {
    served: u32,
    refused: u32,
    overloaded: u32,
}

/// When, of which worker, since when, and how: served, refused, overloaded; and what it asks for.
type End = (Duration, usize, Duration, u8, Option<Duration>);

struct World {
    api: Api,
    workers: Vec<AdaptiveLimit>,
    counts: Vec<Count>,
    now: Duration,
    ends: BinaryHeap<Reverse<End>>,
    wakes: BTreeSet<(Duration, usize)>,
}

impl World {
    fn new(api: Api, workers: &[(u16, u16)]) -> Self {
        let limits = workers.iter().map(|&(min, max)| AdaptiveLimit::new(bounds(min, max), 0.0));
        let (ends, wakes) = (BinaryHeap::new(), (0..workers.len()).map(|worker| (Duration::ZERO, worker)).collect());
        let counts = vec![Count::default(); workers.len()];
        Self { api, workers: limits.collect(), counts, now: Duration::ZERO, ends, wakes }
    }

    /// Goes on until `end`, and returns what came of the calls that ended meanwhile.
    fn until(&mut self, end: Duration) -> Vec<Count> {
        self.counts = vec![Count::default(); self.workers.len()];
        loop {
            let ends = self.ends.peek().map(|Reverse((at, ..))| *at);
            let wakes = self.wakes.first().map(|(at, _)| *at);
            let Some(next) = ends.into_iter().chain(wakes).min().filter(|next| *next < end) else { break };
            self.now = next;
            let worker = if wakes == Some(next) {
                self.wakes.pop_first().unwrap().1
            } else {
                let Reverse((ended, worker, started, signal, asked)) = self.ends.pop().unwrap();
                let (signal, count) = match signal {
                    0 => (Signal::Served, &mut self.counts[worker].served),
                    1 => (Signal::Refused(asked), &mut self.counts[worker].refused),
                    _ => (Signal::Overloaded, &mut self.counts[worker].overloaded),
                };
                *count += 1;
                self.workers[worker].learn(Call { started, ended }, signal);
                self.workers[worker].over();
                worker
            };
            self.start(worker);
        }
        self.now = end;
        self.counts.clone()
    }

    fn start(&mut self, worker: usize) {
        loop {
            match self.workers[worker].take(self.now) {
                Turn::Full => return,
                Turn::At(at) => {
                    self.wakes.retain(|(_, other)| *other != worker);
                    // A timer of whole milliseconds, as that of the runtime.
                    self.wakes.insert((MS(u64::try_from(at.as_nanos().div_ceil(1_000_000)).unwrap()), worker));
                    return;
                }
                Turn::Now => {
                    let (signal, end) = self.api.call(self.now);
                    let (signal, asked) = match signal {
                        Signal::Served => (0, None),
                        Signal::Refused(asked) => (1, asked),
                        Signal::Overloaded => (2, None),
                    };
                    self.ends.push(Reverse((end, worker, self.now, signal, asked)));
                }
            }
        }
    }
}

fn sum(counts: &[Count]) -> (f64, f64) {
    let served: u32 = counts.iter().map(|count| count.served).sum();
    let not: u32 = counts.iter().map(|count| count.refused + count.overloaded).sum();
    (f64::from(served), f64::from(not) / f64::from(served + not).max(1.0))
}

#[test]
fn a_quota_is_used_and_rarely_exceeded() {
    for rate in [5.0, 20.0, 50.0, 200.0] {
        for latency in [5, 50, 300, 2000] {
            let mut world = World::new(Api::new(MS(latency)).quota(rate, rate), &[(4, 64)]);
            world.until(S(30));
            let (served, refused) = sum(&world.until(S(150)));
            // What there is time for.
            let possible = f64::min(rate, 64.0 / MS(latency).as_secs_f64());
            let part = served / 120.0 / possible;
            assert!(part >= 0.95, "{rate} calls a second of {latency} ms: {part}");
            assert!(refused < 0.02, "{rate} calls a second of {latency} ms: {refused} refused");
        }
    }
}

#[test]
fn a_quota_that_saves_nothing_up_is_found_out_in_time() {
    for rate in [5.0, 20.0, 50.0] {
        let mut world = World::new(Api::new(MS(50)).quota(rate, 1.0), &[(4, 64)]);
        world.until(S(300));
        let (served, refused) = sum(&world.until(S(600)));
        let part = served / 300.0 / rate;
        assert!(part >= 0.75 && refused < 0.02, "{rate} calls a second: {part}, {refused} refused");
    }
}

#[test]
fn workers_that_share_a_quota_use_it_and_none_starves() {
    for workers in [2, 3, 8] {
        for rate in [20.0, 100.0] {
            let mut world = World::new(Api::new(MS(100)).quota(rate, rate), &vec![(4, 64); workers]);
            world.until(S(30));
            let counts = world.until(S(330));
            let (served, refused) = sum(&counts);
            let part = served / 300.0 / rate;
            assert!(part >= 0.95 && refused < 0.04, "{workers} workers: {part}, {refused} refused");
            let fair = served / f64::from(u16::try_from(workers).expect("few"));
            assert!(counts.iter().all(|count| f64::from(count.served) >= fair / 3.0), "{counts:?}");
        }
    }
}

#[test]
fn workers_that_share_a_quota_use_it_in_every_minute() {
    for dice in 0..20 {
        let api = Api { dice: dice * 7919 + 13, ..Api::new(MS(100)).quota(30.0, 30.0) };
        let mut world = World::new(api, &[(2, 64), (2, 64)]);
        world.until(S(30));
        for minute in 1..=4 {
            let (served, refused) = sum(&world.until(S(30 + 60 * minute)));
            let part = served / 60.0 / 30.0;
            assert!(part >= 0.95 && refused < 0.02, "{dice}, minute {minute}: {part}, {refused} refused");
        }
    }
}

#[test]
fn a_worker_that_comes_later_gets_its_share() {
    let mut world = World::new(Api::new(MS(100)).quota(20.0, 20.0), &[(4, 64), (4, 64)]);
    world.wakes.remove(&(Duration::ZERO, 1));
    world.until(S(120));
    world.wakes.insert((S(120), 1));
    world.until(S(150));
    let counts = world.until(S(450));
    assert!(counts.iter().all(|count| count.served >= 300 * 20 / 4), "{counts:?}");
}

#[test]
fn a_quota_that_is_raised_is_found_within_a_minute() {
    let mut world = World::new(Api::new(MS(50)).quota(10.0, 10.0), &[(4, 64)]);
    world.until(S(90));
    world.api.quota = Some((100.0, 100.0));
    world.until(S(150));
    let (served, _) = sum(&world.until(S(180)));
    assert!(served / 30.0 >= 90.0, "{served}");
    world.api.quota = Some((10.0, 10.0));
    world.until(S(210));
    let (served, refused) = sum(&world.until(S(330)));
    assert!(served / 120.0 >= 9.5 && refused < 0.02, "lowered again: {served}, {refused}");
}

#[test]
fn where_the_api_is_overloaded_the_limit_falls_and_the_work_goes_on() {
    for hands in [5_u16, 20, 40] {
        let api = Api::new(MS(100)).hands(hands).patience(MS(300));
        let mut world = World::new(api, &[(1, 64)]);
        world.until(S(30));
        let can = f64::from(hands) * 10.0;
        let (served, not) = sum(&world.until(S(60)));
        assert!(served / 30.0 >= 0.95 * can && not < 0.02, "{hands} hands: {served}, {not} refused");
        // Ten times as slow, and as many calls are too many for it.
        world.api.latency = S(1);
        world.until(S(90));
        let (served, not) = sum(&world.until(S(150)));
        assert!(served / 60.0 >= 0.85 * can / 10.0, "{hands} hands: {served}");
        assert!(not < 0.1, "{hands} hands: {not} refused");
        assert!(world.workers[0].limit() < 2 * hands, "{}", world.workers[0].limit());
        // Well again, and with more hands than can be used.
        (world.api.latency, world.api.hands) = (MS(100), Vec::new());
        world.until(S(210));
        assert_eq!(world.workers[0].limit(), 64, "within a minute");
    }
}

#[test]
fn a_queue_at_the_api_is_told_by_its_latency() {
    for hands in [2_u16, 5] {
        let mut world = World::new(Api::new(MS(100)).hands(hands), &[(1, 64)]);
        world.until(S(30));
        let (served, _) = sum(&world.until(S(90)));
        assert!(served / 60.0 >= 0.95 * f64::from(hands) * 10.0, "{hands} hands: {served}");
        assert!(world.workers[0].limit() <= 6 * hands, "{}", world.workers[0].limit());
        // The baseline does not get used to the queue.
        world.until(S(1800));
        assert!(world.workers[0].limit() <= 6 * hands, "{}", world.workers[0].limit());
    }
}

#[test]
fn an_api_that_is_slow_and_not_full_is_called_as_often_as_before() {
    let mut world = World::new(Api::new(MS(100)), &[(4, 32)]);
    world.until(S(30));
    assert_eq!(world.workers[0].limit(), 32);
    world.api.latency = S(1);
    world.until(S(90));
    let (served, _) = sum(&world.until(S(150)));
    assert!(served / 60.0 >= 0.85 * 32.0, "fewer calls would make it no quicker: {served}");
}

#[test]
fn a_call_that_started_before_the_limit_was_lowered_is_no_news() {
    let mut world = World::new(Api::new(MS(100)), &[(1, 100)]);
    world.until(S(30));
    let limit = &mut world.workers[0];
    assert_eq!(limit.limit(), 100);
    for _ in 0..50 {
        limit.learn(Call { started: S(29), ended: S(30) }, Signal::Overloaded);
    }
    assert!(limit.limit() >= 60, "{}", limit.limit());
}

#[test]
fn hands_follow_what_there_is_to_do() {
    let mut hands = Hands::new(bounds(4, 64));
    let mut now = Duration::ZERO;
    let mut look = |hands: &mut Hands, seconds: u64, in_hand: fn(u16) -> u16, busy: u16| {
        for _ in 0..seconds * 5 {
            now += MS(200);
            let in_hand = in_hand(hands.now());
            hands.look(now, in_hand, in_hand.saturating_sub(busy));
        }
        hands.now()
    };
    assert_eq!(look(&mut hands, 60, |_| 0, 0), 4, "there are no jobs");
    assert_eq!(look(&mut hands, 10, |all| all, 100), 64, "none waits");
    assert_eq!(look(&mut hands, 60, |_| 0, 0), 64, "no jobs are no reason");
    assert_eq!(look(&mut hands, 20, |all| all, 8), 12, "most of them wait for their call");
    assert_eq!(look(&mut hands, 60, |all| all, 8), 12, "and so it stays");
    assert_eq!(look(&mut hands, 20, |all| all, 100), 64);
}

#[derive(Clone, Debug)]
enum Step {
    Take,
    End(u8, u16),
    Pass(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Take),
        4 => (0..4_u8, 0..5_000_u16).prop_map(|(signal, asked)| Step::End(signal, asked)),
        2 => (0..3_000_u32).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_limits_stay_within_their_bounds_whatever_happens(
        min in 1..20_u16, more in 0..60_u16, most in prop_oneof![Just(0.0), 0.5..500.0], steps in steps()
    ) {
        let (all, mut under_way, mut now) = (bounds(min, min + more), Vec::new(), Duration::ZERO);
        let mut limit = AdaptiveLimit::new(all, most);
        for step in steps {
            match step {
                Step::Take => match limit.take(now) {
                    Turn::Now => {
                        under_way.push(now);
                        prop_assert!(under_way.len() <= usize::from(limit.limit()));
                    }
                    Turn::At(at) => prop_assert!(at > now && at <= now + S(20), "{at:?} at {now:?}"),
                    Turn::Full => prop_assert!(under_way.len() >= usize::from(limit.limit())),
                },
                Step::End(signal, asked) => if let Some(started) = under_way.pop() {
                    let signal = match signal {
                        0 | 1 => Signal::Served,
                        2 => Signal::Refused((asked > 500).then(|| MS(asked.into()))),
                        _ => Signal::Overloaded,
                    };
                    limit.learn(Call { started, ended: now }, signal);
                    limit.over();
                }
                Step::Pass(ms) => now += MS(ms.into()),
            }
            prop_assert!((min..=min + more).contains(&limit.limit()));
            let pace = limit.pace();
            prop_assert!(pace.is_none_or(|pace| pace.is_finite() && pace > 0.0 && (most == 0.0 || pace <= most)), "{pace:?}");
        }
        // Whatever it was, an API that takes everything gets everything again.
        let mut world = World::new(Api::new(MS(100)), &[(min, min + more)]);
        (world.now, world.api.at) = (now, now);
        for _ in under_way {
            limit.over();
        }
        world.workers[0] = limit;
        world.wakes = BTreeSet::from([(now, 0)]);
        world.until(now + S(120));
        let (served, _) = sum(&world.until(now + S(150)));
        let possible = f64::from(min + more) * 10.0;
        let possible = if most == 0.0 { possible } else { possible.min(most) };
        prop_assert!(served / 30.0 >= 0.9 * possible - 1.0, "{} calls a second of {possible}", served / 30.0);
    }
}

fn bounds(min: u16, max: u16) -> Bounds {
    Bounds::try_new(min, max).expect("bounds")
}
