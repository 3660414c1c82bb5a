use super::*;
use antispoof_core::failure::{Code, Failure, Stage};
use antispoof_core::plan::Blame;
use tokio::time::advance;

const STREAK: usize = 4;

fn gate() -> Gate {
    gate_of(16)
}

/// Of a worker with so many hands.
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
    gate.look(|state| state.closed().map(|closed| closed.reason))
}

fn flow(gate: &Gate) -> Flow {
    gate.look(|state| state.flow(Instant::now()))
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
    let idle = |gate: &Gate| gate.look(|state| state.excuses_idleness(Instant::now()));
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
async fn credentials_for_the_store_are_proved_by_the_store() {
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
async fn several_jobs_in_a_row_are_an_outage_and_one_of_them_is_not() {
    for (code, other, stage) in [
        (Code::ApiUnavailable, Code::StoreTimeout, Stage::Call),
        (Code::StoreUnavailable, Code::ApiUnavailable, Stage::Fetch),
    ] {
        let gate = gate();
        let away = failure(code);
        for _ in 0..20 {
            assert_eq!(meet(&gate, &away, 0..1), [Blame::Job], "the same job over and over");
        }
        meet(&gate, &away, 1..4);
        meet(&gate, &failure(other), 0..4);
        assert_eq!(reason(&gate), None, "four of each");
        gate.proof(stage);
        assert_eq!(meet(&gate, &away, 0..4), [Blame::Job; 4], "a success in between");
        assert_eq!(meet(&gate, &failure(Code::ObjectForbidden), 4..30), [Blame::Job; 26], "an object's own affair");
        // Which also says that the store is there.
        let from = if stage == Stage::Fetch { 30..34 } else { 30..30 };
        meet(&gate, &away, from);
        let (mut probe, blame) = met(&gate, "the fifth", &away);
        assert_eq!((reason(&gate), blame), (Some(Reason::Outage(stage)), Blame::Shared));
        let began = Instant::now();
        assert!(probe.again().await);
        assert!(began.elapsed() < Duration::from_secs(2), "jobs are consumed again soon after its end");
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_gate_lets_in_twice_as_many_as_have_gone_well() {
    let gate = gate();
    meet(&gate, &failure(Code::ApiUnavailable), 0..4);
    let (mut probe, _) = met(&gate, "probe", &failure(Code::ApiUnavailable));
    assert!(probe.again().await && probe.enter());
    probe.proof(Proof::Verdict);
    probe.leave();
    for window in [2, 4, 8] {
        assert_eq!(flow(&gate), Flow::AtMost(window));
        let mut jobs: Vec<_> = (0..window).map(|job| gate.pass(&job.to_string())).collect();
        assert!(jobs.iter_mut().all(Pass::enter), "as many as there is room for");
        let mut another = gate.pass("another");
        assert!(!another.enter(), "and no more");
        jobs[0].leave();
        assert!(another.again().await && another.enter(), "until one has left");
        drop(another);
        gate.proof(Stage::Fetch);
        for job in jobs {
            job.proof(Proof::Verdict);
        }
    }
    assert_eq!(flow(&gate), Flow::Full, "all of 16");
}

#[tokio::test(start_paused = true)]
async fn an_outage_takes_few_jobs_out_of_their_place() {
    let gate = gate_of(1);
    let away = failure(Code::ApiUnavailable);
    meet(&gate, &away, 0..4);
    let began = Instant::now();
    met(&gate, "0", &away);
    assert_eq!(reason(&gate), None, "it was one of the four");
    let (mut probe, mut probers) = (met(&gate, "5", &away).0, 1);
    while began.elapsed() < Duration::from_mins(5) {
        if probe.again().await {
            assert!(probe.enter());
            assert_eq!(probe.failed(&away), Blame::Shared);
            probe.leave();
        } else {
            probers += 1;
            drop(probe);
            probe = gate.pass(&probers.to_string());
        }
    }
    assert!((6..=8).contains(&probers), "{probers} jobs in some 200 probes");
    let mut charged = 0;
    while began.elapsed() < Duration::from_hours(1) {
        if probe.again().await {
            assert!(probe.enter());
            charged += u32::from(probe.failed(&away) == Blame::Job);
            probe.leave();
        } else {
            drop(probe);
            probe = gate.pass("another");
        }
    }
    assert!(
        (3..=6).contains(&charged),
        "{charged}: what fails for ten minutes may be at fault itself, and ends some day"
    );
}

#[tokio::test(start_paused = true)]
async fn probes_that_may_be_paid_for_become_rare_whoever_makes_them() {
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

#[tokio::test(start_paused = true)]
async fn who_is_asked_to_slow_down_stops_everybody_until_then() {
    let gate = gate();
    let (mut early, mut late) = (gate.pass("early"), gate.pass("late"));
    assert!(early.enter() && late.enter());
    let (mut first, blame) = met(&gate, "first", &asked(30));
    assert_eq!((reason(&gate), blame), (Some(Reason::Hold), Blame::Job), "who finds out spends an attempt");
    assert_eq!(late.failed(&asked(31)), Blame::Shared, "who meets it besides does not");
    assert_eq!(gate.held_for(), Duration::from_secs(31), "the longer of the two");
    early.proof(Proof::Verdict);
    assert_eq!(reason(&gate), Some(Reason::Hold), "a call that began before is no proof");
    let mut fresh = gate.pass("fresh");
    let began = Instant::now();
    assert!(!fresh.again().await && !first.again().await, "half a minute is waited for in the queue");
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(matches!(flow(&gate), Flow::Nothing(Some(until)) if until == began + Duration::from_secs(31)));

    advance(Duration::from_secs(31)).await;
    assert_eq!((flow(&gate), gate.held_for()), (Flow::AtMost(1), Duration::ZERO));
    assert!(fresh.enter() && !early.enter(), "one call finds out");
    assert_eq!(fresh.failed(&asked(3)), Blame::Job);
    assert!(!fresh.enter());
    assert!(early.again().await && early.enter(), "three seconds are waited for in hand, by whoever is there");
    early.proof(Proof::Verdict);
    assert_eq!(flow(&gate), Flow::AtMost(2));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_alone_with_something_else_is_judged_as_if_the_gate_were_open() {
    let away = failure(Code::ApiUnavailable);
    let gate = gate();
    met(&gate, "a", &asked(1));
    advance(Duration::from_secs(1)).await;
    assert_eq!(meet(&gate, &failure(Code::StoreTimeout), 0..1), [Blame::Job], "the store's fault says nothing");
    assert_eq!(reason(&gate), Some(Reason::Hold));
    assert_eq!(meet(&gate, &away, 0..1), [Blame::Job]);
    assert_eq!(reason(&gate), None, "not well, but it does not ask to slow down any more");
    meet(&gate, &away, 1..4);
    let (mut fifth, blame) = met(&gate, "fifth", &away);
    assert_eq!((reason(&gate), blame), (Some(Reason::Outage(Stage::Call)), Blame::Shared));
    assert!(fifth.again().await && fifth.enter());
    assert_eq!(fifth.failed(&failure(Code::StoreTimeout)), Blame::Job);
    assert_eq!(reason(&gate), Some(Reason::Outage(Stage::Call)), "nobody knows about the vendor yet");

    let gate = self::gate();
    let (mut refused, _) = met(&gate, "a", &failure(Code::ApiUnauthorized));
    assert!(refused.again().await && refused.enter());
    assert_eq!(refused.failed(&away), Blame::Job);
    assert_eq!(reason(&gate), Some(Code::ApiUnauthorized.into()), "who cannot work need not know us");
    drop(refused);
    advance(Duration::from_mins(1)).await;
    let mut next = gate.pass("b");
    assert!(next.enter());
    let doubt = failure(Code::ApiInDoubt);
    assert_eq!(next.failed(&doubt), Blame::Job);
    assert!(matches!(flow(&gate), Flow::Nothing(Some(_))), "the next may be paid for as well, so it waits");
}

#[tokio::test(start_paused = true)]
async fn a_pause_outlasts_what_else_closes_the_gate() {
    let gate = gate();
    let mut pass = gate.pass("a");
    pass.ledger_is_away();
    assert!(pass.again().await && pass.enter());
    pass.failed(&asked(30));
    assert_eq!((reason(&gate), gate.held_for()), (Some(Reason::Ledger), Duration::from_secs(30)));
    gate.proof(Proof::Ledger);
    assert_eq!((reason(&gate), gate.held_for()), (Some(Reason::Hold), Duration::from_secs(30)));
    assert!(!gate.pass("b").enter());
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_bounded_and_one_without_a_time_grows() {
    let gate = gate();
    let days = failure(Code::ApiUnavailable).with_retry_after(Some(Duration::from_hours(48)));
    met(&gate, "a", &days);
    assert_eq!(gate.held_for(), Duration::from_hours(1));
    let gate = self::gate();
    let mut waits = Vec::new();
    for job in 0..8 {
        met(&gate, &job.to_string(), &failure(Code::ApiRateLimited));
        waits.push(gate.held_for().as_secs());
        advance(gate.held_for()).await;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(
        meet(&self::gate(), &failure(Code::ApiUnavailable).with_retry_after(Some(Duration::ZERO)), 0..4),
        [Blame::Job; 4]
    );
}

#[tokio::test(start_paused = true)]
async fn a_streak_of_rejections_is_not_told_to_its_end() {
    let gate = gate();
    let rejected = failure(Code::ApiRejected);
    assert_eq!(meet(&gate, &rejected, 0..3), [Blame::Job; 3]);
    gate.proof(Proof::Verdict);
    for _ in 0..10 {
        assert_eq!(meet(&gate, &rejected, 0..3), [Blame::Job; 3], "the same ones again");
    }
    assert_eq!(reason(&gate), None);
    let mut before = gate.pass("in hand");
    assert!(before.enter());
    let (mut fourth, blame) = met(&gate, "fourth", &rejected);
    assert_eq!((reason(&gate), blame), (Some(Reason::Rejections), Blame::Shared), "it is not told");
    assert_eq!(before.failed(&rejected), Blame::Shared, "nor is who was on its way");
    before.leave();
    assert!(!fourth.again().await, "another image tells more");
    for job in 0..5 {
        advance(Duration::from_secs(5)).await;
        assert_eq!(flow(&gate), Flow::AtMost(1), "another job each time, and the wait does not grow");
        assert_eq!(meet(&gate, &rejected, job..job + 1), [Blame::Shared]);
    }
    gate.proof(Stage::Call);
    assert_eq!(reason(&gate), Some(Reason::Rejections));
    advance(Duration::from_secs(5)).await;
    let mut good = gate.pass("good");
    assert!(good.enter());
    good.proof(Proof::Verdict);
    assert_eq!(reason(&gate), None);
    assert_eq!(meet(&gate, &rejected, 0..1), [Blame::Job], "counted from the beginning");
}

#[tokio::test(start_paused = true)]
async fn a_streak_outlasts_what_else_closes_the_gate() {
    let gate = gate();
    let rejected = failure(Code::ApiRejected);
    meet(&gate, &rejected, 0..4);
    advance(Duration::from_secs(5)).await;
    let mut probe = gate.pass("a");
    assert!(probe.enter());
    assert_eq!(probe.failed(&failure(Code::ApiUnauthorized)), Blame::Shared);
    assert_eq!(reason(&gate), Some(Code::ApiUnauthorized.into()), "what a person has to mend");
    advance(Duration::from_mins(1)).await;
    drop(probe);
    assert_eq!(meet(&gate, &rejected, 7..8), [Blame::Shared], "the account is well, the images are still rejected");
    assert_eq!(reason(&gate), Some(Reason::Rejections));
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_away_is_probed_and_waited_for() {
    let gate = gate();
    let mut pass = gate.pass("a");
    pass.ledger_is_away();
    assert_eq!(reason(&gate), Some(Reason::Ledger));
    assert!(pass.again().await);
    let mut other = gate.pass("b");
    other.ledger_is_away();
    let began = Instant::now();
    assert!(!other.again().await, "one probes, the others go back");
    assert_eq!(began.elapsed(), Duration::from_secs(5), "after a short while");
    gate.proof(Proof::Ledger);
    assert!(other.again().await && pass.again().await);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_takes_nothing_closes_it_until_a_slot_is_free_and_all_goes_on_at_once() {
    let gate = gate_of(16);
    let mut probe = None;
    gate.keep_closed(&mut probe, Reason::Queue, "the parked queue is full");
    assert_eq!(reason(&gate), Some(Reason::Queue));
    gate.proof(Proof::Verdict);
    gate.proof(Stage::Publish);
    gate.proof(Proof::Ledger);
    assert_eq!(reason(&gate), Some(Reason::Queue), "nothing else says that it takes something");
    gate.proof(Proof::Slot);
    assert_eq!((reason(&gate), gate.look(|state| state.flow(Instant::now()))), (None, Flow::Full));
    // And a slot that becomes free proves nothing of anything else.
    gate.close(Reason::Ledger, "");
    gate.proof(Proof::Slot);
    assert_eq!(reason(&gate), Some(Reason::Ledger));
}

#[tokio::test(start_paused = true)]
async fn half_of_the_hands_wait_for_the_end_of_an_outage() {
    let gate = gate_of(4);
    let away = failure(Code::StoreUnavailable);
    meet(&gate, &away, 0..4);
    let mut lingering = Vec::new();
    for job in 4..7 {
        let mut pass = gate.pass(&job.to_string());
        while !pass.retired {
            assert!(pass.again().await && pass.enter());
            assert_eq!(pass.failed(&away), Blame::Shared);
            pass.leave();
        }
        if job == 6 {
            assert!(!pass.again().await, "the third goes back at once");
        } else {
            lingering.push(tokio::spawn(async move { pass.again().await && pass.enter() }));
            tokio::task::yield_now().await;
        }
    }
    advance(Duration::from_mins(1)).await;
    gate.proof(Stage::Fetch);
    for job in lingering {
        assert!(job.await.expect("no panic"), "who waited goes on");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_in_hand_outwaits_a_short_fault() {
    let gate = gate();
    let probe = gate.close(Reason::Outage(Stage::Call), "");
    let mut waiting = gate.pass("a");
    let opening = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        gate.proof(Proof::Verdict);
    };
    let (again, ()) = tokio::join!(waiting.again(), opening);
    assert!(again && waiting.enter());
    drop(probe);
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
