//! A permit, a lease, a task; and how it all stops.

mod alone;
mod consuming;
mod flow_control;
mod job_slots;
mod reminder;

pub use consuming::{Arrivals, Consuming, ConsumingPorts};

use crate::amqp::ConsumeMode;
use crate::health::Health;
use crate::lifecycle::{Stop, Tasks};
use crate::pipeline::{Lease, Pipeline};
use antispoof_core::ports::Broker as _;
use flow_control::{Caution, follow};
use job_slots::JobSlots;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
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

/// Consumes until the soft stop, then drains for at most `drain`. From `dead` comes what the broker took off the job queue by itself: whatever the gate says, and
/// beside the jobs.
pub async fn run<P: ConsumingPorts>(
    pipeline: Arc<Pipeline<P>>,
    mut inbox: impl Arrivals<Lease<P>>,
    dead: impl Arrivals<Lease<P>> + 'static,
    concurrency: u16,
    drain: Duration,
    long_lived: &Tasks,
    health: Arc<Health>,
) -> Drained {
    let slots = JobSlots {
        pipeline: pipeline.clone(),
        tasks: TaskTracker::new(),
        permits: Arc::new(Semaphore::new(usize::from(concurrency))),
        concurrency,
        caution: watch::Sender::new(Caution::None),
        health,
    };
    let stop = &pipeline.stop;
    // Consumption ends with the soft stop, or when the broker's client has ended.
    let consumed = stop.soft().child_token();
    let following = follow(pipeline.clone(), slots.caution.clone(), slots.permits.clone(), concurrency);
    let following = long_lived.spawn_until("flow-control", &consumed, following);
    let reminded = pipeline.clone();
    long_lived.spawn_until("reminder", &consumed, async move {
        reminder::remind(&reminded.gate, |closed| reminder::say(&reminded, closed)).await;
    });
    let dead_letters =
        long_lived.spawn("dead-letters", stop.soft(), handle_dead_letters(pipeline.clone(), dead, slots.tasks.clone()));
    while let Some(Ok(permit)) = slots.permit().await {
        let Some(Some(lease)) = stop.soft().run_until_cancelled(inbox.next()).await else { break };
        if JobSlots::<P>::suspects(&lease) {
            drop(permit);
            stop.hard().run_until_cancelled(slots.run_alone(lease, &mut inbox)).await;
        } else {
            slots.start(lease, permit);
        }
    }
    consumed.cancel();
    // Waited for, so that nothing it was about to ask for comes after the pause.
    following.join().await;
    pipeline.broker.set_consume_mode(ConsumeMode::Paused);
    // It takes up nothing more; what it has in hand is among the tasks.
    dead_letters.join().await;
    drained(&slots.tasks, &mut inbox, &pipeline.broker, stop, drain).await
}

/// Gives what the broker has dropped its end, one after the other, until the soft stop. What arrives after it is handed back: a lease that is dropped would be
/// rejected, which the broker counts, and it counts up to three.
async fn handle_dead_letters<P: ConsumingPorts>(
    pipeline: Arc<Pipeline<P>>,
    mut dead: impl Arrivals<Lease<P>>,
    tasks: TaskTracker,
) {
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
            pipeline.broker.requeue(lease).await;
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
                Some(lease) = inbox.next() => broker.requeue(lease).await,
            }
        }
        while let Some(lease) = inbox.waiting() {
            broker.requeue(lease).await;
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
/// after some restarts make suspects of jobs that were never tried. (A quorum queue may send a few more after its answer. Those lapin drops unseen, and
/// they do count.)
async fn until_quiet<B: Consuming>(inbox: &mut impl Arrivals<B::Lease>, broker: &B) {
    loop {
        tokio::select! {
            biased;
            Some(lease) = inbox.next() => broker.requeue(lease).await,
            () = broker.until_consuming(ConsumeMode::Paused) => break,
        }
    }
    while let Some(lease) = inbox.waiting() {
        broker.requeue(lease).await;
    }
}
