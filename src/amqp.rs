//! The broker's edge: the only place that names lapin.
//!
//! ```text
//!   supervisor ── owns ──> Session { two connections, consumer, outbox }   built, watched, torn down, built again, for ever
//!        │ leases                      ▲
//!        ▼                             │ publishes
//!      Inbox ──> worker ──> Amqp (ports::Broker) ──> outbox
//!        ▲
//!        │ leases
//!      dead ───── owns ──> a connection of its own, which reads what the broker took off the job queue
//! ```
//!
//! Two connections, because a broker alarm blocks everything on a connection that publishes, acks included. The third, because a message that ends each
//! connection that it is delivered to must not end those of the jobs.

mod connect;
mod dead;
mod definitions;
mod headers;
mod inbox;
mod inspect;
mod life;
mod line;
mod management;
mod outbox;
mod session;
mod sieve;
mod slow_start;
mod subscription;
mod supervisor;
mod tool;
mod topology;
mod version;
mod watchdog;

pub use connect::{ConnectError, Link, Role, connect};
pub use definitions::definitions;
pub use headers::job_message;
pub use inbox::{Inbox, JobLease};
pub use inspect::{Difference, Found, State, inspect};
pub use management::{Compared, Effect, Management, ManagementError, Policies, PolicyFinding, PolicyName};
pub use outbox::{Outbox, Receipt};
pub use session::Demand;
pub use tool::{Keep, Tail, ToolError, close, missing};
pub use topology::{Names, TopologyError, declare, put_up};
pub use version::{Product, Standing};

use crate::settings;
use antispoof_core::dropped::Dropped;
use antispoof_core::event::Event;
use antispoof_core::failure::Failure;
use antispoof_core::job::NothingAsked;
use antispoof_core::ports::{Broker, Lease as _, LeaseLost, PublishError, Spent};
use lapin::BasicProperties;
use session::{Met, Session};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use watchdog::Waiting;

/// What the broker's edge tells the rest of the process about itself.
pub trait Observer: Send + Sync + 'static {
    /// A session came up (`true`) or went down.
    fn connected(&self, up: bool);
    /// Which broker a session that came up is with.
    fn met(&self, broker: &Product);
    /// A session was lost and is being built again.
    fn reconnecting(&self, reason: &str);
    /// A message arrived; `redelivered` as the broker says.
    fn delivered(&self, redelivered: bool);
    /// The connection that consumes from `queue` ended, while the broker answers on another: a message there may be what ends it.
    fn cut(&self, queue: Consumed);
    /// A message arrived that the broker took off the job queue for this reason.
    fn dead_letter(&self, dropped: &Dropped);
    /// The consumer of such messages is registered with the broker (`true`) or not.
    fn reading_dead_letters(&self, on: bool);
    /// An alarm blocks (`true`) or no longer blocks publishing.
    fn blocked(&self, blocked: bool);
    /// The consumer is registered with the broker (`true`) or not.
    fn consuming(&self, on: bool);
    /// The broker confirmed, returned or refused a message after so long.
    fn published(&self, took: Duration);
    /// A confirm is late (`true`), or is waited for no longer.
    fn late(&self, waiting: bool);
}

/// What a worker consumes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumed {
    /// The job queue.
    Jobs,
    /// What the broker took off it by itself.
    Dead,
}

/// What [`Amqp::start`] starts.
pub struct Started<R, D> {
    /// The broker.
    pub amqp: Amqp,
    /// Where the jobs arrive.
    pub jobs: Inbox,
    /// Where what the broker took off the job queue arrives, one at a time.
    pub dead: Inbox,
    /// Ends when everything is closed, or with an error when the broker can never be worked with.
    pub supervising: R,
    /// Reads what the broker took off the job queue, until [`Amqp::read_no_more`] or `stop`.
    pub reading: D,
}

/// The broker, as the pipeline sees it. Cheap to clone.
#[derive(Clone)]
pub struct Amqp {
    shared: Arc<Shared>,
}

struct Shared {
    settings: settings::Amqp,
    names: Names,
    /// Who writes `as-worker`.
    worker: String,
    session: watch::Sender<Option<Arc<Session>>>,
    demand: watch::Sender<Demand>,
    met: watch::Sender<Met>,
    waiting: Waiting,
    /// Nothing more is to be read from the dead queue.
    read_no_more: CancellationToken,
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
        let shared = Arc::new(Shared {
            settings,
            names,
            worker,
            session: watch::Sender::new(None),
            demand: watch::Sender::new(Demand::Paused),
            met: watch::Sender::new(Met::NoSession),
            waiting: Waiting::default(),
            read_no_more: CancellationToken::new(),
        });
        // A session never has more than the prefetch unsettled. The rest is room for what a lost session left behind.
        let (leases, inbox) = mpsc::channel(usize::from(prefetch) * 2);
        let (dead_leases, dead) = mpsc::channel(1);
        let reading = dead::run(shared.clone(), dead_leases, observer.clone(), stop.clone());
        let supervising = supervisor::run(shared.clone(), prefetch, leases, observer, stop.clone());
        Started { amqp: Self { shared }, jobs: Inbox::new(inbox), dead: Inbox::new(dead), supervising, reading }
    }

    /// How much is to be consumed. Takes effect by cancelling and consuming anew: the prefetch of a live consumer cannot be changed.
    pub fn demand(&self, demand: Demand) {
        self.shared.demand.send_if_modified(|current| std::mem::replace(current, demand) != demand);
    }

    /// Nothing more is read of what the broker has dropped. What has been delivered arrives, and after it the inbox ends.
    pub fn read_no_more(&self) {
        self.shared.read_no_more.cancel();
    }

    /// Ends when what is consumed is as it was demanded, and everything that was delivered under an earlier demand has been passed on; or when there
    /// is no session. Cancel safe.
    pub async fn until_met(&self, demand: Demand) {
        let mut met = self.shared.met.subscribe();
        if met.wait_for(|&met| met == Met::NoSession || met == Met::As(demand)).await.is_err() {
            // The sender lives as long as this handle.
            std::future::pending::<()>().await;
        }
    }

    /// How many messages wait in the job queue, as the broker said within the last `amqp.watchdog_interval`; `None` when it has not said yet.
    pub fn waiting(&self) -> Option<u32> {
        self.shared.waiting.known()
    }

    /// Waits until there is a session, for as long as `publish_timeout`.
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
        headers: headers::Notes<'_>,
    ) -> Result<Receipt, PublishError> {
        let properties = |frame_max| headers::republished(lease, &headers, frame_max);
        self.publish_to_queue(queue, lease.body(), properties).await
    }

    /// `properties` is told how long a frame may be.
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
            session.trouble.report(format!("queue {queue} is not bound"));
        }
        published
    }
}

impl Broker for Amqp {
    type Lease = JobLease;
    type Receipt = Receipt;

    async fn announce(&self, event: &Event) -> Result<Receipt, PublishError> {
        let session = self.session().await?;
        let properties = headers::announced(event, session.outbox.frame_max());
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
        self.publish_internal(lease, queue, headers::Notes { spent, why, worker: &self.shared.worker, parked: false })
            .await
    }

    async fn park(&self, lease: &JobLease, spent: Spent, why: &Failure) -> Result<Receipt, PublishError> {
        let notes = headers::Notes { spent, why: Some(why), worker: &self.shared.worker, parked: true };
        self.publish_internal(lease, &self.shared.names.parked, notes).await
    }

    async fn divide(&self, lease: &JobLease, body: &[u8]) -> Result<Receipt, PublishError> {
        let properties = |frame_max| headers::divided(lease, frame_max);
        let names = &self.shared.names;
        let queue = if lease.dropped().is_some() { &names.dead } else { &names.jobs };
        self.publish_to_queue(queue, body, properties).await
    }

    async fn complete(&self, lease: JobLease, receipt: Receipt) -> Result<(), LeaseLost> {
        lease.complete(receipt, self.shared.settings.ack_timeout).await
    }

    async fn dismiss(&self, lease: JobLease, nothing: NothingAsked) -> Result<(), LeaseLost> {
        lease.dismiss(nothing, self.shared.settings.ack_timeout).await
    }

    async fn give_back(&self, lease: JobLease) {
        let limit = self.shared.settings.ack_timeout;
        // Up to RabbitMQ 4.2 a message that is handed back has been delivered once more, and a job must not come to its limit by orderly restarts:
        // from the second time on a copy goes to the shortest delay queue, with the count as it is; or, of what was dropped, to where that lies.
        if lease.deliveries() > 0 {
            let spent = Spent { attempts: lease.attempt(), in_doubt: lease.in_doubt(), deliveries: lease.deliveries() };
            if let Ok(Ok(receipt)) = tokio::time::timeout(limit, self.defer(&lease, 0, spent, None)).await {
                if lease.complete(receipt, limit).await.is_err() {
                    tracing::debug!("a message that goes back could not be acked; the broker delivers it again");
                }
                return;
            }
        }
        lease.give_back(limit).await;
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

/// The code with which the broker has refused something, where it has: 404 for what is not there.
fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(said) => Some(said.get_id()),
        _ => None,
    }
}

fn not_connected() -> PublishError {
    PublishError::Unavailable("not connected to the broker".to_owned())
}
