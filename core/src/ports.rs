//! The four edges of a job as traits: store, spoof-detection API, ledger, broker. Each says what its implementation owes.

use crate::checksum::Checksum;
use crate::dropped::Dropped;
use crate::event::{Event, JobResult};
use crate::failure::Failure;
use crate::image::{Facts, ImageRef};
use crate::job::{NothingAsked, Properties};
use crate::retry::Attempt;
use crate::verdict::Verdict;
use bytes::Bytes;
use futures_core::Stream;
use std::future::Future;
use std::time::Duration;

/// An object whose body is on its way.
#[derive(Debug)]
pub struct Opened<S> {
    /// Length that the store announced.
    pub bytes: u64,
    /// Entity tag without its quotes.
    pub etag: Option<String>,
    /// Version, where the bucket has versions.
    pub version_id: Option<String>,
    /// The key that was read, where it is [`ImageRef::other_key`].
    pub key: Option<String>,
    /// What the store keeps to tell whether these are the object's bytes.
    pub checksum: Option<Checksum>,
    /// The body.
    pub stream: S,
}

/// Where the images are.
pub trait ImageStore: Send + Sync {
    /// The body of an object. Each wait for a chunk is bounded; an item that is an error is the last.
    type Stream: Stream<Item = Result<Bytes, Failure>> + Send + Sync + Unpin + 'static;

    /// Asks for the object, pinned by version and `ETag` where the reference has them, under its other key where the pinned content is not under the
    /// first. Checks the announced length against the limit. Does not retry what failed for a reason that may pass, except once with credentials that
    /// have been replaced.
    fn open(&self, image: &ImageRef) -> impl Future<Output = Result<Opened<Self::Stream>, Failure>> + Send;
}

/// An image whose header has been looked at and whose body is still on its way, or has been made of one.
#[derive(Debug)]
pub struct Inspected<S> {
    /// What was read to look at it, in chunks as they came; all of it, where it was made.
    pub head: Vec<Bytes>,
    /// The rest.
    pub rest: Option<S>,
    /// Announced length of both together.
    pub bytes: u64,
    /// What both together have to add up to, where the store says so.
    pub checksum: Option<Checksum>,
    /// What the header said.
    pub facts: Facts,
}

/// The vendor's answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What it said.
    pub verdict: Verdict,
    /// With which status.
    pub http_status: u16,
    /// Its own id of the call.
    pub request_id: Option<String>,
    /// Digest of the bytes that were sent.
    pub digest: Option<String>,
}

/// The spoof-detection API.
pub trait SpoofDetector: Send + Sync {
    /// Streams the image into one call. Completes the request only after the image has ended cleanly; otherwise the call is broken off,
    /// the failure is the image's and nothing was paid for. Does not retry. Bounded by its own timeout. The failure says whether the whole request was
    /// sent, and under which request id.
    ///
    /// `identity` is the same for every call that this job makes for this content: the value of the idempotency header, where the vendor takes one.
    fn detect<S>(&self, image: Inspected<S>, identity: &str) -> impl Future<Output = Result<Answer, Failure>> + Send
    where
        S: Stream<Item = Result<Bytes, Failure>> + Send + Sync + Unpin + 'static;
}

/// What came of claiming a job.
#[derive(Clone, Debug, PartialEq)]
pub enum ClaimOutcome {
    /// Nothing was known of it. Claimed by the caller.
    Fresh,
    /// Calls were about to be made and their end is unknown, or the record cannot be read (another version wrote it). Claimed by the caller.
    InDoubt {
        /// How many calls may have been paid for without a verdict; at least 1.
        calls: u32,
    },
    /// It has ended before. Not claimed.
    Concluded(Box<JobResult>),
    /// Another delivery of the same job is being worked on.
    Busy,
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a call that is made after a lost claim may be paid for twice"]
pub enum Intent {
    /// It is on record that a call is about to be made; and, where calls are counted by the day, that this is one of them.
    Recorded(Option<DailyCalls>),
    /// Another worker took the job over, or ended it, after the caller's claim had run out: the caller must not call.
    ClaimLost,
    /// So many calls as a day may have are counted: the caller must not call. Nothing was put on record.
    LimitReached {
        /// What is counted.
        today: DailyCalls,
        /// Until the next day begins, by the clock that the count goes by.
        resumes_in: Duration,
    },
}

/// The calls that are counted against the limit of one day. A day is one of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyCalls {
    /// Days since 1970.
    pub day: u64,
    /// Calls that were made, or are about to be.
    pub counted: u64,
    /// How many the day may have; at least 1.
    pub limit: u64,
}

/// The ledger did not answer. Whether it has taken the step is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LedgerError(pub String);

/// Keeps which calls were made and what came of them, so that none is paid for twice. Holds no image byte.
///
/// A job goes claimed → intent → verdict or failure → published. Every method can be repeated without harm, and every wait is bounded. Keys are
/// texts of a fixed length from [`stable_key`](crate::job::stable_key).
pub trait Ledger: Send + Sync {
    /// Claims the job, or says why not. Of all who ask at the same time at most one gets [`ClaimOutcome::Fresh`] or [`ClaimOutcome::InDoubt`].
    fn begin(&self, key: &str) -> impl Future<Output = Result<ClaimOutcome, LedgerError>> + Send;
    /// Notes that a call is about to be made and makes the claim last longer. Durable, as far as the backend is, when this returns.
    ///
    /// Where the ledger has a daily limit, the call is counted in the same step, and of all who ask at the same time no more than the limit are told
    /// [`Intent::Recorded`] on one day. A step whose answer was lost may have counted: too many are counted rather than too few.
    fn intent(&self, key: &str) -> impl Future<Output = Result<Intent, LedgerError>> + Send;
    /// Keeps the result of a job and gives up the claim; after an error the claim is still held. Durable, as far as the backend is, when this returns.
    /// A verdict is also kept under `object`, where given, for [`Ledger::recall`]. `superseded` is the result that was on record when the job was claimed,
    /// which this one replaces.
    ///
    /// The first result stands: when another one than `superseded` has been put on record meanwhile (the claim was lost), that one is returned and
    /// nothing is written. Where others have called meanwhile without a result, the caller's is kept and returned with their calls in doubt. `None`: kept
    /// as it is.
    fn conclude(
        &self,
        key: &str,
        object: Option<&str>,
        result: &JobResult,
        superseded: Option<&JobResult>,
    ) -> impl Future<Output = Result<Option<Box<JobResult>>, LedgerError>> + Send;
    /// Notes that the broker has confirmed the event of the result. With `keep` the result stays on record for later deliveries; without, the job is
    /// forgotten. Need not be durable when this returns.
    fn published(&self, key: &str, keep: bool) -> impl Future<Output = Result<(), LedgerError>> + Send;
    /// False for a backend that forgets at once: then what is known of a job lives and dies with its lease.
    fn remembers(&self) -> bool {
        true
    }
    /// Gives up the claim without an end. `paid` keeps the intent: its call may have been paid for. Otherwise what was known before the claim is
    /// known again.
    fn release(&self, key: &str, paid: bool) -> impl Future<Output = Result<(), LedgerError>> + Send;
    /// The call that was counted as this one was not sent in full: it is counted no more, unless the day is over. Not repeated by the backend, because a
    /// call that is taken off twice would let one too many through.
    fn unsent(&self, call: DailyCalls) -> impl Future<Output = Result<(), LedgerError>> + Send;
    /// The calls that are counted today; `None` where none are.
    fn daily_calls(&self) -> impl Future<Output = Result<Option<DailyCalls>, LedgerError>> + Send;
    /// The verdict of another job on the same object.
    fn recall(&self, object: &str) -> impl Future<Output = Result<Option<JobResult>, LedgerError>> + Send;
}

/// A message in hand, not yet settled.
pub trait Lease: Send + Sync {
    /// The body.
    fn body(&self) -> &[u8];
    /// What of its properties matters.
    fn properties(&self) -> &Properties;
    /// Attempts spent before this delivery.
    fn attempt(&self) -> Attempt;
    /// How often an operator has put it back from the parked queue.
    fn replay(&self) -> u32;
    /// How many calls for this job may have been paid for without a verdict, as far as the message says.
    fn in_doubt(&self) -> u32;
    /// How often it has been delivered before without an end: as the broker says, and as an earlier copy of it said.
    fn deliveries(&self) -> u32;
    /// True when this message, or the one it is a copy of, had been delivered before that moment (milliseconds since 1970): what ended then
    /// was this message's own end. False for a message that was published since.
    fn seen_before(&self, at_ms: i64) -> bool;
    /// Why the broker took the message off the job queue by itself; `None` for one that comes from the job queue. Its job is not run any more: all that is
    /// left is its end.
    fn dropped(&self) -> Option<&Dropped>;
    /// Says that the message stays in hand because a queue takes no copy of it: the broker may deliver others meanwhile as if it had been acked.
    fn held(&self);
    /// Has copies of the message carry this trace context, in place of one that is missing or cannot be read. Nothing where messages carry none.
    fn trace_as(&mut self, _traceparent: String) {}
    /// False once the broker may have redelivered the message to another worker.
    fn usable(&self) -> bool;
}

/// What a job has cost so far: written on the message that replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Attempts.
    pub attempts: Attempt,
    /// Calls that may have been paid for without a verdict.
    pub in_doubt: u32,
    /// Deliveries without an end. The broker begins to count anew with each copy, so a job that merely goes back takes its count along.
    pub deliveries: u32,
}

/// Why a message was not published.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// No queue is bound for it.
    #[error("the broker has no queue for {routing_key} on {exchange}")]
    Unroutable {
        /// Where it was published.
        exchange: String,
        /// With which key.
        routing_key: String,
    },
    /// The broker refused it: a queue that it is for is full, or has just died.
    #[error("the broker refused the message for {routing_key} on {exchange}: is a queue there full?")]
    Refused {
        /// Where it was published.
        exchange: String,
        /// With which key.
        routing_key: String,
    },
    /// The broker answers, and did not confirm it: a queue that it is for is at fault. It may be there all the same.
    #[error(
        "the broker answers, but within {limit:?} it did not confirm the message for {routing_key} on {exchange}: is a queue there without a leader or a majority?"
    )]
    Unconfirmed {
        /// Where it was published.
        exchange: String,
        /// With which key.
        routing_key: String,
        /// How long the confirm was waited for.
        limit: Duration,
    },
    /// The broker is not there, does not answer, or blocks publishers.
    #[error("the broker did not take the message: {0}")]
    Unavailable(String),
}

/// The message could not be acked: the broker delivers it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the broker has taken the message back")]
pub struct LeaseLost;

/// The message broker. No message that asks for a check leaves the job queue without a [`Broker::Receipt`] for what replaces it.
pub trait Broker: Send + Sync {
    /// A message in hand.
    type Lease: Lease;
    /// Proof that a replacement is safe: a positive confirm of a mandatory, persistent publish that was not returned. Cannot be made elsewhere.
    type Receipt: Send;

    /// Publishes a terminal event.
    fn publish_event(&self, event: &Event) -> impl Future<Output = Result<Self::Receipt, PublishError>> + Send;
    /// Puts a copy into the delay queue with index `tier`, with `spent` written on it. `why` is absent when nothing went wrong. A copy of what the broker
    /// has dropped goes back to where that lies.
    fn defer(
        &self,
        lease: &Self::Lease,
        tier: usize,
        spent: Spent,
        why: Option<&Failure>,
    ) -> impl Future<Output = Result<Self::Receipt, PublishError>> + Send;
    /// Puts a copy into the parked queue.
    fn park(
        &self,
        lease: &Self::Lease,
        spent: Spent,
        why: &Failure,
    ) -> impl Future<Output = Result<Self::Receipt, PublishError>> + Send;
    /// Puts a message with this body into the queue that the message in hand comes from: one of the jobs that it asks for. The new one has the properties of that message
    /// but its id, its CloudEvents attributes and what has been spent on it. When the message in hand may have been delivered before, so may the
    /// new one, as far as [`Lease::seen_before`] says.
    fn fan_out(
        &self,
        lease: &Self::Lease,
        body: &[u8],
    ) -> impl Future<Output = Result<Self::Receipt, PublishError>> + Send;
    /// Acks. The receipt is for what replaces the message; of several replacements, for the last one.
    fn ack(&self, lease: Self::Lease, receipt: Self::Receipt) -> impl Future<Output = Result<(), LeaseLost>> + Send;
    /// Acks a message that asks for nothing, which is all that can be acked without a receipt.
    fn discard(&self, lease: Self::Lease, nothing: NothingAsked) -> impl Future<Output = Result<(), LeaseLost>> + Send;
    /// Hands back a message that was never started. For drain only: on most versions it adds to the delivery count.
    fn requeue(&self, lease: Self::Lease) -> impl Future<Output = ()> + Send;
    /// True while a publish may be expected to go through: connected, and not blocked by an alarm.
    fn can_publish(&self) -> bool;
    /// Ends when that is so. Cancel safe.
    fn until_publishable(&self) -> impl Future<Output = ()> + Send;
}

/// The four edges that a pipeline runs over, as one type parameter.
pub trait Ports: 'static {
    /// Where the images are.
    type Store: ImageStore + 'static;
    /// The spoof-detection API.
    type Detector: SpoofDetector + 'static;
    /// What was called for already.
    type Ledger: Ledger + 'static;
    /// Where jobs come from and results go to.
    type Broker: Broker<Lease: 'static> + 'static;
}
