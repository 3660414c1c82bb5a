//! Sends ended spans in batches. What cannot be sent in time is dropped and counted.

use super::super::Metrics;
use super::otlp::{Collector, Refusal};
use crate::settings::Batch;
use antispoof_core::retry::Backoff;
use bytes::Bytes;
use opentelemetry_sdk::trace::SpanData;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// What is left at the end goes out within this, or not at all. Connections are closed at the same time, and take as long.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// The waits between tries to send a batch.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// The way to the collector.
pub struct Exporter {
    collector: Collector,
    batch: Batch,
    waiting: Receiver<SpanData>,
    metrics: Arc<Metrics>,
    /// The last request was not taken: said once, not with every batch.
    refused: bool,
}

impl Exporter {
    pub(super) fn new(collector: Collector, batch: Batch, waiting: Receiver<SpanData>, metrics: Arc<Metrics>) -> Self {
        Self { collector, batch, waiting, metrics, refused: false }
    }

    /// Sends until `stop`, then what is left, for at most two seconds; or until `hard`.
    pub async fn run(mut self, stop: CancellationToken, hard: CancellationToken) {
        let last = async {
            stop.cancelled().await;
            hard.run_until_cancelled(sleep(LAST_SPANS)).await;
        };
        tokio::pin!(last);
        loop {
            let spans = self.next_batch(&stop).await;
            if spans.is_empty() {
                return;
            }
            let count = u64::try_from(spans.len()).unwrap_or(u64::MAX);
            let body = self.collector.encode(spans);
            tokio::select! {
                failed = self.send(body, count) => self.counted(count, failed),
                () = &mut last => {
                    self.counted(count, count);
                    break;
                }
            }
        }
        let left = u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        self.counted(left, left);
    }

    /// Spans for one request: when it is full, after a while, or what is left at the end. Empty when there is nothing more.
    async fn next_batch(&mut self, stop: &CancellationToken) -> Vec<SpanData> {
        let mut spans = Vec::new();
        let mut due = None;
        while spans.len() < self.batch.max_batch {
            let room = self.batch.max_batch - spans.len();
            let waited = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                count = self.waiting.recv_many(&mut spans, room) => {
                    if count == 0 {
                        break;
                    }
                    due.get_or_insert_with(|| Instant::now() + self.batch.delay);
                }
                () = stop.cancelled() => break,
                () = waited => break,
            }
        }
        spans
    }

    /// Tries until the batch is taken, or is too old. How many of its spans are lost.
    async fn send(&mut self, body: Bytes, count: u64) -> u64 {
        let until = Instant::now() + self.batch.limit;
        let waits = Backoff::try_new(WAITS.0, WAITS.1);
        for tries in 0.. {
            let refusal = match timeout_at(until, self.collector.post(body.clone())).await {
                Ok(Ok(())) => {
                    self.taken();
                    return 0;
                }
                Ok(Err(refusal)) => refusal,
                Err(_) => Refusal::Never(format!("no answer within {:?}", self.batch.limit)),
            };
            let (why, after) = match refusal {
                Refusal::Later { why, after } => (why, after),
                Refusal::Never(why) => {
                    self.refused(&why);
                    return count;
                }
                Refusal::Partly { spans, why } => {
                    self.refused(&why);
                    return spans.min(count);
                }
            };
            self.refused(&why);
            let wait = waits.as_ref().map_or(WAITS.1, |waits| waits.wait(tries, fastrand::f64()));
            let wait = after.unwrap_or_default().max(wait);
            // A collector may ask for any pause; no sum is made of it.
            if wait >= until.saturating_duration_since(Instant::now()) {
                break;
            }
            sleep(wait).await;
        }
        count
    }

    fn counted(&self, count: u64, failed: u64) {
        self.metrics.spans.get_or_create(&[("result", "exported")]).inc_by(count - failed);
        self.metrics.spans.get_or_create(&[("result", "failed")]).inc_by(failed);
    }

    fn refused(&mut self, why: &str) {
        if !std::mem::replace(&mut self.refused, true) {
            let endpoint = self.collector.endpoint();
            warn!(
                %endpoint,
                why,
                "the collector at {endpoint} does not take traces: {why}; jobs go on, spans are dropped (antispoofd_spans_total)"
            );
        }
    }

    fn taken(&mut self) {
        if std::mem::take(&mut self.refused) {
            let endpoint = self.collector.endpoint();
            info!(%endpoint, "the collector at {endpoint} takes traces again");
        }
    }
}
