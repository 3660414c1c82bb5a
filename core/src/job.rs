//! Bytes and properties become a [`Job`]: the only place where one can be made.

mod amqp10;
mod attributes;
mod cloud_event;
mod coding;
mod envelope;
mod fields;
mod hash;
mod intake;
mod metadata;
mod model;
mod names;
mod notification;
mod object;
mod properties;
mod recognise;
mod salvage;
mod text;

pub use attributes::Attributes;
pub(crate) use hash::short_hash;
pub use hash::stable_key;
pub use metadata::{MAX_METADATA_BYTES, MAX_METADATA_DEPTH, check_metadata};
pub use model::{Admission, Intake, Job, NothingAsked, Origin, Refused};
pub use names::{is_bucket, unquoted};
pub use properties::{MAX_CORRELATION_BYTES, Properties, attribute};
pub use recognise::{REFUSED, Refusal};

#[cfg(test)]
mod tests;
