//! The broker as the pipeline sees it.

use super::connect::ConnectError;
use super::consume_mode::{ConsumeMode, ConsumeState};
use super::depths::Depth;
use super::inbox::{Inbox, JobLease};
use super::messages::{CopyNotes, copy_properties, event_properties, part_properties};
use super::observer::Observer;
use super::outbox::Receipt;
use super::session::Session;
use super::shared::Shared;
use super::topology::Names;
use super::{dead, supervisor};
use crate::settings;
use antispoof_core::event::Event;
use antispoof_core::failure::Failure;
use antispoof_core::job::NothingAsked;
use antispoof_core::ports::{Broker, Lease as _, LeaseLost, PublishError, Spent};
use lapin::BasicProperties;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What [`Amqp::start`] returns.
pub struct Started<R, D> {
    /// The broker.
    pub amqp: Amqp,
    /// Where the jobs arrive.
    pub jobs: Inbox,
    /// Where the messages arrive that the broker took off the job queue, one at a time.
    pub dead: Inbox,
    /// To be spawned and watched. Ends when its connections and tasks are closed, or with an error when the broker is too old.
    pub supervising: R,
    /// To be spawned and watched. Reads the dead queue until [`Amqp::read_no_more`] or `stop`.
    pub reading: D,
}

/// The broker, as the pipeline sees it. Cheap to clone.
#[derive(Clone)]
pub struct Amqp {
    shared: Arc<Shared>,
}

impl Amqp {
    /// Connects, and connects again, until `stop`.
    pub fn start(
        settings: settings::Amqp,
        delays: &[settings::Delay],
        prefetch: u16,
        worker: String,
        observer: Arc<dyn Observer>,
        stop: &CancellationToken,
    ) -> Started<impl Future<Output = Result<(), ConnectError>> + Send + use<>, impl Future<Output = ()> + Send + use<>>
    {
        let names = Names::new(&settings.prefix, delays);
        let shared = Arc::new(Shared::new(settings, names, worker));
        // A session never has more than the prefetch unsettled. The rest is room for the leases of a lost session.
        let (leases, inbox) = mpsc::channel(usize::from(prefetch) * 2);
        let (dead_leases, dead) = mpsc::channel(1);
        let reading = dead::run(shared.clone(), dead_leases, observer.clone(), stop.clone());
        let supervising = supervisor::run(shared.clone(), prefetch, leases, observer, stop.clone());
        Started { amqp: Self { shared }, jobs: Inbox::new(inbox), dead: Inbox::new(dead), supervising, reading }
    }

    /// Sets how much is consumed. It takes effect by cancelling and consuming anew: the prefetch of a live consumer cannot be changed.
    pub fn set_consume_mode(&self, mode: ConsumeMode) {
        self.shared.mode.send_if_modified(|current| std::mem::replace(current, mode) != mode);
    }

    /// Stops reading the dead queue. What has been delivered arrives, and after it the inbox ends.
    pub fn read_no_more(&self) {
        self.shared.read_no_more.cancel();
    }

    /// Ends when this mode is in effect and everything that was delivered before has been passed on, or when there is no session.
    /// Cancel safe.
    pub async fn until_consuming(&self, mode: ConsumeMode) {
        let mut state = self.shared.consuming.subscribe();
        let in_effect = |state: &ConsumeState| *state == ConsumeState::NoSession || *state == ConsumeState::As(mode);
        if state.wait_for(in_effect).await.is_err() {
            // The sender lives as long as this handle.
            std::future::pending::<()>().await;
        }
    }

    /// How many messages wait in the job queue, a few seconds ago; `None` while that is not known.
    pub fn waiting(&self) -> Option<u32> {
        self.shared.depths.ready(&self.shared.names.jobs)
    }

    /// How many messages wait in each queue, as the broker last said; empty without a session.
    pub fn depths(&self) -> Vec<Depth> {
        self.shared.depths.known()
    }

    /// Waits for a session, at most for `publish_timeout`.
    async fn session(&self) -> Result<Arc<Session>, PublishError> {
        if let Some(session) = self.shared.session.borrow().as_ref() {
            return Ok(session.clone());
        }
        let mut sessions = self.shared.session.subscribe();
        let wait = sessions.wait_for(Option::is_some);
        match tokio::time::timeout(self.shared.settings.publish_timeout, wait).await {
            Ok(Ok(session)) => session.as_ref().map(Arc::clone).ok_or_else(not_connected),
            Ok(Err(_)) | Err(_) => Err(not_connected()),
        }
    }

    async fn publish_internal(
        &self,
        lease: &JobLease,
        queue: &str,
        notes: CopyNotes<'_>,
    ) -> Result<Receipt, PublishError> {
        let properties = |frame_max| copy_properties(lease, &notes, frame_max);
        self.publish_to_queue(queue, lease.body(), properties).await
    }

    /// `properties` takes the length that a frame may have.
    async fn publish_to_queue(
        &self,
        queue: &str,
        body: &[u8],
        properties: impl FnOnce(usize) -> BasicProperties,
    ) -> Result<Receipt, PublishError> {
        let session = self.session().await?;
        let properties = properties(session.outbox.frame_max());
        let published = session.outbox.publish_copy(&self.shared.names.internal, queue, body, properties).await;
        if let Err(PublishError::Unroutable { .. }) = published {
            // One of our own queues is gone; a new session declares it again.
            session.failure.report(format!("queue {queue} is not bound"));
        }
        published
    }
}

impl Broker for Amqp {
    type Lease = JobLease;
    type Receipt = Receipt;

    async fn publish_event(&self, event: &Event) -> Result<Receipt, PublishError> {
        let session = self.session().await?;
        let properties = event_properties(event, session.outbox.frame_max());
        session.outbox.publish(&self.shared.names.results, &event.routing_key, &event.body, properties).await
    }

    async fn defer(
        &self,
        lease: &JobLease,
        tier: usize,
        spent: Spent,
        why: Option<&Failure>,
    ) -> Result<Receipt, PublishError> {
        let names = &self.shared.names;
        let (queue, spent) = match lease.dropped() {
            None => (names.retry_queue(tier), spent),
            Some(_) => (names.dead.as_str(), Spent { deliveries: 0, ..spent }),
        };
        self.publish_internal(lease, queue, CopyNotes { spent, why, worker: &self.shared.worker, parked: false }).await
    }

    async fn park(&self, lease: &JobLease, spent: Spent, why: &Failure) -> Result<Receipt, PublishError> {
        let notes = CopyNotes { spent, why: Some(why), worker: &self.shared.worker, parked: true };
        self.publish_internal(lease, &self.shared.names.parked, notes).await
    }

    async fn fan_out(&self, lease: &JobLease, body: &[u8]) -> Result<Receipt, PublishError> {
        let properties = |frame_max| part_properties(lease, frame_max);
        let names = &self.shared.names;
        let queue = if lease.dropped().is_some() { &names.dead } else { &names.jobs };
        self.publish_to_queue(queue, body, properties).await
    }

    async fn ack(&self, lease: JobLease, receipt: Receipt) -> Result<(), LeaseLost> {
        lease.ack(receipt, self.shared.settings.ack_timeout).await
    }

    async fn discard(&self, lease: JobLease, nothing: NothingAsked) -> Result<(), LeaseLost> {
        lease.discard(nothing, self.shared.settings.ack_timeout).await
    }

    async fn requeue(&self, lease: JobLease) {
        let limit = self.shared.settings.ack_timeout;
        // Up to RabbitMQ 4.2 a requeued message counts as delivered once more, and orderly restarts must not bring a job to its limit. From the
        // second time on a copy with the same count goes to the shortest delay queue, or, of a dead letter, to the dead queue.
        if lease.deliveries() > 0 {
            let spent = Spent { attempts: lease.attempt(), in_doubt: lease.in_doubt(), deliveries: lease.deliveries() };
            if let Ok(Ok(receipt)) = tokio::time::timeout(limit, self.defer(&lease, 0, spent, None)).await {
                if lease.ack(receipt, limit).await.is_err() {
                    tracing::debug!("a message that goes back could not be acked; the broker delivers it again");
                }
                return;
            }
        }
        lease.requeue(limit).await;
    }

    fn can_publish(&self) -> bool {
        self.shared.session.borrow().as_ref().is_some_and(|session| session.outbox.open())
    }

    async fn until_publishable(&self) {
        let mut sessions = self.shared.session.subscribe();
        loop {
            let session = sessions.borrow_and_update().clone();
            let clear = async {
                match &session {
                    Some(session) => session.outbox.until_clear().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = clear => return,
                // The sender lives as long as this handle.
                _changed = sessions.changed() => {}
            }
        }
    }
}

fn not_connected() -> PublishError {
    PublishError::Unavailable("not connected to the broker".to_owned())
}
