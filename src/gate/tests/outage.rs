//! Outages: of the store, of the vendor, of the ledger and of a queue.

use super::*;

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
async fn an_open_gate_lets_in_twice_as_many_as_have_succeeded() {
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
async fn half_of_the_slots_wait_for_the_end_of_an_outage() {
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
    assert_eq!((reason(&gate), gate.read(|state| state.flow(Instant::now()))), (None, Flow::Full));
    // And a slot that becomes free proves nothing of anything else.
    gate.close(Reason::Ledger, "");
    gate.proof(Proof::Slot);
    assert_eq!(reason(&gate), Some(Reason::Ledger));
}
