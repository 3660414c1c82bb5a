//! Jobs without end while the replicas are exchanged, and the judgement when it is over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::select;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::Instant;

use super::fleet::{Fleet, GRACE};
use crate::chaos::feed;
use crate::chaos::jobs::{Job, Sort, jobs};
use crate::chaos::oracle::{History, Promise, Submitted, Sums, Violation, sums, violations};
use crate::chaos::run::{calls, depths, submitted};
use crate::chaos::witness::{Stalled, Witness};
use crate::harness::broker::JOBS;
use crate::harness::wait::{SOON, eventually};
use crate::harness::world::World;

/// Jobs that wait or are in hand at any time: more than six workers can have in hand, so there is always one for whoever asks.
const AHEAD: usize = 120;
/// Long enough for a worker to be asked to go in the middle of calls.
pub(crate) const LATENCY: &str = "uniform:100ms..500ms";
/// More than any scenario gets done.
const MOST: usize = 20_000;
const CHUNK: usize = 30;
/// The longest time without an end, where nobody waits for the claims of a dead worker.
pub(crate) const PROMPT: Duration = Duration::from_secs(20);
/// Where another worker does: they last for 36 s.
pub(crate) const PAST_CLAIMS: Duration = Duration::from_mins(1);

/// A producer that keeps the queue filled, and a consumer that notes every event.
pub(crate) struct Load {
    world: Arc<World>,
    witness: Witness,
    enough: watch::Sender<bool>,
    publishing: JoinHandle<Vec<Submitted>>,
    noting: JoinHandle<()>,
    /// How many had ended, and when.
    ends: watch::Receiver<Vec<(Instant, usize)>>,
}

/// A moment, and how many jobs had ended by then.
pub(crate) type Mark = (Instant, usize);

/// A run that is over.
pub(crate) struct Judged {
    history: History,
    strange: Vec<String>,
    ends: Vec<Mark>,
}

// === impl Load ===

impl Load {
    /// Begins to publish. The queues have to be there.
    pub(crate) async fn begin(world: &Arc<World>, seed: u64) -> Self {
        world.simulator.configure(json!({ "latency": LATENCY })).await;
        let witness = Witness::of(world).await;
        let enough = watch::Sender::new(false);
        let publishing = spawn_local(publish(Arc::clone(world), seed, witness.progress(), enough.subscribe()));
        let (log, ends) = watch::channel(Vec::new());
        let noting = spawn_local(note(witness.progress(), log));
        Self { world: Arc::clone(world), witness, enough, publishing, noting, ends }
    }

    /// Waits for so many further ends, while jobs wait in the queue. Returns when it began.
    pub(crate) async fn go_on(&self, jobs: usize) -> Mark {
        let began = self.mark();
        self.until(began.1 + jobs, PROMPT).await;
        self.assert_jobs_wait().await;
        began
    }

    /// There is work for more than all who are there have in hand. On a busy machine the producer can be behind for a moment, and RabbitMQ 3.10 can say
    /// 0 for a quorum queue that is busy.
    pub(crate) async fn assert_jobs_wait(&self) {
        eventually("the producer to be ahead of the workers", SOON, async || {
            let waiting = self.world.broker.depth(JOBS).await;
            if waiting.is_some_and(|waiting| waiting > 0) { Ok(()) } else { Err(format!("{waiting:?} jobs wait")) }
        })
        .await;
    }

    /// Now.
    pub(crate) fn mark(&self) -> Mark {
        (Instant::now(), *self.witness.progress().borrow())
    }

    /// Publishes no more, waits for all ends and for empty queues, asks everybody to go, and puts together what all parties saw. `limit` is for the
    /// time from one end to the next.
    pub(crate) async fn end(self, fleet: &mut Fleet, limit: Duration, promise: Promise) -> Judged {
        self.enough.send_replace(true);
        let Self { world, witness, publishing, noting, ends, .. } = self;
        let jobs = publishing.await.expect("the producer publishes");
        wait(&witness, jobs.len(), limit).await;
        world.assert_drained().await;
        fleet.told = fleet.told().await;
        for end in fleet.scale_down(fleet.pods.len(), GRACE).await {
            end.assert_drained();
        }
        witness.catch_up(&world).await;
        let (events, strange) = witness.events();
        noting.abort();
        witness.close().await;
        let parked = world.broker.parked().await.iter().map(|message| message.message_id().to_owned()).collect();
        let stats = world.simulator.stats().await;
        let left = depths(&world, false).await;
        let history = History { jobs, events, calls: calls(&stats), parked, left, promise, drops: false };
        let ends = ends.borrow().clone();
        Judged { history, strange, ends }
    }

    async fn until(&self, jobs: usize, limit: Duration) {
        wait(&self.witness, jobs, limit).await;
    }
}

async fn wait(witness: &Witness, jobs: usize, limit: Duration) {
    if let Err(Stalled { ended, limit }) = witness.wait(jobs, limit).await {
        panic!("no job ended for {limit:?} after {ended} of {jobs}");
    }
}

async fn publish(
    world: Arc<World>,
    seed: u64,
    mut ended: watch::Receiver<usize>,
    mut enough: watch::Receiver<bool>,
) -> Vec<Submitted> {
    // One call for each is what is to be counted, so each has an image of its own and is published once.
    let all: Vec<Job> = jobs(MOST, seed).into_iter().filter(|job| job.sort == Sort::Image).collect();
    let mut copies = HashMap::new();
    let mut published = 0;
    for chunk in all.chunks(CHUNK) {
        // Before it is due, so that storing does not hold up the jobs.
        feed::upload(&world, chunk).await;
        select! {
            biased;
            _ = enough.wait_for(|enough| *enough) => break,
            due = ended.wait_for(|ended| ended + AHEAD > published) => if due.is_err() { break },
        }
        feed::hand_in(&world, chunk, &mut copies).await;
        published += chunk.len();
        assert!(published < all.len(), "there are no more jobs");
    }
    submitted(&all[..published], &copies)
}

async fn note(mut ended: watch::Receiver<usize>, log: watch::Sender<Vec<Mark>>) {
    while ended.changed().await.is_ok() {
        let now = *ended.borrow_and_update();
        log.send_modify(|ends| ends.push((Instant::now(), now)));
    }
}

// === impl Judged ===

impl Judged {
    /// Everything that must not be, by this promise instead.
    pub(crate) fn violations_of(&self, promise: Promise) -> Vec<Violation> {
        violations(&History { promise, ..self.history.clone() })
    }

    /// Every job has one end, its events one id, and what was paid is as promised; and nothing is parked or left over.
    pub(crate) fn assert_good(&self) {
        assert_eq!(violations(&self.history), [], "{:?}", self.sums());
        assert_eq!(self.strange, [""; 0], "events that are none");
    }

    pub(crate) fn sums(&self) -> Sums {
        sums(&self.history)
    }

    /// The longest time without an end between the two.
    pub(crate) fn longest_gap(&self, from: Mark, to: Mark) -> Duration {
        let within = self.ends.iter().map(|(at, _)| *at).filter(|at| *at > from.0 && *at < to.0);
        let moments: Vec<_> = std::iter::once(from.0).chain(within).chain(std::iter::once(to.0)).collect();
        moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

/// Jobs that ended in a second, on average between the two.
pub(crate) fn rate(from: Mark, to: Mark) -> f64 {
    let jobs = u32::try_from(to.1 - from.1).expect("a number of jobs");
    f64::from(jobs) / (to.0 - from.0).as_secs_f64()
}
