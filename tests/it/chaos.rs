//! Everything goes wrong, again and again, and nothing may be lost, paid for twice unrecorded, or said wrongly.
//! `cargo run --example chaos` (`make chaos`) is the same at length; docs/testing.md says how to read and repeat it.

pub(crate) mod crew;
pub(crate) mod feed;
pub(crate) mod figures;
pub(crate) mod jobs;
pub(crate) mod keepsake;
pub(crate) mod oracle;
pub(crate) mod plan;
pub(crate) mod run;
pub(crate) mod strike;
pub(crate) mod witness;

use self::plan::{Backing, Kind, Plan};
use self::run::chaos;

#[tokio::test]
async fn replicas_with_a_shared_ledger_lose_nothing_and_pay_once() {
    let only = vec![
        Kind::Kill,
        Kind::Stop,
        Kind::BrokerCut,
        Kind::ConnectionsClosed,
        Kind::PolicyExpires,
        Kind::PolicyLimit,
        Kind::CutAtDelivery,
        Kind::StoreCutMidBody,
        Kind::StoreBadNode,
        Kind::ApiResetAfter,
        Kind::ApiGarbage,
        Kind::ApiUnauthorized,
        Kind::ApiEarlyAnswer,
        Kind::ApiGzip,
        Kind::ApiRefusedStream,
        Kind::RedisKill,
        Kind::LedgerReadonly,
    ];
    let plan = Plan { jobs: 500, replicas: 3, ledger: Backing::Redis, faults: 17, only, brief: true, seed: 7 };
    assert_good(&plan, "chaos-redis", &["redis"]).await;
}

#[tokio::test]
async fn workers_with_records_in_a_bucket_lose_nothing_and_pay_for_nothing_unrecorded() {
    let only = vec![
        Kind::Kill,
        Kind::KillInOutage,
        Kind::Drain,
        Kind::ConnectionsClosed,
        Kind::StoreCutMidBody,
        Kind::StoreOutage,
        Kind::StoreBadNode,
        Kind::StoreNotAStore,
        Kind::ApiResetAfter,
    ];
    let plan = Plan { jobs: 300, replicas: 3, ledger: Backing::S3, faults: 9, only, brief: true, seed: 7 };
    assert_good(&plan, "chaos-bucket", &[]).await;
}

#[tokio::test]
async fn a_worker_with_a_file_pays_twice_only_for_what_it_had_in_hand() {
    let only = vec![Kind::Kill, Kind::DiskFull];
    let plan = Plan { jobs: 250, replicas: 1, ledger: Backing::File, faults: 6, only, brief: true, seed: 7 };
    assert_good(&plan, "chaos-file", &[]).await;
}

async fn assert_good(plan: &Plan, name: &str, others: &[&'static str]) {
    let report = chaos(plan, name, others, |_| ()).await;
    assert!(report.good(), "{}\n{report}", report.complaint());
}
