//! The world of a job, in memory: nothing waits, nothing fails.

use crate::images::{self, CHUNK};
use antispoof_core::dropped::Dropped;
use antispoof_core::encode::Encoder;
use antispoof_core::event::Event;
use antispoof_core::failure::{Code, Failure};
use antispoof_core::image::{ImageRef, Verify};
use antispoof_core::job::{NothingAsked, Properties};
use antispoof_core::ports::{
    Answer, Broker, ImageStore, Inspected, Lease, LeaseLost, Opened, Ports, PublishError, Spent, SpoofDetector,
};
use antispoof_core::retry::{Attempt, Backoff, InDoubt, RetryPolicy};
use antispoof_core::stream_digest::{DigestKind, StreamDigest};
use antispoof_core::verdict::Verdict;
use antispoofd::ledger::Memory;
use antispoofd::telemetry::{JobLog, KeyNames, Metrics};
use bytes::Bytes;
use futures_util::stream::{self, Iter};
use futures_util::{Stream, StreamExt as _};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use std::vec::IntoIter;
use time::OffsetDateTime;
use tokio::runtime::{Builder, Runtime};

pub(crate) const BUCKET: &str = "kyc-uploads";
pub(crate) const ENDPOINT: &str = "https://vendor";
/// What the vendor says.
pub(crate) const ANSWER: &[u8] = br#"{"spoof_detected":false,"accuracy":0.9899068176746368}"#;
/// The key of what can be judged.
pub(crate) const PHOTO_KEY: &str = "2026/11/7f3a/selfie.jpg";
/// The key of what is no image.
pub(crate) const TEXT_KEY: &str = "2026/11/7f3a/selfie.txt";

/// The edges in memory.
pub(crate) struct MemoryPorts;

impl Ports for MemoryPorts {
    type Store = MemoryStore;
    type Detector = MemoryDetector;
    type Ledger = Memory;
    type Broker = MemoryBroker;
}

/// One thread, on a clock that stands still, so that no duration differs from run to run.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}

/// The wall clock, which stands still as well.
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::from_hours(24 * 20_000)
}

pub(crate) fn retry_policy() -> RetryPolicy {
    RetryPolicy {
        quick_attempts: 3,
        quick: backoff(200, 5_000),
        delays: [10, 60, 600].map(Duration::from_secs).to_vec(),
        max_attempts: 5,
        in_doubt: InDoubt::Retry,
    }
}

pub(crate) fn backoff(min_ms: u64, max_ms: u64) -> Backoff {
    Backoff::try_new(Duration::from_millis(min_ms), Duration::from_millis(max_ms)).expect("sound")
}

/// With hashed keys, as by default.
pub(crate) fn job_log() -> JobLog {
    JobLog::new(Arc::new(Metrics::new()), KeyNames::Hashed(Box::new([7; 32])))
}

// === the store ===

/// Holds a photo and a text, under whatever bucket.
pub(crate) struct MemoryStore {
    photo: Vec<Bytes>,
}

type Chunks = Iter<IntoIter<Result<Bytes, Failure>>>;

impl MemoryStore {
    pub(crate) fn new() -> Self {
        Self { photo: images::chunks() }
    }
}

impl ImageStore for MemoryStore {
    type Stream = Chunks;

    async fn open(&self, image: &ImageRef) -> Result<Opened<Chunks>, Failure> {
        let chunks = match image.key.as_str() {
            PHOTO_KEY => self.photo.clone(),
            TEXT_KEY => vec![Bytes::from_static(&[b'x'; CHUNK])],
            _ => return Err(Failure::new(Code::ObjectNotFound, "there is no such object")),
        };
        Ok(Opened {
            bytes: chunks.iter().map(|chunk| chunk.len() as u64).sum(),
            etag: Some("9b2cf535f27731c974343645a3985328".to_owned()),
            version_id: None,
            key: None,
            checksum: None,
            stream: stream::iter(chunks.into_iter().map(Ok).collect::<Vec<_>>()),
        })
    }
}

// === the vendor ===

/// Is sent what the real one is sent, and takes everybody for live.
pub(crate) struct MemoryDetector;

impl SpoofDetector for MemoryDetector {
    async fn detect<S>(&self, image: Inspected<S>, _identity: &str) -> Result<Answer, Failure>
    where
        S: Stream<Item = Result<Bytes, Failure>> + Send + Sync + Unpin + 'static,
    {
        // The digest is a part of its own: in software it would cost more than all the rest.
        let mut digest = StreamDigest::new(DigestKind::Off, Verify::Structure, &image.facts);
        let mut encoder = Encoder::default();
        let mut body = stream::iter(image.head.into_iter().map(Ok)).chain(stream::iter(image.rest).flatten());
        while let Some(chunk) = body.next().await {
            let chunk = chunk?;
            digest.chunk(&chunk);
            black_box(encoder.push(&chunk));
        }
        let digest = digest.finish(image.bytes)?;
        black_box(encoder.finish());
        let verdict = Verdict::read(ANSWER).expect("a verdict");
        Ok(Answer { verdict, http_status: 200, request_id: None, digest })
    }
}

// === the broker ===

/// Confirms everything. Events of another kind than expected are a mistake.
pub(crate) struct MemoryBroker {
    pub(crate) routing_key: &'static str,
}

pub(crate) struct Receipt(());

/// A message delivered for the first time.
pub(crate) struct JobLease {
    body: Vec<u8>,
    properties: Properties,
}

impl JobLease {
    /// The job of this number about the object with this key.
    pub(crate) fn new(number: u64, key: &str) -> Self {
        let id = format!("kyc-{number:08}");
        let body = format!(r#"{{"id":"{id}","bucket":"{BUCKET}","key":"{key}","metadata":{{"applicant":"42"}}}}"#);
        let properties = Properties { message_id: Some(id), ..Properties::default() };
        Self { body: body.into_bytes(), properties }
    }
}

impl Broker for MemoryBroker {
    type Lease = JobLease;
    type Receipt = Receipt;

    async fn publish_event(&self, event: &Event) -> Result<Receipt, PublishError> {
        assert_eq!(event.routing_key, self.routing_key);
        Ok(Receipt(()))
    }

    async fn defer(&self, lease: &JobLease, _: usize, _: Spent, _: Option<&Failure>) -> Result<Receipt, PublishError> {
        black_box(lease);
        Ok(Receipt(()))
    }

    async fn park(&self, lease: &JobLease, _: Spent, why: &Failure) -> Result<Receipt, PublishError> {
        black_box((lease, why));
        Ok(Receipt(()))
    }

    async fn fan_out(&self, _: &JobLease, body: &[u8]) -> Result<Receipt, PublishError> {
        black_box(body);
        Ok(Receipt(()))
    }

    async fn ack(&self, _: JobLease, Receipt(()): Receipt) -> Result<(), LeaseLost> {
        Ok(())
    }

    async fn discard(&self, _: JobLease, _: NothingAsked) -> Result<(), LeaseLost> {
        Ok(())
    }

    async fn requeue(&self, _: JobLease) {}

    fn can_publish(&self) -> bool {
        true
    }

    async fn until_publishable(&self) {}
}

impl Lease for JobLease {
    fn body(&self) -> &[u8] {
        &self.body
    }

    fn properties(&self) -> &Properties {
        &self.properties
    }

    fn attempt(&self) -> Attempt {
        Attempt::default()
    }

    fn replay(&self) -> u32 {
        0
    }

    fn in_doubt(&self) -> u32 {
        0
    }

    fn deliveries(&self) -> u32 {
        0
    }

    fn seen_before(&self, _: i64) -> bool {
        false
    }

    fn dropped(&self) -> Option<&Dropped> {
        None
    }

    fn held(&self) {}

    fn usable(&self) -> bool {
        true
    }
}
