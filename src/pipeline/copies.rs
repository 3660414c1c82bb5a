//! Copies into queues of our own, and what happens while such a queue takes nothing.

use super::Pipeline;
use super::settle::{RESULT_HOLD, fault, status};
use crate::gate::{Gate, Proof, Reason};
use crate::telemetry::Copied;
use antispoof_core::failure::{Code, Failure};
use antispoof_core::job::{Intake, Origin};
use antispoof_core::ports::{Broker, Detector, ImageStore, Lease, Ledger, PublishError, Spent};
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// Why there is no copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unkept {
    /// The broker has given the message to somebody else.
    Lost,
    /// The queue takes nothing, and the message has been in hand for long enough.
    Held,
}

/// How many jobs are in hand because a queue takes no copy of them.
#[derive(Debug, Default)]
pub struct Stuck {
    jobs: AtomicUsize,
    changed: Notify,
}

/// One of them.
struct StuckJob<'a> {
    stuck: &'a Stuck,
    gate: &'a Gate,
}

impl Stuck {
    fn one_more<'a>(&'a self, gate: &'a Gate) -> StuckJob<'a> {
        self.jobs.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_waiters();
        StuckJob { stuck: self, gate }
    }

    /// Ends when there are not so many any more, or others. Cancel safe.
    pub async fn not(&self, so_many: usize) {
        loop {
            let changed = self.changed.notified();
            if self.count() != so_many {
                return;
            }
            changed.await;
        }
    }

    /// Ends when there is one more, whatever becomes of those that are there now. Cancel safe.
    pub async fn one_more_than_now(&self) {
        let mut fewest = self.count();
        loop {
            let changed = self.changed.notified();
            let now = self.count();
            if now > fewest {
                return;
            }
            fewest = now;
            changed.await;
        }
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.jobs.load(Ordering::Relaxed)
    }
}

impl Drop for StuckJob<'_> {
    fn drop(&mut self) {
        self.stuck.jobs.fetch_sub(1, Ordering::Relaxed);
        self.stuck.changed.notify_waiters();
        self.gate.proof(Proof::Slot);
    }
}

impl<S, D, L, B> Pipeline<S, D, L, B>
where
    S: ImageStore,
    D: Detector,
    L: Ledger,
    B: Broker,
{
    /// Into the delay queue with index `tier`; or into another, when that one takes nothing.
    pub(super) async fn delay(
        &self,
        lease: &B::Lease,
        tier: usize,
        spent: Spent,
        why: Option<&Failure>,
    ) -> Result<B::Receipt, Unkept> {
        let queue = if lease.dropped().is_some() { Copied::Dead } else { Copied::Retry };
        let tier = |refused| self.rules.policy.tier_instead(tier, refused);
        self.persist(lease, queue, |refused| self.broker.defer(lease, tier(refused), spent, why)).await
    }

    /// Publishes a replacement, for as long as the lease is ours. `publish` is told how often the fault was that of the queue it went to. Other jobs go on while
    /// there are slots; when the last one is held like this, the gate closes.
    pub(super) async fn persist<F>(
        &self,
        lease: &B::Lease,
        queue: Copied,
        publish: impl Fn(usize) -> F,
    ) -> Result<B::Receipt, Unkept>
    where
        F: Future<Output = Result<B::Receipt, PublishError>>,
    {
        let metrics = self.journal.metrics();
        let since = Instant::now();
        let (mut probe, mut stuck, mut counted, mut refused) = (None, None, None, 0);
        for tries in 0.. {
            if !lease.usable() {
                break;
            }
            let error = match publish(refused).await {
                Ok(receipt) => {
                    metrics.copied(queue, "confirmed");
                    return Ok(receipt);
                }
                Err(error) => error,
            };
            metrics.copied(queue, status(&error));
            self.held(tries, lease, queue, &error);
            if let Some(code) = fault(&error) {
                refused += usize::from(code == Code::BrokerUnavailable);
                counted.get_or_insert_with(|| metrics.stuck(queue));
                // What the broker has dropped holds no slot.
                if lease.dropped().is_none() {
                    if stuck.is_none() {
                        lease.held();
                        stuck = Some(self.stuck.one_more(&self.gate));
                    }
                    if self.stuck.count() >= self.gate.slots() {
                        self.gate.keep_closed(&mut probe, Reason::Queue, &error.to_string());
                    }
                }
            }
            // Its end is on record, and found again by whoever gets it next.
            let on_record = lease.dropped().is_some() || queue == Copied::Parked && self.books.remembers();
            if on_record && (since.elapsed() > RESULT_HOLD || self.stop.soft().is_cancelled()) {
                return Err(Unkept::Held);
            }
            sleep(self.rules.publish.wait(tries, (self.ambient.roll)())).await;
        }
        Err(Unkept::Lost)
    }

    /// Says so at the first try and then ever more rarely.
    fn held(&self, tries: u32, lease: &B::Lease, queue: Copied, error: &PublishError) {
        if (tries + 1).is_power_of_two() {
            let job = match Intake::read(lease.body(), lease.properties(), &self.rules.admission) {
                Ok(Intake::Job(job)) => job.id().to_owned(),
                Ok(Intake::Several(_) | Intake::Nothing(_)) => {
                    Origin::of_message(lease.body(), lease.properties()).job_id
                }
                Err(refused) => refused.origin.job_id,
            };
            let (tries, queue) = (tries + 1, queue.label());
            tracing::warn!(job.id = job, queue, %error, tries, "job {job}: its copy for the {queue} queue is held: {error}");
        }
    }
}
