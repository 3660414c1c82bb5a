//! Rolling upgrades, scaling and evictions as Kubernetes does them by the chart in `deploy/helm`, under load, judged by the oracle of `chaos`.
//! docs/upgrading.md says what of it an operator can rely on. `cargo test --test it rollout -- --nocapture` prints the figures.

#![expect(clippy::print_stderr, reason = "the figures of a run are for whoever asks for them")]

mod fleet;
mod load;

use std::sync::Arc;
use std::time::Duration;

use lapin::options::ExchangeDeleteOptions;
use serde_json::json;
use tokio::task::LocalSet;

use self::fleet::{End, Fleet, GRACE, Ledger, Release};
use self::load::{Judged, Load, Mark, PAST_CLAIMS, PROMPT, rate};
use crate::batch::Batch;
use crate::chaos::oracle::{Promise, Violation};
use crate::harness::broker::RESULTS;
use crate::harness::wait::{SOON, eventually};
use crate::harness::world::World;

/// Nothing but one call for each job.
const ONE_CALL_EACH: Promise = Promise::OnRecordAndAtMost(0);

/// A worker that is asked to go has nothing to wait for but its calls, which take half a second here; the rest is for a busy machine.
const NO_LONGER_THAN_ITS_CALLS: Duration = Duration::from_secs(8);

#[tokio::test]
async fn a_roll_under_load_costs_no_second_call_and_no_second_event() {
    LocalSet::new().run_until(Box::pin(roll("roll_redis", Ledger::Redis))).await;
}

/// What was sent is finished by whoever sent it, and what is handed back was not sent: an orderly roll does not need a ledger.
#[tokio::test]
async fn an_orderly_roll_costs_nothing_without_a_ledger_either() {
    LocalSet::new().run_until(Box::pin(roll("roll_none", Ledger::None))).await;
}

async fn roll(test: &str, ledger: Ledger) {
    let world = Arc::new(World::new(test).await);
    let mut fleet = Fleet::new(&world, ledger);
    fleet.scale_up(Release::Old, 3).await;
    let load = Load::begin(&world, 1).await;
    load.go_on(60).await;
    let before = load.go_on(100).await;

    let begun = load.mark();
    for _ in 0..3 {
        load.assert_jobs_wait().await;
        fleet.replace(GRACE).await.assert_drained();
    }
    let done = load.mark();
    load.go_on(100).await;
    let after = load.mark();
    let judged = load.end(&mut fleet, PROMPT, ONE_CALL_EACH).await;

    report(test, &judged, &fleet, [before, begun, done, after]);
    assert_orderly(&judged, &fleet);
}

#[tokio::test]
async fn three_become_six_and_six_become_one() {
    LocalSet::new().run_until(Box::pin(scale())).await;
}

async fn scale() {
    let world = Arc::new(World::new("rollout_scale").await);
    let mut fleet = Fleet::new(&world, Ledger::Redis);
    fleet.scale_up(Release::Old, 3).await;
    let load = Load::begin(&world, 2).await;
    load.go_on(60).await;
    let before = load.go_on(100).await;

    let begun = load.mark();
    fleet.scale_up(Release::Old, 3).await;
    load.go_on(150).await;
    for end in fleet.scale_down(5, GRACE).await {
        end.assert_drained();
    }
    let done = load.mark();
    load.go_on(30).await;
    let after = load.mark();
    let judged = load.end(&mut fleet, PROMPT, ONE_CALL_EACH).await;

    report("scale", &judged, &fleet, [before, begun, done, after]);
    assert_orderly(&judged, &fleet);
}

#[tokio::test]
async fn what_is_killed_in_a_roll_is_in_doubt_and_nothing_else_is_paid_twice() {
    LocalSet::new().run_until(Box::pin(node_pressure())).await;
}

/// One replica is evicted without a word. Then the vendor hangs while two are asked to go: one by a node that gives it a second, one with the chart's grace.
async fn node_pressure() {
    let world = Arc::new(World::new("rollout_pressure").await);
    let mut fleet = Fleet::new(&world, Ledger::Redis);
    fleet.scale_up(Release::Old, 3).await;
    let load = Load::begin(&world, 3).await;
    let before = load.go_on(60).await;

    let begun = load.mark();
    fleet.scale_up(Release::New, 1).await;
    fleet.pods[0].until_full(Release::Old).await;
    let evicted = fleet.evict().await;

    world.simulator.configure(json!({ "faults": "hang=100%" })).await;
    let in_hand = 2 * Release::Old.concurrency() + Release::New.concurrency();
    calls_in_flight(&world, in_hand).await;
    assert_eq!(fleet.scale_down(1, Duration::from_secs(1)).await, [End::Killed], "calls that hang outlast a second");
    fleet.scale_down(1, GRACE).await[0].assert_drained();
    world.simulator.configure(json!({ "faults": "" })).await;
    fleet.scale_up(Release::New, 2).await;
    let done = load.mark();
    load.go_on(30).await;
    let after = load.mark();
    // The survivor may have begun further calls when its first had timed out.
    let hung = in_hand + Release::New.concurrency();
    let judged = load.end(&mut fleet, PAST_CLAIMS, Promise::OnRecordAndAtMost(evicted + hung)).await;

    report("node pressure", &judged, &fleet, [before, begun, done, after]);
    judged.assert_good();
    let sums = judged.sums();
    assert!(sums.in_doubt >= in_hand, "every call that hung is reported: {sums:?}");
    assert_eq!(sums.unrecorded, 0, "{sums:?}");
    assert!(fleet.told.alone < 1.0, "nobody is suspected for having been in hand: {:?}", fleet.told);
    // As if it had been a roll like any other: the oracle is not blind.
    assert_ne!(judged.violations_of(ONE_CALL_EACH), [], "calls were cut off, and all went on as if they had not been");
}

#[tokio::test]
async fn with_a_ledger_in_memory_an_eviction_pays_again_for_what_was_in_hand() {
    LocalSet::new().run_until(Box::pin(eviction_without_a_ledger())).await;
}

async fn eviction_without_a_ledger() {
    let world = Arc::new(World::new("rollout_memory").await);
    let mut fleet = Fleet::new(&world, Ledger::Memory);
    fleet.scale_up(Release::Old, 3).await;
    let load = Load::begin(&world, 4).await;
    load.go_on(60).await;
    fleet.pods[0].until_full(Release::Old).await;
    let evicted = fleet.evict().await;
    fleet.scale_up(Release::New, 1).await;
    load.go_on(60).await;
    let judged = load.end(&mut fleet, PROMPT, Promise::AtMost(evicted)).await;

    judged.assert_good();
    let sums = judged.sums();
    eprintln!("eviction, ledger in memory: {sums:?}");
    assert!(sums.extra > 0, "it had calls in hand: {sums:?}");
    assert_eq!(sums.in_doubt, 0, "nobody is left who knows: {sums:?}");
    // What a ledger that all share promises is not kept here, and the oracle says so.
    let names: Vec<_> = judged.violations_of(Promise::OnRecord).iter().map(Violation::name).collect();
    assert!(names.len() as u64 == sums.extra && names.iter().all(|name| *name == "paid without record"), "{names:?}");
}

#[tokio::test]
async fn six_that_start_at_once_on_an_empty_broker_are_all_ready() {
    LocalSet::new().run_until(Box::pin(first_start())).await;
}

async fn first_start() {
    let world = Arc::new(World::new("rollout_first").await);
    // The harness has made the results exchange, for its own sake.
    let channel = world.broker.channel().await;
    let deleted = channel.exchange_delete(RESULTS.into(), ExchangeDeleteOptions::default());
    deleted.await.expect("an exchange can be deleted");
    assert_eq!(world.broker.queues().await, [""; 0], "nothing is there");

    let mut fleet = Fleet::new(&world, Ledger::Redis);
    fleet.scale_up(Release::Old, 6).await;
    world.broker.bind_results().await;
    let batch = Batch::submitted(&world, 60).await;
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    assert_eq!(world.events().await.len(), 60, "nothing is told twice");
    eprintln!("six at once on an empty broker: ready after {:?}", fleet.starts);
    for end in fleet.scale_down(6, GRACE).await {
        end.assert_drained();
    }
    world.assert_drained().await;
}

fn assert_orderly(judged: &Judged, fleet: &Fleet) {
    judged.assert_good();
    let sums = judged.sums();
    assert_eq!((sums.duplicates, sums.in_doubt, sums.billed), (0, 0, sums.ended), "{sums:?}");
    assert!(
        fleet.told.alone + fleet.told.in_doubt < 1.0,
        "nobody is suspected, and no call in doubt: {:?}",
        fleet.told
    );
    let longest = fleet.drains.iter().max().copied().unwrap_or_default();
    assert!(longest < NO_LONGER_THAN_ITS_CALLS, "a drain took {longest:?}");
}

async fn calls_in_flight(world: &World, count: u64) {
    eventually(&format!("{count} calls to be in flight"), SOON, async || {
        let stats = world.simulator.stats_without_images().await;
        match stats["in_flight"].as_u64().unwrap_or(0) {
            now if now >= count => Ok(()),
            now => Err(format!("{now}")),
        }
    })
    .await;
}

/// Jobs a second before, during and after, and what it cost.
fn report(name: &str, judged: &Judged, fleet: &Fleet, [before, begun, done, after]: [Mark; 4]) {
    let sums = judged.sums();
    eprintln!(
        "{name}: took {:.1?}; jobs/s {:.0} before, {:.0} meanwhile, {:.0} after; longest time without an end {:.1?}\n  \
         starts {:.1?}\n  drains {:.1?}\n  {} redelivered; {sums:?}",
        done.0 - begun.0,
        rate(before, begun),
        rate(begun, done),
        rate(done, after),
        judged.longest_gap(begun, done),
        fleet.starts,
        fleet.drains,
        fleet.told.redelivered,
    );
}
