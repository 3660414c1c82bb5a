//! Traces of jobs, sent over OTLP to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names. Where that is not set, nothing of this exists.
//!
//! ```text
//!   JobRecord ─> JobSpans ─ a span ends ─> queue (bounded, never waits) ─> exporter (a task) ─ POST ─> collector
//! ```
//!
//! A collector that is slow, refuses or is away costs spans, which are counted, and never a job.

mod context;
mod exporter;
mod job_spans;
mod names;
mod otlp;
mod queue;

pub use exporter::Exporter;
pub(super) use job_spans::JobSpans;

use super::Metrics;
use crate::settings::{self, Sampler as Sampling};
use names::{SCHEMA, SCOPE, SERVICE_INSTANCE, SERVICE_NAME, SERVICE_VERSION};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use otlp::Collector;
use queue::Queue;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Of the crate alone, as conventions have it.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Makes the spans of jobs.
pub struct Traces {
    tracer: SdkTracer,
    places: Places,
}

/// What spans say of the servers on the other side.
#[derive(Clone, Debug)]
pub struct Places {
    /// The queue that jobs come from.
    pub jobs: String,
    /// The queue of the messages that the broker took off the first.
    pub dead: String,
    /// The exchange of the events.
    pub results: String,
    /// Host and port of the broker.
    pub broker: (String, u16),
    /// Region of the store.
    pub region: String,
    /// Host and port of the store, where they are set.
    pub store: Option<(String, u16)>,
    /// The URL of the spoof-detection API, with its host and port. It holds no credentials.
    pub api: (String, Option<(String, u16)>),
    /// Whether the keys of objects are named.
    pub keys: bool,
}

impl Traces {
    /// Makes spans, and sends them as the variables say: the exporter is to be spawned and watched. Fails when the system's certificate
    /// authorities cannot be read.
    pub fn new(
        otlp: &settings::Traces,
        instance: &str,
        places: Places,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<(Arc<Self>, Exporter)> {
        let resource = resource(otlp, instance);
        let collector = Collector::new(otlp, &resource)?;
        let (spans, waiting) = mpsc::channel(otlp.batch.max_queue);
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler(otlp.sampler))
            .with_resource(resource)
            .with_span_processor(Queue::new(spans, metrics.spans.clone()))
            .build();
        let scope = InstrumentationScope::builder(SCOPE).with_version(VERSION).with_schema_url(SCHEMA);
        let tracer = provider.tracer_with_scope(scope.build());
        let exporter = Exporter::new(collector, otlp.batch, waiting, metrics);
        Ok((Arc::new(Self { tracer, places }), exporter))
    }
}

fn sampler(sampling: Sampling) -> Sampler {
    let root = if sampling.ratio >= 1.0 {
        Sampler::AlwaysOn
    } else if sampling.ratio <= 0.0 {
        Sampler::AlwaysOff
    } else {
        Sampler::TraceIdRatioBased(sampling.ratio)
    };
    if sampling.parent_based { Sampler::ParentBased(Box::new(root)) } else { root }
}

/// What is set comes before what is known here.
fn resource(otlp: &settings::Traces, instance: &str) -> Resource {
    let known = [(SERVICE_NAME, "antispoofd"), (SERVICE_VERSION, VERSION), (SERVICE_INSTANCE, instance)];
    let known = known.map(|(name, value)| KeyValue::new(name, value.to_owned()));
    let set = otlp.resource.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    let name = otlp.service_name.iter().map(|name| KeyValue::new(SERVICE_NAME, name.clone()));
    let builder = Resource::builder_empty().with_detector(Box::new(TelemetryResourceDetector));
    builder.with_attributes(known).with_attributes(set).with_attributes(name).build()
}
