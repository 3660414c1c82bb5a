//! Suspects: jobs that the broker has delivered several times without an end. One of them may be what ends the process each time, and everything
//! in hand beside it would be counted as delivered once more, until the broker parks jobs that were never tried. So a suspect runs with nothing
//! beside it, and is alone when it fails.

use super::consuming::{Arrivals, Consuming as _, ConsumingPorts};
use super::flow_control::Caution;
use super::job_slots::JobSlots;
use crate::amqp::ConsumeMode;
use crate::pipeline::{Lease, SUSPECT};
use antispoof_core::ports::{Broker as _, Lease as _};
use std::time::Duration;
use tokio::sync::{AcquireError, OwnedSemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout};

/// Suspects that wait for their turn come back after the shortest delay; so much later none is expected any more.
const STRAGGLERS: Duration = Duration::from_secs(5);

/// A suspect that cannot be alone for so long (a result is held, or the gate is closed) goes back and comes again.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often the jobs beside a suspect are counted anew.
const RECOUNT: Duration = Duration::from_secs(1);

/// How the wait for empty slots ended.
enum Quiesced {
    /// Nothing else is in hand but what a queue holds up, and as long as this is held nothing will be.
    Alone(OwnedSemaphorePermit),
    /// Not now.
    Busy,
    /// The process stops.
    Stopped,
}

impl<P: ConsumingPorts> JobSlots<P> {
    pub(super) fn suspects(lease: &Lease<P>) -> bool {
        lease.deliveries() >= SUSPECT
    }

    /// Sees a suspect to its end with nothing else in hand. What else was delivered is finished first; other suspects among it go back to the queue,
    /// one after the other gets its turn.
    pub(super) async fn run_alone(&self, suspect: Lease<P>, inbox: &mut impl Arrivals<Lease<P>>) {
        let deliveries = suspect.deliveries();
        tracing::warn!(
            deliveries,
            "a job was delivered {deliveries} times without an end: it is run with nothing beside it"
        );
        let metrics = self.pipeline.log.metrics();
        metrics.alone_now.set(1);
        self.health.isolated(true);
        let before = self.caution.send_replace(Caution::Alone);
        let mut put_off = false;
        match self.quiesce(inbox, &mut put_off).await {
            Quiesced::Alone(all) => {
                metrics.alone.inc();
                let mut all = all;
                let rest = all.split(all.num_permits().saturating_sub(1));
                let running = self.start(suspect, all);
                // Its own end is all there is to wait for, or that it waits itself, for a queue that takes nothing. When the process stops, drain waits for it.
                let alone = async {
                    tokio::select! {
                        _ended = running => {}
                        () = self.is_held(rest.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)) => {}
                    }
                };
                self.pipeline.stop.soft().run_until_cancelled(alone).await;
                drop(rest);
            }
            Quiesced::Busy => self.postpone(suspect).await,
            Quiesced::Stopped => self.pipeline.broker.requeue(suspect).await,
        }
        metrics.alone_now.set(0);
        self.health.isolated(false);
        let shortest = self.pipeline.rules.policy.delays.first().copied().unwrap_or_default();
        let now = Instant::now();
        let back = put_off.then(|| now + shortest + STRAGGLERS);
        self.caution.send_replace(before.or_until(back, now));
    }

    /// Waits until everything else has found its end and nothing more is delivered. Tells of other suspects that were put off meanwhile.
    async fn quiesce(&self, inbox: &mut impl Arrivals<Lease<P>>, put_off: &mut bool) -> Quiesced {
        let limit = Instant::now() + PATIENCE;
        loop {
            let quiet = async {
                self.pipeline.broker.until_consuming(ConsumeMode::Paused).await;
                self.others_to_end().await
            };
            let arrived = tokio::select! {
                biased;
                () = self.pipeline.stop.soft().cancelled() => return Quiesced::Stopped,
                arrived = inbox.next() => arrived,
                quiet = quiet => match (quiet, inbox.waiting()) {
                    (Ok(all), None) => return Quiesced::Alone(all),
                    (_, waiting) => waiting,
                },
                () = sleep_until(limit) => return Quiesced::Busy,
            };
            let Some(lease) = arrived else { return Quiesced::Stopped };
            if Self::suspects(&lease) {
                *put_off = true;
                self.postpone(lease).await;
            } else if let Some(Ok(permit)) = self.permit().await {
                self.start(lease, permit);
            } else {
                self.pipeline.broker.requeue(lease).await;
            }
        }
    }

    /// Waits for everything else in hand but what is held by a queue that takes nothing: that has its end on record, or none that this could change.
    async fn others_to_end(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        loop {
            let held = self.pipeline.stuck.count();
            let others = u32::from(self.concurrency).saturating_sub(u32::try_from(held).unwrap_or(u32::MAX)).max(1);
            tokio::select! {
                biased;
                // One that was held and has ended gives its permit back: then another job's is missing among these.
                all = self.permits.clone().acquire_many_owned(others) => if self.pipeline.stuck.count() >= held { return all },
                () = self.pipeline.stuck.not(held) => {}
            }
        }
    }

    /// Waits until the suspect itself is held by a queue that takes nothing, while so many permits are kept from the others: then more are held than there are
    /// others in hand. One of those that were held may go on meanwhile and be held again, as a message with several jobs is at each of them.
    async fn is_held(&self, kept: usize) {
        loop {
            let changed = self.pipeline.stuck.changed();
            let free = kept + self.permits.available_permits() + 1;
            if self.pipeline.stuck.count() > usize::from(self.concurrency).saturating_sub(free) {
                return;
            }
            // One of the others may have ended: that changes no number of those that are held.
            drop(timeout(RECOUNT, changed).await);
        }
    }

    /// Back to the shortest delay queue, with its count.
    async fn postpone(&self, lease: Lease<P>) {
        if let Some(Ok(permit)) = self.permit().await {
            let pipeline = self.pipeline.clone();
            self.tasks.spawn(async move {
                pipeline.postpone(lease).await;
                drop(permit);
            });
        } else {
            self.pipeline.broker.requeue(lease).await;
        }
    }
}
