//! What antispoofd decides, without any I/O.
//!
//! Bytes and properties become a [`job::Job`]; the first bytes of an object become [`image::Facts`]; the vendor's answer becomes a
//! [`verdict::Verdict`]; what came of a job becomes an [`event::Event`] and a [`plan::Plan`]. The world is asked through [`ports`].
//! Time and chance come in as arguments, so everything here can be tested in milliseconds.

pub mod causes;
pub mod checksum;
pub mod dropped;
pub mod encode;
pub mod event;
pub mod failure;
pub mod image;
pub mod job;
pub mod overload;
pub mod plan;
pub mod policy;
pub mod ports;
pub mod retry;
pub mod stream_digest;
pub mod verdict;
