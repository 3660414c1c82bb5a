//! What the broker takes off the job queue by itself: a dead letter that has no end yet.

use crate::failure::{Code, Failure, quoted};

/// Why the broker took a message off the job queue, as its `x-death` header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// `delivery_limit`: it was delivered more often than the queue, or a policy, allows.
    DeliveryLimit,
    /// `expired`: the message's `expiration`, or a `message-ttl` policy.
    Expired,
    /// `maxlen`: a policy limits the length of the queue and drops its head.
    MaxLength,
    /// `rejected`: a consumer that is not ours rejected it, for good.
    Rejected,
    /// A reason of a broker that is newer than this program; empty where it says none.
    Other(String),
}

impl Dropped {
    /// The reason in `x-death`.
    pub fn from_reason(reason: &str) -> Self {
        match reason {
            "delivery_limit" => Self::DeliveryLimit,
            "expired" => Self::Expired,
            "maxlen" => Self::MaxLength,
            "rejected" => Self::Rejected,
            other => Self::Other(other.to_owned()),
        }
    }

    /// As the broker says it.
    pub fn reason(&self) -> &str {
        match self {
            Self::DeliveryLimit => "delivery_limit",
            Self::Expired => "expired",
            Self::MaxLength => "maxlen",
            Self::Rejected => "rejected",
            Self::Other(reason) => reason,
        }
    }

    /// The label in metrics: the reasons that are known, and `other`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::DeliveryLimit => "delivery_limit",
            Self::Expired => "expired",
            Self::MaxLength => "maxlen",
            Self::Rejected => "rejected",
            Self::Other(_) => "other",
        }
    }

    /// The end of the job: the same words each time, because the event may be published more than once.
    pub fn failure(&self) -> Failure {
        match self {
            Self::DeliveryLimit => Failure::new(
                Code::DeliveryLimit,
                "the broker took it off the job queue: it was delivered more often than the queue's delivery limit allows, without an end",
            ),
            Self::Expired => Failure::new(
                Code::JobExpired,
                "the broker took it off the job queue: its time there was over (the message's expiration, or a message-ttl policy)",
            ),
            Self::MaxLength => Failure::new(
                Code::DroppedByBroker,
                "the broker took it off the job queue: the queue was longer than a max-length policy allows (maxlen)",
            ),
            Self::Rejected => Failure::new(
                Code::DroppedByBroker,
                "the broker took it off the job queue: another consumer rejected it (rejected)",
            ),
            Self::Other(reason) if reason.is_empty() => Failure::new(
                Code::DroppedByBroker,
                "it is in the queue of what the broker took off the job queue, and the broker does not say why",
            ),
            Self::Other(reason) => Failure::new(
                Code::DroppedByBroker,
                format!("the broker took it off the job queue ({})", quoted(reason)),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Class;

    #[test]
    fn every_reason_is_a_permanent_failure_that_names_it() {
        for (reason, code) in [
            ("delivery_limit", Code::DeliveryLimit),
            ("expired", Code::JobExpired),
            ("maxlen", Code::DroppedByBroker),
            ("rejected", Code::DroppedByBroker),
            ("evaporated", Code::DroppedByBroker),
            ("", Code::DroppedByBroker),
        ] {
            let dropped = Dropped::from_reason(reason);
            let failure = dropped.failure();
            assert_eq!((dropped.reason(), failure.code()), (reason, code));
            assert_eq!(failure.code().class(), Class::Permanent, "{reason}");
            assert!(code != Code::DroppedByBroker || failure.message().contains(reason), "{}", failure.message());
        }
        assert_eq!(Dropped::from_reason("evaporated").label(), "other", "a label is one of a few");
    }
}
