//! Ended spans on their way to the exporter. One for which there is no room is dropped and counted: no job waits for a collector.

use super::super::metrics::Label;
use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use std::time::Duration;
use tokio::sync::mpsc::Sender;

#[derive(Debug)]
pub(super) struct Queue {
    spans: Sender<SpanData>,
    counted: Family<Label, Counter>,
}

impl Queue {
    pub(super) fn new(spans: Sender<SpanData>, counted: Family<Label, Counter>) -> Self {
        Self { spans, counted }
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.counted.get_or_create(&[("result", "queue_full")]).inc();
        }
    }

    /// The exporter empties the queue when it is stopped.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _limit: Duration) -> OTelSdkResult {
        Ok(())
    }
}
