//! A run from the first upload to the judgement.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, timeout};

use super::crew::Replica;
use super::feed;
use super::figures::{Figures, Report};
use super::jobs::{Job, jobs};
use super::keepsake::Keepsake;
use super::oracle::{History, Promise, Submitted, Tally, sums, violations};
use super::plan::{Backing, CONCURRENCY, Kind, Plan};
use super::strike::{Scene, Struck, USUAL_LATENCY};
use super::witness::{Stalled, Witness};
use crate::harness::broker::PARKED;
use crate::harness::own_broker::OwnBroker;
use crate::harness::wait::{EVENTUALLY, eventually};
use crate::harness::world::World;

/// The longest time from one end of a job to the next. A claim that nobody holds any more takes 34 s, a broker some ten to start.
const STALL: Duration = Duration::from_mins(2);

/// Runs the plan with services of its own; `name` is that of their instance, `others` those it has beside the broker. Panics, with what was awaited, when
/// something does not happen that has to happen for the run to go on. `tell` hears of every fault.
pub(crate) async fn chaos(plan: &Plan, name: &str, others: &[&'static str], tell: impl Fn(&Struck)) -> Report {
    // Producer and consumer are tasks beside the run.
    LocalSet::new().run_until(Box::pin(run(plan, name, others, tell))).await
}

async fn run(plan: &Plan, name: &str, others: &[&'static str], tell: impl Fn(&Struck)) -> Report {
    let keepsake = Keepsake::new(plan);
    let own = OwnBroker::start_with(name, others).await;
    let world = Arc::new(World::with_tls(name, own.services()).await);
    if let Some(front) = &world.tls {
        // Most vendors and all proxies speak it; the faults of HTTP/2 change it for their time.
        front.offer_http2(false);
    }
    world.simulator.configure(json!({ "latency": USUAL_LATENCY })).await;
    let witness = Witness::of(&world).await;
    let jobs = jobs(plan.jobs, plan.seed);
    feed::upload(&world, &jobs).await;
    let mut replicas = Vec::new();
    for number in 0..plan.replicas {
        replicas.push(Replica::start(&world, plan, number, keepsake.dir()).await);
    }

    let start = Instant::now();
    let (due, next) = watch::channel(0);
    let publishing =
        spawn_local(feed::publish(Arc::clone(&world), jobs.clone(), plan.ahead(), witness.progress(), next));
    let mut struck = Vec::new();
    let note = |done| {
        tell(&done);
        struck.push(done);
    };
    let mut scene = Scene {
        world: &world,
        own: &own,
        ledger: plan.ledger,
        seed: plan.seed,
        ahead: plan.ahead(),
        replicas: &mut replicas,
    };
    let stalled = strikes(plan, &mut scene, &witness, &due, note).await.err();
    let took = start.elapsed();
    let left = settled(&world, &mut replicas).await;
    witness.catch_up(&world).await;
    // Where the run has stalled, what is not published yet never will be.
    publishing.abort();
    let copies = publishing.await.unwrap_or_default();

    let (events, strange) = witness.events();
    witness.close().await;
    let stats = world.simulator.stats().await;
    let submitted = submitted(&jobs, &copies);
    let promise = promise(plan, &submitted, &struck);
    let parked = world.broker.parked().await.iter().map(|message| message.message_id().to_owned()).collect();
    let drops = struck.iter().any(|struck| struck.strike.kind.drops_jobs());
    let history = History { jobs: submitted, events, calls: calls(&stats), parked, left, promise, drops };
    let violations = violations(&history);
    let good = violations.is_empty() && strange.is_empty() && stalled.is_none();
    let figures = Figures { plan: plan.clone(), struck, sums: sums(&history), parked: history.parked.len(), took };
    // The last lives of the replicas are on file with this.
    drop(replicas);
    if !good {
        keepsake.note("history.txt", &format!("{history:#?}\n{strange:#?}\n{stats:#}"));
    }
    let stalled = stalled.map(|Stalled { ended, limit }| format!("no job ended for {limit:?} after {ended}"));
    let kept = keepsake.end(good);
    Report { figures, violations, strange, stalled, kept }
}

async fn strikes(
    plan: &Plan,
    scene: &mut Scene<'_>,
    witness: &Witness,
    due: &watch::Sender<usize>,
    mut note: impl FnMut(Struck),
) -> Result<(), Stalled> {
    for strike in plan.strikes() {
        // The fault before may have taken longer than the jobs that were there for it.
        due.send_replace(strike.at.max(*witness.progress().borrow()));
        witness.wait(strike.at, STALL).await?;
        scene.until_busy(strike.replica).await;
        note(scene.strike(strike).await);
    }
    due.send_replace(plan.jobs);
    witness.wait(plan.jobs, STALL).await
}

/// Lets the last copies find their ends, stops everybody, and counts what is left.
async fn settled(world: &World, replicas: &mut [Replica]) -> BTreeMap<String, u64> {
    let empty = eventually("the queues to be empty", EVENTUALLY * 2, async || {
        // A copy is now in a delay queue, now in the job queue, now in a worker's hands: the queues are looked at twice, and nothing may
        // have been delivered meanwhile.
        let before = hands(replicas).await;
        let looks = [depths(world, true).await, depths(world, true).await];
        let after = hands(replicas).await;
        let empty = looks.iter().all(|left| left.values().all(|messages| *messages == 0));
        if empty && before == after && after.iter().all(|(in_hand, _)| *in_hand == Some(0.0)) {
            return Ok(());
        }
        Err(format!("{looks:?}, in hand and delivered: {before:?}, {after:?}"))
    });
    // What does not become empty is counted below.
    timeout(EVENTUALLY, empty).await.ok();
    for replica in replicas {
        replica.term().await;
    }
    depths(world, false).await
}

/// Of each replica, how many jobs it has in hand, and how many it was given.
async fn hands(replicas: &[Replica]) -> Vec<(Option<f64>, Option<f64>)> {
    let mut hands = Vec::new();
    for replica in replicas {
        let in_hand = replica.figure("antispoofd_jobs_in_flight").await;
        hands.push((in_hand, replica.figure("antispoofd_deliveries_total").await));
    }
    hands
}

/// Messages in every queue of the workers but the parked one. Those that are in somebody's hands are known from samples.
pub(crate) async fn depths(world: &World, unacked: bool) -> BTreeMap<String, u64> {
    let mut depths = BTreeMap::new();
    for queue in world.broker.queues().await {
        if queue == PARKED || !queue.starts_with("antispoof.") {
            continue;
        }
        let in_hands = if unacked { world.broker.sampled(&queue).await.unacked } else { 0 };
        let ready = world.broker.depth(&queue).await.unwrap_or(0);
        depths.insert(queue, in_hands + u64::from(ready));
    }
    depths
}

/// The jobs as they were published.
pub(crate) fn submitted(jobs: &[Job], copies: &HashMap<String, usize>) -> Vec<Submitted> {
    jobs.iter()
        .map(|job| Submitted {
            id: job.id.clone(),
            expected: job.expected(),
            copies: copies.get(&job.id).copied().unwrap_or_else(|| job.copies()),
        })
        .collect()
}

/// As docs/ledger.md has it.
fn promise(plan: &Plan, jobs: &[Submitted], struck: &[Struck]) -> Promise {
    let jobs_in_hand = |strikes: usize| (strikes * CONCURRENCY) as u64;
    match (plan.ledger, plan.replicas) {
        (Backing::File, 1) if plan.only == [Kind::Kill] => Promise::OnRecordAndAtMost(jobs_in_hand(struck.len())),
        (Backing::Redis | Backing::S3, _) | (Backing::File, 1) => Promise::OnRecord,
        // Whoever takes a job over knows nothing of what was paid for it, nor of a copy that another has seen.
        (Backing::File | Backing::Memory, _) => {
            let losses = struck.iter().filter(|struck| struck.strike.kind.takes_jobs_away()).count();
            let copies: usize = jobs.iter().map(|job| job.copies - 1).sum();
            Promise::AtMost(jobs_in_hand(losses * plan.replicas) + copies as u64)
        }
    }
}

/// What the simulator saw, by the SHA-256 of the image.
pub(crate) fn calls(stats: &Value) -> HashMap<String, Tally> {
    let images = stats["images"].as_object().expect("the simulator counts images");
    let figure = |count: &Value, name: &str| count[name].as_u64().unwrap_or(0);
    images
        .iter()
        .map(|(digest, count)| {
            let [calls, billed, garbled] = ["calls", "billed", "garbled"].map(|name| figure(count, name));
            (digest.clone(), Tally { calls, billed, garbled })
        })
        .collect()
}
