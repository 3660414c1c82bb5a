//! antispoofd: jobs from RabbitMQ that name a face image in S3, streamed into a spoof-detection API; verdict events out.
//!
//! `ARCHITECTURE.md` at the root says how the modules hang together; the arrows between them are held by a test.

pub mod admin;
pub mod amqp;
pub mod api;
pub mod app;
pub mod cli;
pub mod conversion;
pub mod gate;
pub mod health;
pub mod http_client;
pub mod ledger;
pub mod lifecycle;
pub mod limiter;
pub mod pipeline;
pub mod s3;
pub mod settings;
pub mod simulator;
pub mod status;
pub mod telemetry;
pub mod worker;

/// The version as `--version` says it: the number, then in parentheses the commit and its date.
pub const VERSION: &str = env!("ANTISPOOFD_VERSION");
