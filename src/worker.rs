//! A permit, a lease, a task; and how it all stops.

use crate::amqp::{Amqp, Demand, Inbox, JobLease};
use crate::gate::State;
use crate::lifecycle::Stop;
use crate::pipeline::Pipeline;
use antispoof_core::ports::{Broker, Detector, ImageStore, Ledger};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// After the hard stop, tasks only have to notice it.
const NOTICE: Duration = Duration::from_secs(2);

/// How the worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Everything in hand found its end.
    Whole,
    /// The time was up, or a second signal came: what was in flight is delivered again.
    Cut,
}

/// A broker that is told how much to deliver.
pub trait Consuming: Broker<Lease: 'static> + Clone + 'static {
    /// How much is to be delivered from now on; what has been delivered already stays in hand.
    fn demand(&self, demand: Demand);
}

/// Where the leases of a broker arrive.
pub trait Arrivals<L>: Send {
    /// The next lease that is still ours; `None` when there will be no more. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Option<L>> + Send;
    /// What has arrived and was not taken.
    fn waiting(&mut self) -> Option<L>;
}

impl Consuming for Amqp {
    fn demand(&self, demand: Demand) {
        Self::demand(self, demand);
    }
}

impl Arrivals<JobLease> for Inbox {
    async fn next(&mut self) -> Option<JobLease> {
        Self::next(self).await
    }

    fn waiting(&mut self) -> Option<JobLease> {
        Self::waiting(self)
    }
}

/// Consumes until the soft stop, then drains for at most `drain`.
pub async fn run<S, D, L, B>(
    pipeline: Arc<Pipeline<S, D, L, B>>,
    mut inbox: impl Arrivals<B::Lease>,
    concurrency: u16,
    drain: Duration,
) -> Drained
where
    S: ImageStore + 'static,
    D: Detector + 'static,
    L: Ledger + 'static,
    B: Consuming,
{
    let permits = Arc::new(Semaphore::new(usize::from(concurrency)));
    let tasks = TaskTracker::new();
    let broker = pipeline.broker.clone();
    let stop = pipeline.stop.clone();
    let gate = tokio::spawn(follow_gate(pipeline.clone()));
    while let Some(Ok(permit)) = stop.soft().run_until_cancelled(permits.clone().acquire_owned()).await {
        let Some(Some(lease)) = stop.soft().run_until_cancelled(inbox.next()).await else { break };
        let pipeline = pipeline.clone();
        tasks.spawn(async move {
            pipeline.handle(lease).await;
            drop(permit);
        });
    }
    gate.abort();
    // Waited for, so that nothing it was about to ask for comes after the pause.
    drop(gate.await);
    broker.demand(Demand::Paused);
    drained(&tasks, &mut inbox, &broker, &stop, drain).await
}

/// Consumes nothing while the gate is closed, and one job to find the next probe.
async fn follow_gate<S, D, L, B>(pipeline: Arc<Pipeline<S, D, L, B>>)
where
    S: ImageStore,
    D: Detector,
    L: Ledger,
    B: Consuming,
{
    let mut states = pipeline.gate.watch();
    loop {
        let state = *states.borrow_and_update();
        pipeline.journal.metrics().gate_open.set((state == State::Open).into());
        let demand = match state {
            State::Open => Demand::Full,
            State::Closed(_) => Demand::Paused,
            State::Handover(_) => Demand::One,
        };
        // The worker pauses when it drains; that must not be undone.
        if pipeline.stop.soft().is_cancelled() {
            return;
        }
        pipeline.broker.demand(demand);
        if states.changed().await.is_err() {
            return;
        }
    }
}

async fn drained<B: Consuming>(
    tasks: &TaskTracker,
    inbox: &mut impl Arrivals<B::Lease>,
    broker: &B,
    stop: &Stop,
    limit: Duration,
) -> Drained {
    tasks.close();
    if !tasks.is_empty() {
        info!(jobs = tasks.len(), "waiting for {} jobs in flight, at most {limit:?}", tasks.len());
    }
    let finish = async {
        loop {
            tokio::select! {
                biased;
                () = tasks.wait() => break,
                // Arrived before the consumer was cancelled, not started.
                Some(lease) = inbox.next() => broker.give_back(lease).await,
            }
        }
        while let Some(lease) = inbox.waiting() {
            broker.give_back(lease).await;
        }
    };
    let finished = stop.hard().run_until_cancelled(timeout(limit, finish)).await;
    // The hard stop also ends the tasks, so the wait for them may well be over first: then nothing is whole.
    if matches!(finished, Some(Ok(()))) && !stop.hard().is_cancelled() {
        return Drained::Whole;
    }
    warn!(jobs = tasks.len(), "{} jobs are cut off, the broker delivers them again", tasks.len());
    stop.hard().cancel();
    if timeout(NOTICE, tasks.wait()).await.is_err() {
        warn!(jobs = tasks.len(), "{} tasks do not end", tasks.len());
    }
    Drained::Cut
}
