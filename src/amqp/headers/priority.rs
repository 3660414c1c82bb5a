//! Which headers are kept where there is no room for all.

use super::names::{ATTEMPT, COMPRESSION, DEATHS, DELIVERIES, DELIVERY_COUNT, FIRST_SEEN, IN_DOUBT, REPLAY};
use antispoof_core::job::attribute;

/// What a header is for; the first are kept longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::amqp) enum HeaderPriority {
    /// A count that limits how often a job is tried: without it a job could circulate for ever.
    Count,
    /// Another header of ours, of the trace context, or one without which the body cannot be read or the job not be named.
    Ours,
    /// A CloudEvents attribute of binary mode.
    CloudEvent,
    /// Any other header.
    Foreign,
}

impl HeaderPriority {
    /// All of them, in the order in which headers get room.
    pub(in crate::amqp) const ALL: [Self; 4] = [Self::Count, Self::Ours, Self::CloudEvent, Self::Foreign];

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
