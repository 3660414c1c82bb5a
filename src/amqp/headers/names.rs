//! The names of the headers that antispoofd reads and writes.

pub(in crate::amqp) const ATTEMPT: &str = "as-attempt";
pub(in crate::amqp) const FIRST_SEEN: &str = "as-first-seen";
pub(in crate::amqp) const REPLAY: &str = "as-replay";
pub(in crate::amqp) const IN_DOUBT: &str = "as-in-doubt";
pub(in crate::amqp) const DELIVERIES: &str = "as-deliveries";
/// How many properties and headers of the message were left out, because they could not be read or carried.
pub(in crate::amqp) const DROPPED: &str = "as-headers-dropped";
/// On a copy: the broker had delivered the message before this worker received it, at an unknown time.
pub(in crate::amqp) const REDELIVERED: &str = "as-redelivered";
/// The reason from `x-death`, on a copy that goes back to the dead queue: every `x-` header stays behind.
pub(in crate::amqp) const DROP_REASON: &str = "as-drop-reason";
/// A correlation id that came as `x-correlation-id`, which stays behind, and is too long for the property.
pub(in crate::amqp) const CORRELATION_ID: &str = "as-correlation-id";
pub(in crate::amqp) const CODE: &str = "as-code";
pub(in crate::amqp) const STAGE: &str = "as-stage";
pub(in crate::amqp) const ERROR: &str = "as-error";
pub(in crate::amqp) const HTTP_STATUS: &str = "as-http-status";
pub(in crate::amqp) const WORKER: &str = "as-worker";
pub(in crate::amqp) const PARKED_AT: &str = "as-parked-at";

/// W3C Trace Context.
pub(in crate::amqp) const TRACEPARENT: &str = "traceparent";
pub(in crate::amqp) const TRACESTATE: &str = "tracestate";

/// Written by the broker: how often the message was delivered before.
pub(in crate::amqp) const DELIVERY_COUNT: &str = "x-delivery-count";
/// Written by the broker: where the message was dead-lettered, newest first.
pub(in crate::amqp) const DEATHS: &str = "x-death";
/// Written by kombu: how the body is compressed.
pub(in crate::amqp) const COMPRESSION: &str = "compression";
