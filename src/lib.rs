//! antispoofd: jobs from RabbitMQ that name a face image in S3, streamed into a spoof-detection API; verdict events out.
//!
//! `ARCHITECTURE.md` at the root says how the modules hang together; the arrows between them are held by a test.

pub mod cli;
pub mod settings;
pub mod simulator;
