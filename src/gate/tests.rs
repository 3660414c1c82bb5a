mod daily_limit;
mod outage;
mod pause;
mod rejections;

use super::*;
use antispoof_core::failure::{Code, Failure, Stage};
use antispoof_core::plan::Blame;
use antispoof_core::retry::Backoff;
use std::time::Duration;
use tokio::time::{Instant, advance};

const STREAK: usize = 4;

fn gate() -> Gate {
    gate_of(16)
}

/// Of a worker with so many slots.
fn gate_of(concurrency: u16) -> Gate {
    let probe = Backoff::try_new(Duration::from_secs(5), Duration::from_mins(1)).expect("sound");
    Gate::new(Policy { concurrency, rejection_streak: STREAK, probe, roll: || 0.9 })
}

fn failure(code: Code) -> Failure {
    Failure::new(code, "it is said so")
}

fn asked(seconds: u64) -> Failure {
    failure(Code::ApiRateLimited).with_retry_after(Some(Duration::from_secs(seconds)))
}

fn reason(gate: &Gate) -> Option<Reason> {
    gate.read(|state| state.closed().map(|closed| closed.reason))
}

fn flow(gate: &Gate) -> Flow {
    gate.read(|state| state.flow(Instant::now()))
}

/// A job that has come in and met this.
fn met(gate: &Gate, job: &str, failure: &Failure) -> (Pass, Blame) {
    let mut pass = gate.pass(job);
    assert!(pass.enter(), "{job} comes in");
    let blame = pass.failed(failure);
    pass.leave();
    (pass, blame)
}

/// So many different jobs meet this, and each goes its way.
fn meet(gate: &Gate, failure: &Failure, jobs: std::ops::Range<usize>) -> Vec<Blame> {
    jobs.map(|job| met(gate, &job.to_string(), failure).1).collect()
}

#[tokio::test(start_paused = true)]
async fn one_probes_and_the_right_proof_opens() {
    let gate = gate();
    let (mut probe, blame) = met(&gate, "a", &failure(Code::ApiUnauthorized));
    assert_eq!((reason(&gate), blame), (Some(Code::ApiUnauthorized.into()), Blame::Shared));
    assert_eq!(flow(&gate), Flow::Nothing(None), "a job in hand probes");
    assert!(!gate.pass("b").enter(), "the others wait");
    assert!(!probe.enter(), "so does the probe, until it is due");
    let began = Instant::now();
    assert!(probe.again().await && probe.enter(), "then it tries");
    assert_eq!(began.elapsed().as_secs(), 4, "api.probe_interval, with jitter");
    gate.proof(Stage::Publish);
    gate.proof(Stage::Fetch);
    gate.proof(Proof::Ledger);
    assert!(!gate.pass("b").enter(), "none of that says anything about the account");
    let idle = |gate: &Gate| gate.read(|state| state.excuses_idleness(Instant::now()));
    assert!(idle(&gate) && !idle(&self::gate()));
    probe.proof(Proof::Verdict);
    assert_eq!(reason(&gate), None);
    assert!(idle(&gate), "the consumer takes a moment to be back");
    drop(probe);
    assert_eq!(reason(&gate), None, "a spent probe changes nothing");
    advance(Duration::from_secs(11)).await;
    assert!(!idle(&gate));
}

#[tokio::test(start_paused = true)]
async fn credentials_for_the_store_are_proven_by_the_store() {
    let unauthorized = failure(Code::StoreUnauthorized);
    for proof in [None, Some(Code::ObjectNotFound), Some(Code::NotAnImage)] {
        let gate = gate();
        let (mut probe, _) = met(&gate, "a", &unauthorized);
        gate.proof(Proof::Verdict);
        assert_eq!(reason(&gate), Some(Code::StoreUnauthorized.into()), "a call that ran says nothing about the store");
        assert!(probe.again().await && probe.enter());
        match proof {
            None => probe.proof(Stage::Fetch),
            Some(code) => assert_eq!(probe.failed(&failure(code)), Blame::Job, "that is the job's own affair"),
        }
        assert_eq!(reason(&gate), None, "{proof:?}: the store has spoken about an object");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_probe_is_replaced_and_does_not_meddle() {
    let gate = gate();
    drop(gate.close(Code::ResultsUnroutable, "no queue"));
    assert_eq!(flow(&gate), Flow::AtMost(1), "one job is consumed to find out");
    let mut first = gate.pass("a");
    assert!(first.enter() && !gate.pass("b").enter(), "the first that comes");
    gate.proof(Stage::Publish);
    let second = gate.close(Code::ApiForbidden, "").expect("closed anew");
    drop(first);
    assert!(second.holds() && reason(&gate) == Some(Code::ApiForbidden.into()));
    let mut kept = None;
    gate.keep_closed(&mut kept, Reason::Ledger, "");
    assert!(kept.is_none(), "one probe at a time");
}

#[tokio::test(start_paused = true)]
async fn probes_that_may_be_paid_for_become_rare_whichever_job_makes_them() {
    let gate = gate_of(1);
    let doubt = failure(Code::ApiInDoubt);
    assert_eq!(meet(&gate, &doubt, 0..5), [Blame::Job; 5], "each may have been paid for");
    let mut waits = Vec::new();
    for job in 5..12 {
        let closed = Instant::now();
        let mut pass = gate.pass(&job.to_string());
        while !pass.again().await {
            advance(Duration::from_secs(1)).await;
            pass = gate.pass(&job.to_string());
        }
        waits.push(closed.elapsed().as_secs());
        assert!(pass.enter());
        assert_eq!(pass.failed(&doubt), Blame::Job);
        assert!(!pass.again().await, "it is not its turn again");
    }
    assert!(waits[0] >= 4 && waits[6] >= 57 && waits.is_sorted(), "{waits:?}");
}

#[test]
fn every_reason_is_a_label_of_the_metric() {
    let metrics = crate::telemetry::Metrics::new();
    let codes = Code::ALL.iter().map(|&code| Reason::Failure(code));
    let systemic = codes.filter(
        |reason| matches!(reason, Reason::Failure(code) if code.class() == antispoof_core::failure::Class::Systemic),
    );
    let others = [
        Reason::Outage(Stage::Fetch),
        Reason::Outage(Stage::Call),
        Reason::Hold,
        Reason::Rejections,
        Reason::Ledger,
        Reason::Queue,
        Reason::DailyLimit,
    ];
    let mut count = 0;
    for reason in systemic.chain(others) {
        metrics.gate_is(Some(reason.label()), Duration::ZERO);
        let page = metrics.render().expect("renders");
        assert!(page.contains(&format!("antispoofd_gate_closed{{reason=\"{}\"}} 1\n", reason.label())), "{reason}");
        assert!(page.contains("antispoofd_gate_open 0\n"));
        count += 1;
    }
    let page = metrics.render().expect("renders");
    assert_eq!(page.matches("antispoofd_gate_closed{").count(), count, "and no other is");
}
