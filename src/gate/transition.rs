//! What the log says of the gate.

use super::closed::Closed;
use super::reason::Reason;
use std::time::Duration;
use tokio::time::Instant;

/// Pauses that the vendor asks for are a warning from this length on.
const WORTH_A_WARNING: Duration = Duration::from_secs(5);

/// A change that is logged: each reason that closes the gate once, and that it opens.
pub(super) enum Transition {
    Closed { reason: Reason, message: String, held_for: Duration },
    Open { reason: Reason, since: Instant },
}

impl Transition {
    pub(super) fn between(before: Option<(Reason, Instant)>, after: Option<&Closed>, now: Instant) -> Option<Self> {
        match (before, after) {
            (Some((reason, since)), None) => Some(Self::Open { reason, since }),
            (before, Some(closed)) if before.is_none_or(|(reason, _)| reason != closed.reason) => Some(Self::Closed {
                reason: closed.reason,
                message: closed.message.clone(),
                held_for: closed.held_for(now),
            }),
            (None | Some(_), _) => None,
        }
    }

    pub(super) fn log(self, now: Instant) {
        match self {
            Self::Open { reason, since } => {
                let seconds = (now - since).as_secs();
                tracing::info!(reason = reason.label(), seconds, "what closed the gate is over: consuming again");
            }
            Self::Closed { reason: reason @ Reason::Hold, message, held_for } => {
                let (reason_name, seconds) = (reason.label(), held_for.as_secs_f64());
                // At its limit, a vendor asks for a second of rest over and over.
                if held_for < WORTH_A_WARNING {
                    tracing::info!(
                        reason = reason_name,
                        seconds,
                        "nothing is consumed until {reason} is over, in {seconds:.1} s: {message}"
                    );
                } else {
                    tracing::warn!(
                        reason = reason_name,
                        seconds,
                        "nothing is consumed until {reason} is over, in {seconds:.1} s: {message}"
                    );
                }
            }
            Self::Closed { reason, message, .. } => {
                let what = match (message.is_empty(), reason.remedy()) {
                    (true, remedy) => remedy.to_owned(),
                    (false, "") => message,
                    (false, remedy) => format!("{message}; {remedy}"),
                };
                let reason_name = reason.label();
                if reason.may_pass() {
                    tracing::warn!(reason = reason_name, "nothing is consumed until {reason} is over: {what}");
                } else {
                    tracing::error!(reason = reason_name, "nothing is consumed until {reason} is over: {what}");
                }
            }
        }
    }
}
