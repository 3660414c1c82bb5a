//! The life of a delivery, and of the job that it asks for.

use super::delivery::Delivery;
use super::job_run::{Interrupt, JobRun};
use super::parts::{DELIVERY_LIMIT, FRESH_COPY, Lease, Pipeline};
use crate::gate::Proof;
use crate::lifecycle::until_cancelled;
use crate::telemetry::{JobRecord, Settlement};
use antispoof_core::event::{FailureResult, JobResult};
use antispoof_core::failure::{Code, Failure};
use antispoof_core::job::{Intake, Origin, Refused};
use antispoof_core::plan::{Plan, plan};
use antispoof_core::ports::{self, Lease as _, Ports, Spent};
use std::pin::pin;
use tracing::Instrument as _;

impl<P: Ports> Pipeline<P> {
    /// Sees a message to its settlement. Broken off only by the hard stop; then the broker redelivers it.
    pub async fn handle(&self, mut lease: Lease<P>) {
        let intake = Intake::read(lease.body(), lease.properties(), &self.rules.admission);
        let mut record = self.begin(&mut lease, &intake);
        let span = record.span();
        let handling = pin!(async move {
            let delivery = Delivery { pipeline: self, lease, record: &mut record };
            if let Some(settlement) = until_cancelled!(self.stop.hard(), settle(delivery, intake)) {
                record.settled(settlement);
            }
        });
        handling.instrument(span).await;
    }

    /// Requeues a message untouched: it is not its turn. Broken off only by the hard stop.
    pub async fn postpone(&self, mut lease: Lease<P>) {
        let intake = Intake::read(lease.body(), lease.properties(), &self.rules.admission);
        let mut record = self.begin(&mut lease, &intake);
        let span = record.span();
        // With all its deliveries: postponed each time, the poison message would never come to its own end.
        let spent = Spent { attempts: lease.attempt(), in_doubt: lease.in_doubt(), deliveries: lease.deliveries() };
        let postponing = pin!(async move {
            let delivery = Delivery { pipeline: self, lease, record: &mut record };
            if let Some(settlement) = until_cancelled!(self.stop.hard(), delivery.requeue_uncounted(spent, None)) {
                record.settled(settlement);
            }
        });
        postponing.instrument(span).await;
    }

    /// A record under the name that the message has: that of its job, else the best stand-in there is.
    fn begin(&self, lease: &mut Lease<P>, intake: &Result<Intake, Box<Refused>>) -> JobRecord {
        let begin = |origin, image| self.log.begin(&*lease, origin, image);
        let record = match intake {
            Ok(Intake::Job(job)) => begin(job.origin(), Some(job.image())),
            Ok(Intake::Several(_) | Intake::Nothing(_)) => {
                begin(&Origin::of_message(lease.body(), lease.properties()), None)
            }
            Err(refused) => begin(&refused.origin, refused.image.as_ref()),
        };
        if let Some(traceparent) = record.begun() {
            lease.trace_as(traceparent);
        }
        record
    }
}

/// What few deliveries need is boxed, here and below: a future has room for the longest of its ways, for each job in flight.
async fn settle<P: Ports>(mut delivery: Delivery<'_, P>, intake: Result<Intake, Box<Refused>>) -> Settlement {
    if is_worn(&delivery.lease) {
        match Box::pin(delivery.renew()).await {
            Ok(settlement) => return settlement,
            // Where the queue takes no copy, the quickest way to the event is the best.
            Err(same) => delivery = same,
        }
    }
    match intake {
        Ok(Intake::Job(job)) => JobRun::new(delivery, *job).run().await,
        Ok(Intake::Several(bodies)) => Box::pin(delivery.fan_out(&bodies)).await,
        Ok(Intake::Nothing(nothing)) => Box::pin(delivery.discard(nothing)).await,
        Err(refused) => Box::pin(delivery.refuse(*refused)).await,
    }
}

/// True for a dead letter that has been delivered and lost before: a copy is made first.
fn is_worn(lease: &impl ports::Lease) -> bool {
    lease.dropped().is_some() && lease.deliveries() >= FRESH_COPY
}

impl<P: Ports> JobRun<'_, P> {
    /// The life of a job: what is known of it already, the check of its image, the record of the result.
    async fn result(&mut self) -> Result<JobResult, Interrupt> {
        if let Some(prior) = self.claim().await? {
            return Ok(prior);
        }
        self.check_deliveries()?;
        let result = self.check_image().await?;
        self.put_on_record(result, false).await
    }

    /// Sees the job to its result, or the message to the queue where it waits.
    pub(super) async fn run(mut self) -> Settlement {
        loop {
            let outcome = match self.delivery.lease.dropped().cloned() {
                None => self.result().await,
                Some(dropped) => Box::pin(self.result_of_dead_letter(&dropped)).await,
            };
            self.pass.leave();
            // A ledger that takes some steps and refuses others is not back: only a job that came through all of them proves that it is.
            if matches!(outcome, Ok(_) | Err(Interrupt::Failed(..) | Interrupt::DailyLimit(..))) {
                self.delivery.pipeline.gate.proof(Proof::Ledger);
            }
            let interrupt = match outcome {
                Ok(result) => return self.publish_result(result).await,
                Err(interrupt) => interrupt,
            };
            if !matches!(interrupt, Interrupt::Failed(..)) {
                self.release_claim(false).await;
            }
            let spent = self.spent();
            let mut met = None;
            match interrupt {
                Interrupt::Busy => return Box::pin(self.delivery.requeue_uncounted(spent, None)).await,
                Interrupt::Stopped => return Box::pin(self.delivery.requeue()).await,
                Interrupt::LeaseLost => return Settlement::Lost,
                Interrupt::GateClosed => self.delivery.record.waits(&self.delivery.pipeline.gate.why_closed()),
                Interrupt::LedgerAway => self.pass.ledger_is_away(),
                Interrupt::DailyLimit(today, resumes_in) => self.wait_for_the_next_day(today, resumes_in),
                Interrupt::Failed(failure, blame) => {
                    self.delivery.record.failed(&failure);
                    match plan(&failure, blame, self.delivery.lease.attempt(), &self.delivery.pipeline.rules.policy) {
                        // The claim is held until the failure is on record, so that no other delivery of the job slips in before.
                        Plan::Park { attempts, exhausted } => {
                            if exhausted {
                                self.delivery.record.exhausted(attempts);
                            }
                            return Box::pin(self.fail(&failure)).await;
                        }
                        Plan::Delay { tier, attempts } => {
                            self.release_claim(failure.may_be_paid()).await;
                            let spent = Spent { attempts, deliveries: 0, ..spent };
                            return Box::pin(self.delivery.defer(tier, spent, &failure)).await;
                        }
                        Plan::Requeue => self.release_claim(false).await,
                    }
                    met = Some(failure);
                }
            }
            // The job that finds out whether a fault is over keeps its lease: to cycle it through the queue would bring nothing but load.
            let stop = self.delivery.pipeline.stop.soft();
            match stop.run_until_cancelled(self.pass.again()).await {
                None => return Box::pin(self.delivery.requeue()).await,
                // The probe is dropped with the pass, after the job has found its place: the next job takes over.
                Some(false) => return Box::pin(self.delivery.requeue_uncounted(spent, met.as_ref())).await,
                Some(true) if !self.delivery.lease.usable() => return Settlement::Lost,
                Some(true) => self = self.start_over(),
            }
        }
    }

    fn check_deliveries(&self) -> Result<(), Interrupt> {
        let deliveries = self.delivery.lease.deliveries();
        if deliveries < DELIVERY_LIMIT {
            return Ok(());
        }
        let message = format!("delivered {} times without an end", deliveries.saturating_add(1));
        Err(Failure::new(Code::DeliveryLimit, message).into())
    }

    /// The failure becomes the result of the job, unless another is on record.
    async fn fail(mut self, failure: &Failure) -> Settlement {
        let report = self.report(self.delivery.attempts());
        let result = JobResult::Failure(FailureResult::new(failure, report));
        if !self.recorded {
            return self.publish_result(result).await;
        }
        match self.put_on_record(result, failure.may_be_paid()).await {
            Ok(result) => self.publish_result(result).await,
            Err(_lease_lost) => Settlement::Lost,
        }
    }

    async fn publish_result(self, result: JobResult) -> Settlement {
        let key = self.recorded.then_some(self.key.as_str());
        match result {
            JobResult::Verdict(verdict) => self.delivery.publish_verdict(self.job.origin(), key, verdict).await,
            JobResult::Failure(failure) => {
                Box::pin(self.delivery.publish_failure(self.job.origin(), key, failure)).await
            }
        }
    }
}
