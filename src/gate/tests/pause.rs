//! Pauses that the vendor asks for.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_request_to_slow_down_stops_all_calls_until_then() {
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
    assert!(early.again().await && early.enter(), "three seconds are waited for in hand");
    early.proof(Proof::Verdict);
    assert_eq!(flow(&gate), Flow::AtMost(2));
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
    assert_eq!(reason(&gate), Some(Reason::Outage(Stage::Call)), "nothing is known of the vendor yet");

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
