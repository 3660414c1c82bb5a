//! Which headers stay when there is no room for all.

use super::{ATTEMPT, COMPRESSION, DEATHS, DELIVERIES, DELIVERY_COUNT, FIRST_SEEN, IN_DOUBT, REPLAY};
use antispoof_core::job::attribute;

/// What a header is to us; the first stay longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::amqp) enum Weight {
    /// What is decided on: without these a job could go round for ever.
    Count,
    /// Ours, the trace context, and what the body cannot be read or the job not be named without.
    Ours,
    /// A CloudEvents attribute of binary mode.
    CloudEvent,
    /// Anything else.
    Foreign,
}

impl Weight {
    /// All that a message without room keeps, in the order in which it is given room.
    pub(in crate::amqp) const KEPT: [Self; 3] = [Self::Count, Self::Ours, Self::CloudEvent];

    pub(in crate::amqp) fn of(name: &str) -> Self {
        match name {
            ATTEMPT | FIRST_SEEN | REPLAY | IN_DOUBT | DELIVERIES | DELIVERY_COUNT => Self::Count,
            "traceparent" | "tracestate" | COMPRESSION | DEATHS | "x-message-id" | "x-correlation-id" => Self::Ours,
            _ if name.starts_with("as-") => Self::Ours,
            "specversion" | "id" | "source" | "type" => Self::CloudEvent,
            _ if attribute(name).is_some() => Self::CloudEvent,
            _ => Self::Foreign,
        }
    }
}
