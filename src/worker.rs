//! A permit, a lease, a task; and how it all stops.

mod alone;
mod appetite;
mod reminder;

use crate::amqp::{Amqp, Demand, Inbox, JobLease};
use crate::health::Health;
use crate::lifecycle::{Stop, Tasks};
use crate::pipeline::Pipeline;
use antispoof_core::ports::{Broker, Detector, ImageStore, Ledger};
use appetite::{Caution, follow};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// After the hard stop, tasks only have to notice it; and after the last task, a broker that answers has stopped delivering long before.
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
    /// Ends when that has come about: what was delivered under an earlier demand has arrived. At once while there is no session, because then nothing
    /// is delivered. Cancel safe.
    fn until_met(&self, demand: Demand) -> impl Future<Output = ()> + Send;
    /// How many messages wait in the job queue, as far as is known without asking.
    fn waiting(&self) -> Option<u32>;
    /// Nothing more is to be delivered of what the broker has dropped. What has been delivered still arrives, and after it `None`.
    fn read_no_more(&self);
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

    async fn until_met(&self, demand: Demand) {
        Self::until_met(self, demand).await;
    }

    fn waiting(&self) -> Option<u32> {
        Self::waiting(self)
    }

    fn read_no_more(&self) {
        Self::read_no_more(self);
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

/// What it takes to have jobs in hand.
struct Hands<S, D, L, B> {
    pipeline: Arc<Pipeline<S, D, L, B>>,
    tasks: TaskTracker,
    permits: Arc<Semaphore>,
    concurrency: u16,
    caution: watch::Sender<Caution>,
    health: Arc<Health>,
}

/// Consumes until the soft stop, then drains for at most `drain`. From `dead` comes what the broker took off the job queue by itself: whatever the gate says, and
/// beside the jobs.
pub async fn run<S, D, L, B>(
    pipeline: Arc<Pipeline<S, D, L, B>>,
    mut inbox: impl Arrivals<B::Lease>,
    dead: impl Arrivals<B::Lease> + 'static,
    concurrency: u16,
    drain: Duration,
    long_lived: &Tasks,
    health: Arc<Health>,
) -> Drained
where
    S: ImageStore + 'static,
    D: Detector + 'static,
    L: Ledger + 'static,
    B: Consuming,
{
    let hands = Hands {
        pipeline: pipeline.clone(),
        tasks: TaskTracker::new(),
        permits: Arc::new(Semaphore::new(usize::from(concurrency))),
        concurrency,
        caution: watch::Sender::new(Caution::None),
        health,
    };
    let stop = &pipeline.stop;
    // Consumption ends with the soft stop, or when the broker's edge has ended.
    let consumed = stop.soft().child_token();
    let following = long_lived.spawn_until("flow-control", &consumed, follow(pipeline.clone(), hands.caution.clone()));
    let reminded = pipeline.clone();
    long_lived.spawn_until("reminder", &consumed, async move {
        reminder::remind(&reminded.gate, |closed| reminder::say(&reminded, closed)).await;
    });
    let burying = long_lived.spawn("dead-letters", stop.soft(), bury(pipeline.clone(), dead, hands.tasks.clone()));
    while let Some(Ok(permit)) = hands.permit().await {
        let Some(Some(lease)) = stop.soft().run_until_cancelled(inbox.next()).await else { break };
        if Hands::<S, D, L, B>::suspects(&lease) {
            drop(permit);
            stop.hard().run_until_cancelled(hands.run_alone(lease, &mut inbox)).await;
        } else {
            hands.start(lease, permit);
        }
    }
    consumed.cancel();
    // Waited for, so that nothing it was about to ask for comes after the pause.
    following.join().await;
    pipeline.broker.demand(Demand::Paused);
    // It takes up nothing more; what it has in hand is among the tasks.
    burying.join().await;
    drained(&hands.tasks, &mut inbox, &pipeline.broker, stop, drain).await
}

impl<S, D, L, B> Hands<S, D, L, B>
where
    S: ImageStore + 'static,
    D: Detector + 'static,
    L: Ledger + 'static,
    B: Consuming,
{
    /// `None` when the process stops.
    async fn permit(&self) -> Option<Result<OwnedSemaphorePermit, AcquireError>> {
        self.pipeline.stop.soft().run_until_cancelled(self.permits.clone().acquire_owned()).await
    }

    fn start(&self, lease: B::Lease, permit: OwnedSemaphorePermit) -> JoinHandle<()> {
        let pipeline = self.pipeline.clone();
        self.tasks.spawn(async move {
            pipeline.handle(lease).await;
            drop(permit);
        })
    }
}

/// Gives what the broker has dropped its end, one after the other, until the soft stop. What arrives after it is handed back: a lease that is dropped would be
/// rejected, which the broker counts, and it counts up to three.
async fn bury<S, D, L, B>(pipeline: Arc<Pipeline<S, D, L, B>>, mut dead: impl Arrivals<B::Lease>, tasks: TaskTracker)
where
    S: ImageStore + 'static,
    D: Detector + 'static,
    L: Ledger + 'static,
    B: Consuming,
{
    let soft = pipeline.stop.soft().clone();
    while let Some(Some(lease)) = soft.run_until_cancelled(dead.next()).await {
        let handled = pipeline.clone();
        let handling = tasks.spawn(async move { handled.handle(lease).await });
        if soft.run_until_cancelled(handling).await.is_none() {
            break;
        }
    }
    pipeline.broker.read_no_more();
    let handing_back = async {
        while let Some(lease) = dead.next().await {
            pipeline.broker.give_back(lease).await;
        }
    };
    pipeline.stop.hard().run_until_cancelled(handing_back).await;
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
    if matches!(finished, Some(Ok(()))) {
        // A broker that does not answer takes everything back when the connections close; it is not waited for as long as a job is.
        let quiet = stop.hard().run_until_cancelled(timeout(NOTICE, until_quiet(inbox, broker))).await;
        if !matches!(quiet, Some(Ok(()))) {
            tracing::debug!("the broker has not said that it delivers no more");
        }
    }
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

/// Hands back what the broker had sent before it heard that nothing more is wanted. Left to the end of the connection it would count as delivered, and
/// after some restarts make suspects of jobs that nobody has tried. (A quorum queue may send a few more after its answer. Those lapin drops unseen, and
/// they do count.)
async fn until_quiet<B: Consuming>(inbox: &mut impl Arrivals<B::Lease>, broker: &B) {
    loop {
        tokio::select! {
            biased;
            Some(lease) = inbox.next() => broker.give_back(lease).await,
            () = broker.until_met(Demand::Paused) => break,
        }
    }
    while let Some(lease) = inbox.waiting() {
        broker.give_back(lease).await;
    }
}
