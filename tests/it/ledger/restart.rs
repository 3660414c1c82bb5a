//! A Redis of our own, restarted in between.

use crate::harness::own_redis::{OwnRedis, ledger};
use antispoof_core::event::{FailureResult, JobResult, Report};
use antispoof_core::failure::{Code, Failure};
use antispoof_core::ports::{ClaimOutcome, Intent, Ledger as _};
use antispoof_core::retry::Attempt;
use time::OffsetDateTime;

#[tokio::test]
async fn a_restart_between_two_steps_costs_neither_an_error_nor_what_was_recorded() {
    let own = OwnRedis::start("restart").await;
    let ledger = ledger(&own.url);
    assert_eq!(ledger.begin("a").await, Ok(ClaimOutcome::Fresh));
    own.restart().await;
    assert_eq!(ledger.intent("a").await, Ok(Intent::Recorded(None)));
    own.restart().await;
    let failure = Failure::new(Code::ApiRejected, "the API answered 422");
    let end = JobResult::Failure(FailureResult::new(
        &failure,
        Report::new(None, Attempt::spent(1), OffsetDateTime::UNIX_EPOCH, 0),
    ));
    ledger.conclude("a", None, &end, None).await.expect("recorded");
    own.restart().await;
    assert_eq!(ledger.begin("a").await, Ok(ClaimOutcome::Concluded(Box::new(end))));
}
