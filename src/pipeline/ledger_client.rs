//! The ledger as the pipeline uses it: what an error means is decided here, counted, and said once each time it begins or ends.

use crate::telemetry::Metrics;
use antispoof_core::event::JobResult;
use antispoof_core::policy::OnLedgerError;
use antispoof_core::ports::{ClaimOutcome, DailyCalls, Intent, Ledger, LedgerError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// From so much of a daily limit on it is said that it is near.
const NEAR_PERCENT: u64 = 80;

/// The ledger cannot be asked, and nothing may be paid for until it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LedgerAway;

/// A ledger with a rule for its errors.
pub struct LedgerClient<L> {
    ledger: L,
    on_error: OnLedgerError,
    metrics: Arc<Metrics>,
    away: AtomicBool,
    /// The day on which it was said that its limit is near.
    warned_on: AtomicU64,
}

impl<L: Ledger> LedgerClient<L> {
    /// Errors are counted in `metrics`.
    pub fn new(ledger: L, on_error: OnLedgerError, metrics: Arc<Metrics>) -> Self {
        Self { ledger, on_error, metrics, away: AtomicBool::new(false), warned_on: AtomicU64::new(u64::MAX) }
    }

    /// The ledger itself.
    pub fn inner(&self) -> &L {
        &self.ledger
    }

    /// Whether an end that was given to it can be counted on to be there.
    pub(super) fn remembers(&self) -> bool {
        self.ledger.remembers() && !self.away.load(Ordering::Relaxed)
    }

    pub(super) async fn begin(&self, key: &str) -> Result<ClaimOutcome, LedgerAway> {
        self.or("begin", self.ledger.begin(key).await, ClaimOutcome::Fresh)
    }

    pub(super) async fn intent(&self, key: &str) -> Result<Intent, LedgerAway> {
        let intent = self.or("intent", self.ledger.intent(key).await, Intent::Recorded(None))?;
        match intent {
            Intent::Recorded(Some(today)) | Intent::LimitReached { today, .. } => self.counted(today),
            Intent::Recorded(None) | Intent::ClaimLost => {}
        }
        Ok(intent)
    }

    /// A call that was counted was not sent.
    pub(super) async fn unsent(&self, call: DailyCalls) {
        self.noted("unsent", self.ledger.unsent(call).await);
    }

    /// Reads how many calls are counted, for the metric: other workers count, too, and a new day begins.
    pub async fn look_at_count(&self) {
        if let Ok(Some(today)) = self.ledger.daily_calls().await {
            self.counted(today);
        }
    }

    /// Says once a day that the limit is near.
    fn counted(&self, today: DailyCalls) {
        self.metrics.called_today(today);
        let near = today.counted.saturating_mul(100) >= today.limit.saturating_mul(NEAR_PERCENT);
        if near && self.warned_on.swap(today.day, Ordering::Relaxed) != today.day {
            let DailyCalls { counted, limit, .. } = today;
            tracing::warn!(
                counted,
                limit,
                "{counted} of the {limit} calls of this day (api.daily_call_limit, UTC) are counted: at {limit} nothing is consumed until midnight"
            );
        }
    }

    pub(super) async fn recall(&self, object: &str) -> Result<Option<JobResult>, LedgerAway> {
        self.or("recall", self.ledger.recall(object).await, None)
    }

    /// The end that stands instead of this one, if one does.
    pub(super) async fn conclude(
        &self,
        key: &str,
        object: Option<&str>,
        result: &JobResult,
        superseded: Option<&JobResult>,
    ) -> Result<Option<Box<JobResult>>, LedgerAway> {
        self.or("conclude", self.ledger.conclude(key, object, result, superseded).await, None)
    }

    pub(super) async fn published(&self, key: &str, keep: bool) {
        self.noted("announced", self.ledger.published(key, keep).await);
    }

    pub(super) async fn release(&self, key: &str, paid: bool) {
        self.noted("release", self.ledger.release(key, paid).await);
    }

    fn or<T>(&self, op: &'static str, result: Result<T, LedgerError>, without: T) -> Result<T, LedgerAway> {
        match (self.noted(op, result), self.on_error) {
            (Some(known), _) => Ok(known),
            (None, OnLedgerError::Proceed) => Ok(without),
            (None, OnLedgerError::Hold) => Err(LedgerAway),
        }
    }

    fn noted<T>(&self, op: &'static str, result: Result<T, LedgerError>) -> Option<T> {
        match result {
            Ok(known) => {
                if self.away.load(Ordering::Relaxed) && self.away.swap(false, Ordering::Relaxed) {
                    tracing::info!("the ledger answers again");
                    self.metrics.recent.ledger(None);
                }
                Some(known)
            }
            Err(error) => {
                self.metrics.ledger_errors.get_or_create(&[("op", op)]).inc();
                self.metrics.recent.ledger(Some(&error.to_string()));
                if self.away.swap(true, Ordering::Relaxed) {
                    tracing::debug!(op, %error, "the ledger did not take a step");
                } else {
                    let so = match self.on_error {
                        OnLedgerError::Hold => "nothing is paid for until it is back",
                        OnLedgerError::Proceed => {
                            "jobs are judged without it, those that come again are paid for again"
                        }
                    };
                    tracing::error!(op, %error, "{error}: {so}");
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Gone;

    impl Ledger for Gone {
        async fn begin(&self, _: &str) -> Result<ClaimOutcome, LedgerError> {
            Err(LedgerError("gone".to_owned()))
        }
        async fn intent(&self, _: &str) -> Result<Intent, LedgerError> {
            Err(LedgerError("gone".to_owned()))
        }
        async fn conclude(
            &self,
            _: &str,
            _: Option<&str>,
            _: &JobResult,
            _: Option<&JobResult>,
        ) -> Result<Option<Box<JobResult>>, LedgerError> {
            Err(LedgerError("gone".to_owned()))
        }
        async fn published(&self, _: &str, _: bool) -> Result<(), LedgerError> {
            Err(LedgerError("gone".to_owned()))
        }
        async fn release(&self, _: &str, _: bool) -> Result<(), LedgerError> {
            Err(LedgerError("gone".to_owned()))
        }
        async fn unsent(&self, _: DailyCalls) -> Result<(), LedgerError> {
            Err(LedgerError("gone".to_owned()))
        }
        async fn daily_calls(&self) -> Result<Option<DailyCalls>, LedgerError> {
            Err(LedgerError("gone".to_owned()))
        }
        async fn recall(&self, _: &str) -> Result<Option<JobResult>, LedgerError> {
            Err(LedgerError("gone".to_owned()))
        }
    }

    #[tokio::test]
    async fn an_error_holds_or_is_worked_without_and_is_counted_either_way() {
        let metrics = Arc::new(Metrics::new());
        let hold = LedgerClient::new(Gone, OnLedgerError::Hold, metrics.clone());
        assert_eq!(hold.begin("a").await, Err(LedgerAway));
        assert_eq!(hold.intent("a").await, Err(LedgerAway));
        assert_eq!(hold.recall("a").await, Err(LedgerAway));
        let proceed = LedgerClient::new(Gone, OnLedgerError::Proceed, metrics.clone());
        assert_eq!(proceed.begin("a").await, Ok(ClaimOutcome::Fresh));
        assert_eq!(proceed.intent("a").await, Ok(Intent::Recorded(None)));
        assert_eq!(proceed.recall("a").await, Ok(None));
        proceed.release("a", false).await;
        let count = |op| metrics.ledger_errors.get_or_create(&[("op", op)]).get();
        assert_eq!(["begin", "intent", "recall", "release", "conclude"].map(count), [2, 2, 2, 1, 0]);
    }
}
