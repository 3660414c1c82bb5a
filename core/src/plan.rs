//! What becomes of a message: one pure function, total over every failure and every attempt.

use crate::failure::{Class, Failure};
use crate::retry::{Attempt, InDoubt, RetryPolicy};

/// What to do with a message whose job has failed. (A verdict is published; there is nothing to decide.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Into the delay queue with this index, with this many attempts spent.
    Delay {
        /// Index into the delays.
        tier: usize,
        /// The attempts spent, this one included.
        attempts: Attempt,
    },
    /// A failure event, then the parked queue.
    Park {
        /// The attempts spent, this one included.
        attempts: Attempt,
        /// True when the failure might have passed but the attempts are used up.
        exhausted: bool,
    },
    /// No attempt is spent: it is not this job's fault. It tries again as the probe, or goes into the shortest delay queue.
    Requeue,
}

/// Whose fault a failure is, as the gate sees it: a failure that its class lays at the job's door is not the job's when every job meets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blame {
    /// The job's, as far as its class goes.
    #[default]
    Job,
    /// Every job meets it: the vendor or the store is away, or rejects everything.
    Shared,
}

/// Decides what becomes of a message. A call that may have been paid for is counted in any case.
pub fn plan(failure: &Failure, blame: Blame, before: Attempt, policy: &RetryPolicy) -> Plan {
    let attempts = before.next();
    match failure.code().class() {
        _ if blame == Blame::Shared && !failure.may_be_paid() => Plan::Requeue,
        Class::Permanent => Plan::Park { attempts, exhausted: false },
        Class::Systemic => Plan::Requeue,
        Class::Transient if failure.may_be_paid() && policy.in_doubt == InDoubt::Park => {
            Plan::Park { attempts, exhausted: false }
        }
        Class::Transient if attempts.count() >= policy.max_attempts => Plan::Park { attempts, exhausted: true },
        Class::Transient => Plan::Delay { tier: policy.tier(attempts, failure.retry_after()), attempts },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Code;
    use crate::retry::Backoff;
    use std::time::Duration;

    fn policy(in_doubt: InDoubt) -> RetryPolicy {
        RetryPolicy {
            quick_attempts: 3,
            quick: Backoff::try_new(Duration::from_millis(200), Duration::from_secs(5)).expect("valid"),
            delays: [10, 60].map(Duration::from_secs).to_vec(),
            max_attempts: 3,
            in_doubt,
        }
    }

    #[test]
    fn every_code_at_every_attempt_has_a_plan_that_fits_its_class() {
        for &code in Code::ALL {
            for before in [0, 1, 2, 3, u32::MAX] {
                for in_doubt in [InDoubt::Retry, InDoubt::Park] {
                    let policy = policy(in_doubt);
                    let failure = Failure::new(code, "x");
                    let decided = plan(&failure, Blame::Job, Attempt::spent(before), &policy);
                    let excused = plan(&failure, Blame::Shared, Attempt::spent(before), &policy);
                    assert_eq!(excused, if failure.may_be_paid() { decided } else { Plan::Requeue }, "{code} {before}");
                    match code.class() {
                        Class::Permanent => {
                            assert!(matches!(decided, Plan::Park { exhausted: false, .. }), "{code} {before}");
                        }
                        Class::Systemic => assert_eq!(decided, Plan::Requeue, "{code} {before}"),
                        Class::Transient => match decided {
                            Plan::Delay { tier, attempts } => {
                                assert!(tier < policy.delays.len() && attempts.count() < policy.max_attempts);
                            }
                            Plan::Park { exhausted, .. } => {
                                let parked_by_choice = failure.may_be_paid() && in_doubt == InDoubt::Park;
                                assert_eq!(exhausted, !parked_by_choice, "{code} {before}");
                            }
                            Plan::Requeue => panic!("{code} spends an attempt"),
                        },
                    }
                }
            }
        }
    }

    #[test]
    fn a_gateway_that_may_have_passed_the_call_on_is_parked_where_doubts_are() {
        let failure = Failure::new(Code::ApiUnavailable, "x").with_status(504).with_request_sent(true);
        let parked = plan(&failure, Blame::Job, Attempt::spent(0), &policy(InDoubt::Park));
        assert_eq!(parked, Plan::Park { attempts: Attempt::spent(1), exhausted: false });
        let again = plan(&failure, Blame::Job, Attempt::spent(0), &policy(InDoubt::Retry));
        assert_eq!(again, Plan::Delay { tier: 0, attempts: Attempt::spent(1) });
    }

    #[test]
    fn the_last_attempt_is_parked_not_delayed() {
        let failure = Failure::new(Code::StoreTimeout, "x");
        let policy = policy(InDoubt::Retry);
        assert!(matches!(plan(&failure, Blame::Job, Attempt::spent(1), &policy), Plan::Delay { tier: 1, .. }));
        assert_eq!(
            plan(&failure, Blame::Job, Attempt::spent(2), &policy),
            Plan::Park { attempts: Attempt::spent(3), exhausted: true }
        );
    }
}
