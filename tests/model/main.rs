//! The real worker, pipeline, gate and memory ledger against a world that lives in memory, on a paused clock: thousands of schedules of
//! faults, deaths and stops in seconds, each of which follows from a number.
//!
//! A schedule submits some jobs and lets things go wrong for a while: any call of a port fails or hangs, connections break around publishes
//! and acks, workers die between any two steps, are stopped softly and hard, services are away, results are unbound. Then nothing goes wrong any more, time
//! runs on until nothing is left to do, and `check.rs` looks at what came of every job. The broker itself looks at every ack, whether
//! something confirmed stands in for what it removes.
//!
//! A failure prints what happened and a command that shows it again. More schedules than usual:
//! `MODEL_SCHEDULES=200000 cargo test --release --test model -- schedules --nocapture`.

mod bench;
mod broker;
mod check;
mod conformance;
mod detector;
mod drama;
mod inbox;
mod jobs;
mod ledger;
mod life;
mod outages;
mod plan;
mod queues;
mod records;
mod run;
mod store;
mod world;

use plan::{Fault, Plan, Seed};
use std::env;

/// How many schedules `make test` runs.
const SCHEDULES: u64 = 1_200;

/// Schedules that once showed a mistake.
const ONCE_FAILED: &[&str] = &["1"];

#[test]
fn schedules() {
    let count = env::var("MODEL_SCHEDULES").ok().map_or(SCHEDULES, |count| count.parse().expect("a number"));
    let from = env::var("MODEL_FROM").ok().map_or(0, |from| from.parse().expect("a number"));
    run::campaign(from, count);
}

/// What once failed, and what `MODEL_SEED` names.
#[test]
fn replay() {
    let named = env::var("MODEL_SEED").ok();
    for text in ONCE_FAILED.iter().copied().chain(named.as_deref()) {
        let seed: Seed = text.parse().unwrap_or_else(|problem| panic!("{problem}"));
        let outcome = run::run(&Plan::new(seed), true);
        assert!(outcome.problems.is_empty(), "{}", run::report(seed));
        if named.as_deref() == Some(text) {
            println!("{}nothing is wrong with {seed}", outcome.trace);
        }
    }
}

#[test]
fn the_same_number_is_the_same_schedule() {
    for number in 0..5 {
        let seed = Seed { faults: u32::MAX, ..Seed::new(number) };
        let once = run::run(&Plan::new(seed), true);
        let again = run::run(&Plan::new(seed), true);
        assert_eq!(once.trace, again.trace, "{seed}");
        assert_eq!(seed.to_string().parse(), Ok(seed));
    }
}

/// When everything fails, the workers wait more than they work.
#[test]
fn hopeless_times_are_quiet_times() {
    const CALLS_A_SECOND: f64 = 4.0;
    // After 5 s, 10 s, 20 s, 40 s, then every 30 s to 60 s; each with a repetition where the token was replaced.
    const PROBES_IN_TEN_MINUTES: u64 = 48;

    for broken in [Fault::Store, Fault::Weather, Fault::Doubt, Fault::Account, Fault::Ledger, Fault::Refusal] {
        for number in 0..20 {
            let plan = Plan::hopeless(number, &[broken]);
            let outcome = run::run(&plan, false);
            assert!(outcome.problems.is_empty(), "{broken:?} {number}: {:?}", outcome.problems);
            if broken == Fault::Account {
                // One probe at a time for each worker, and at first what was in hand: once, and once more with a fresh token.
                let most = plan.workers as u64 * (PROBES_IN_TEN_MINUTES + 2 * u64::from(plan.concurrency));
                assert!(outcome.of_vendor < most, "{number}: {} calls of a vendor that refuses", outcome.of_vendor);
            }
            assert!(outcome.busy < CALLS_A_SECOND, "{broken:?} {number}: {} calls a second and job", outcome.busy);
        }
    }
}
