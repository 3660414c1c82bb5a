//! Why the gate is closed, and what proves that it is over.

use antispoof_core::failure::{Code, Failure, Stage};
use std::fmt;
use std::time::Duration;

/// Why nothing is consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A systemic failure.
    Failure(Code),
    /// Several jobs in a row met a transient failure at this stage: the store ([`Stage::Fetch`]) or the vendor ([`Stage::Call`]) is away.
    Outage(Stage),
    /// The vendor asks to slow down.
    Hold,
    /// The vendor rejects one image after the other.
    Rejections,
    /// The ledger cannot be asked (`ledger.on_error = "hold"`).
    Ledger,
    /// A queue of our own takes nothing, and every job in hand is to go there.
    Queue,
    /// The day has had so many calls as it may have (`api.daily_call_limit`).
    DailyLimit,
}

/// What proves that it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Something went well at this stage: the store spoke about an object, the vendor about an image, or a queue took an event.
    Stage(Stage),
    /// The vendor gave a verdict.
    Verdict,
    /// The ledger answered.
    Ledger,
    /// A call was counted against the daily limit, and so it is not reached.
    CallCounted,
    /// A job that held its slot because a queue took no copy of it holds it no more.
    Slot,
}

/// What a failed try says besides what it says of its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing: it is the job's own affair.
    Own,
    /// The vendor refuses this image. Alone it is the job's own affair, in a streak it is not.
    Rejected,
    /// May pass. Alone it is the job's own affair, met by several jobs in a row it is an outage.
    Transient(Stage),
    /// The vendor asks for a pause; for how long, where it says so.
    Hold(Option<Duration>),
    /// Every job would meet it.
    Systemic(Code),
    /// Nothing may be paid for before the ledger answers.
    LedgerAway,
    /// No call may be made for so long.
    DailyLimit(Duration),
}

/// What a try has met instead of its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Met<'a> {
    pub(super) finding: Finding,
    pub(super) message: &'a str,
    pub(super) may_be_paid: bool,
    /// What works all the same, since the failure is about the job: a store that says "not found" is there, and knows us.
    pub(super) proof: Option<Proof>,
}

// === impl Reason ===

impl Reason {
    /// Its name in metrics and in the log.
    pub fn label(self) -> &'static str {
        match self {
            Self::Failure(code) => code.name(),
            Self::Outage(Stage::Fetch) => "store_outage",
            Self::Outage(_) => "api_outage",
            Self::Hold => "api_hold",
            Self::Rejections => "api_rejections",
            Self::Ledger => "ledger",
            Self::Queue => "queue_outage",
            Self::DailyLimit => "daily_limit",
        }
    }

    /// What to do about it, where the failure's own message does not say so.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Failure(Code::ResultsUnroutable) => "bind a queue to the results exchange",
            Self::Failure(Code::BrokerUnavailable) => {
                "look at the queues that are bound to the results exchange: one is full, or has no leader or majority"
            }
            Self::Failure(Code::ApiUnauthorized) => {
                "are api.api_key and api.secret (or api.token) those of the account, and is this machine's clock right?"
            }
            // The edges put the cause and the remedy into the message.
            Self::Failure(_) => "",
            Self::Outage(Stage::Fetch) => {
                "is the store up? It is probed every second or two; `antispoofd check --connect` asks it, too, and names its address"
            }
            Self::Outage(_) => {
                "look at the vendor's status page and the network; the API is probed every second or two, and more rarely while calls may be paid for"
            }
            Self::Hold => "nothing has to be done; lower api.rate_limit or the number of workers if it happens often",
            Self::Rejections => {
                "look at the parked jobs: has the vendor changed what it takes? Where the images are really bad, raise api.rejection_streak, or set it to 0, and restart"
            }
            Self::Ledger => {
                "see what the ledger said, and check ledger.url, the disk of ledger.path, or ledger.bucket and s3.endpoint_url"
            }
            Self::Queue => {
                "every job in hand waits for that queue: empty it, or raise the policy that limits it, or give it back its leader or majority"
            }
            Self::DailyLimit => {
                "nothing has to be done; to go on today, raise api.daily_call_limit and restart (every worker, where they share the count)"
            }
        }
    }

    /// True for what passes by itself, as a rule: a warning. The rest needs a person.
    pub(super) fn may_pass(self) -> bool {
        matches!(self, Self::Outage(_) | Self::Hold | Self::DailyLimit)
    }

    pub(super) fn ends_by(self, proof: Proof) -> bool {
        match (self, proof) {
            (Self::Failure(code), Proof::Stage(stage)) => code.stage() == stage,
            (Self::Failure(code), Proof::Verdict) => code.stage() == Stage::Call,
            (Self::Outage(out), Proof::Stage(stage)) => out == stage,
            (Self::Outage(out), Proof::Verdict) => out == Stage::Call,
            (Self::Hold, Proof::Verdict | Proof::Stage(Stage::Call))
            | (Self::Rejections, Proof::Verdict)
            | (Self::Ledger, Proof::Ledger)
            | (Self::Queue, Proof::Slot)
            | (Self::DailyLimit, Proof::CallCounted) => true,
            (Self::Hold | Self::Rejections | Self::Ledger | Self::Queue | Self::DailyLimit, Proof::Stage(_))
            | (Self::Ledger | Self::Queue | Self::DailyLimit, Proof::Verdict)
            | (_, Proof::Ledger | Proof::Slot | Proof::CallCounted) => false,
        }
    }

    /// Whether what the probe has met now is the better reason. What a person has to mend outranks what may pass, and nothing makes a fault of one
    /// service pass for that of another.
    pub(super) fn gives_way_to(self, newer: Self) -> bool {
        const VENDOR: Reason = Reason::Outage(Stage::Call);
        match (self, newer) {
            (Self::Failure(_) | Self::Outage(_) | Self::Hold | Self::Rejections, Self::Failure(_))
            | (Self::Hold | VENDOR, Self::Hold | VENDOR | Self::Rejections) => self != newer,
            // A vendor that rejects an image has accepted the account; and whatever it was at fault for, nothing is found out about it without calls.
            (Self::Failure(code), Self::Rejections | Self::DailyLimit) => code.stage() == Stage::Call,
            (VENDOR | Self::Hold | Self::Rejections, Self::DailyLimit) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ledger => f.write_str("the ledger's failure"),
            Self::DailyLimit => f.write_str("the day (UTC)"),
            reason => f.write_str(reason.label()),
        }
    }
}

impl From<Code> for Reason {
    fn from(code: Code) -> Self {
        Self::Failure(code)
    }
}

// === impl Proof ===

impl From<Stage> for Proof {
    fn from(stage: Stage) -> Self {
        Self::Stage(stage)
    }
}

// === impl Finding ===

impl Finding {
    fn of(failure: &Failure) -> Self {
        let asked = failure.retry_after().filter(|asked| !asked.is_zero());
        match failure.code() {
            Code::ApiRejected => Self::Rejected,
            Code::ApiRateLimited => Self::Hold(asked),
            Code::ApiUnavailable if asked.is_some() && !failure.may_be_paid() => Self::Hold(asked),
            Code::ApiUnavailable | Code::ApiInDoubt | Code::ApiBadResponse => Self::Transient(Stage::Call),
            Code::StoreUnavailable | Code::StoreTimeout => Self::Transient(Stage::Fetch),
            code @ (Code::StoreUnauthorized
            | Code::ApiUnauthorized
            | Code::ApiForbidden
            | Code::ApiUnreachable
            | Code::ResultsUnroutable
            | Code::BrokerUnavailable) => Self::Systemic(code),
            // Each code is named, so that a new one cannot be forgotten here.
            Code::MalformedJob
            | Code::UnsupportedMessage
            | Code::JobExpired
            | Code::BucketNotAllowed
            | Code::ObjectNotFound
            | Code::ObjectForbidden
            | Code::ObjectChanged
            | Code::ObjectEmpty
            | Code::ObjectTooLarge
            | Code::NotAnImage
            | Code::UnsupportedFormat
            | Code::ImageCorrupt
            | Code::ImageDimensions
            | Code::DeliveryLimit
            | Code::DroppedByBroker => Self::Own,
        }
    }

    /// The reason for which it closes the gate, where it does. A job's own failure does not.
    pub(super) fn reason(self) -> Option<Reason> {
        match self {
            Self::Own => None,
            Self::Rejected => Some(Reason::Rejections),
            Self::Transient(stage) => Some(Reason::Outage(stage)),
            Self::Hold(_) => Some(Reason::Hold),
            Self::Systemic(code) => Some(Reason::Failure(code)),
            Self::LedgerAway => Some(Reason::Ledger),
            Self::DailyLimit(_) => Some(Reason::DailyLimit),
        }
    }
}

// === impl Met ===

impl Met<'_> {
    pub(super) const LEDGER_AWAY: Met<'static> =
        Met { finding: Finding::LedgerAway, message: "the ledger does not answer", may_be_paid: false, proof: None };
}

impl<'a> Met<'a> {
    pub(super) fn daily_limit(resumes_in: Duration, message: &'a str) -> Self {
        Self { finding: Finding::DailyLimit(resumes_in), message, may_be_paid: false, proof: None }
    }
}

impl<'a> From<&'a Failure> for Met<'a> {
    fn from(failure: &'a Failure) -> Self {
        let finding = Finding::of(failure);
        let proof = match (finding, failure.code().stage()) {
            (Finding::Own, Stage::Fetch | Stage::Inspect) => Some(Proof::Stage(Stage::Fetch)),
            (Finding::Rejected, _) => Some(Proof::Stage(Stage::Call)),
            _ => None,
        };
        Self { finding, message: failure.message(), may_be_paid: failure.may_be_paid(), proof }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_systemic_code_is_a_systemic_finding_and_no_other_is() {
        for &code in Code::ALL {
            let systemic = Finding::of(&Failure::new(code, "x")) == Finding::Systemic(code);
            assert_eq!(systemic, code.class() == antispoof_core::failure::Class::Systemic, "{code}");
        }
    }
}
