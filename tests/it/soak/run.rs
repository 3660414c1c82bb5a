//! The soak and its figures.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::batch::{Batch, disagreements};
use crate::harness::broker::Message;
use crate::harness::daemon::{Daemon, DaemonBuilder};
use crate::harness::wait::{EVENTUALLY, STARTED, eventually, soon};
use crate::harness::world::World;

/// Jobs in flight of the one worker that runs at a time.
const CONCURRENCY: u64 = 8;

/// What is to be done, and what to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) jobs: usize,
    /// How often the worker is killed (SIGKILL) and started again.
    pub(crate) kills: usize,
    /// How often all connections with the broker are reset.
    pub(crate) cuts: usize,
    /// Decides when which of it happens.
    pub(crate) seed: u64,
}

#[derive(Clone, Copy, Debug)]
enum Strike {
    Kill,
    Cut,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    plan: Plan,
    ended: usize,
    events: usize,
    failed: usize,
    disagreements: Vec<String>,
    calls: u64,
    most_at_once: u64,
    /// Deliveries in hand, as the worker said itself just before each kill.
    in_hand: Vec<f64>,
    /// Ready messages of every queue, after the last worker has ended.
    depths: BTreeMap<String, u32>,
    open_files: usize,
    resident_kib: u64,
    took: Duration,
}

/// Runs it. Panics, with what was awaited, when something does not happen in time.
pub(crate) async fn soak(world: &World, plan: &Plan) -> Figures {
    world.simulator.configure(json!({ "latency": "uniform:10ms..60ms" })).await;
    let builder = world.daemon().set("worker.concurrency", CONCURRENCY.to_string()).set("log.level", "warn");
    let mut daemon = builder.clone().start_ready().await;
    let mut batch = Batch::stored(world, plan.jobs).await;
    let start = Instant::now();
    batch.submit(world).await;
    let mut in_hand = Vec::new();
    for (calls, strike) in strikes(plan) {
        soon("the next strike to be due", limit(plan), async || match world.simulator.count("calls").await {
            now if now >= calls => Ok(()),
            now => Err(format!("{now} calls of {calls}")),
        })
        .await;
        match strike {
            Strike::Kill => {
                in_hand.push(daemon.metric("antispoofd_jobs_in_flight").await.expect("a gauge"));
                daemon = killed(daemon, &builder).await;
            }
            Strike::Cut => cut(world, &daemon).await,
        }
    }

    let events = batch.ended(world, limit(plan)).await;
    let took = start.elapsed();
    world.assert_drained().await;
    let (open_files, resident_kib) = (daemon.open_files(), daemon.resident_kib());
    daemon.term();
    assert!(daemon.wait_exit(STARTED).await.success(), "the last worker ends in peace");
    let mut depths = BTreeMap::new();
    for queue in world.broker.queues().await {
        let depth = world.broker.depth(&queue).await.unwrap_or(0);
        depths.insert(queue, depth);
    }
    // Once more: an event that was told twice may have come after the last job had its first.
    let events = if events.len() < plan.jobs { events } else { world.events().await };
    Figures {
        plan: *plan,
        ended: events.iter().filter_map(Message::job_id).collect::<HashSet<_>>().len(),
        events: events.len(),
        failed: events.iter().filter(|event| event.failure_code().is_some()).count(),
        disagreements: disagreements(&events),
        calls: world.simulator.count("calls").await,
        most_at_once: world.simulator.count("max_in_flight").await,
        in_hand,
        depths,
        open_files,
        resident_kib,
        took,
    }
}

/// What happens at how many calls, in the order of time: somewhere between the first tenth and the last.
fn strikes(plan: &Plan) -> Vec<(u64, Strike)> {
    let mut dice = fastrand::Rng::with_seed(plan.seed);
    let jobs = u64::try_from(plan.jobs).expect("a number of jobs");
    let kinds =
        [Strike::Kill].into_iter().cycle().take(plan.kills).chain([Strike::Cut].into_iter().cycle().take(plan.cuts));
    let mut strikes: Vec<_> = kinds.map(|strike| (dice.u64(jobs / 10..=jobs * 9 / 10), strike)).collect();
    strikes.sort_by_key(|(calls, _)| *calls);
    strikes
}

async fn killed(daemon: Daemon, builder: &DaemonBuilder) -> Daemon {
    daemon.kill();
    daemon.wait_exit(STARTED).await;
    drop(daemon);
    builder.clone().start_ready().await
}

async fn cut(world: &World, daemon: &Daemon) {
    let series = "antispoofd_amqp_reconnects_total";
    let before = daemon.metric(series).await.expect("a counter");
    world.amqp_link.cut().await;
    eventually("the cut to be noticed", EVENTUALLY, async || match daemon.metric(series).await {
        Some(now) if now > before => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    world.amqp_link.restore().await;
    daemon.wait_ready().await;
}

/// Ten jobs a second would be a disgrace even for a debug build.
fn limit(plan: &Plan) -> Duration {
    EVENTUALLY + Duration::from_secs(u64::try_from(plan.jobs / 10).expect("a number of jobs"))
}

// === impl Figures ===

impl Figures {
    /// Calls beyond one for each job.
    fn extra_calls(&self) -> u64 {
        self.calls.saturating_sub(u64::try_from(self.plan.jobs).expect("a number of jobs"))
    }

    /// What a killed worker knew is gone with it, so its jobs in hand may be called for again; nobody else's.
    fn most_extra_calls(&self) -> u64 {
        CONCURRENCY * u64::try_from(self.plan.kills).expect("a number of kills")
    }

    /// The invariants that did not hold.
    pub(crate) fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut check = |holds: bool, what: String| {
            if !holds {
                broken.push(what);
            }
        };
        check(self.ended == self.plan.jobs, format!("{} of {} jobs have ended", self.ended, self.plan.jobs));
        check(self.failed == 0, format!("{} events are failures", self.failed));
        check(self.disagreements.is_empty(), format!("events disagree: {:?}", self.disagreements));
        let most = self.most_extra_calls();
        check(self.extra_calls() <= most, format!("{} extra calls, at most {most} were in hand", self.extra_calls()));
        check(self.most_at_once <= CONCURRENCY, format!("{} calls at once", self.most_at_once));
        let left: Vec<_> = self.depths.iter().filter(|(_, depth)| **depth > 0).collect();
        check(left.is_empty(), format!("messages are left over: {left:?}"));
        broken
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { jobs, kills, cuts, seed } = self.plan;
        writeln!(f, "jobs            {jobs}, {} ended (seed {seed})", self.ended)?;
        writeln!(f, "events          {}, {} of them duplicates", self.events, self.events - self.ended)?;
        writeln!(f, "calls           {}, {} extra", self.calls, self.extra_calls())?;
        writeln!(f, "in hand         {:?} at {kills} kills, {} at most", self.in_hand, self.most_extra_calls())?;
        writeln!(f, "cuts            {cuts}")?;
        writeln!(f, "calls at once   {}", self.most_at_once)?;
        for (queue, depth) in &self.depths {
            writeln!(f, "left in         {queue}: {depth}")?;
        }
        writeln!(f, "last worker     {} descriptors, {} KiB", self.open_files, self.resident_kib)?;
        write!(f, "seconds         {:.1}", self.took.as_secs_f64())
    }
}
