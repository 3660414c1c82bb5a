//! What the status is made of.

use super::recorder::Recorder;
use crate::amqp::Amqp;
use crate::gate::Gate;
use crate::lifecycle::Stop;
use crate::settings::Row;
use crate::telemetry::Metrics;
use std::sync::Arc;
use std::time::SystemTime;

/// What the status is made of.
pub struct Sources {
    /// Name of the worker.
    pub instance: String,
    /// When the process started.
    pub started: SystemTime,
    /// `amqp.prefix`.
    pub prefix: String,
    /// The settings in effect, secrets masked.
    pub settings: Vec<Row>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Why nothing is consumed.
    pub gate: Gate,
    /// How many messages wait.
    pub broker: Amqp,
    /// Whether the worker stops.
    pub stop: Stop,
    /// The last hour.
    pub recorder: Arc<Recorder>,
}
