use super::*;

const HOUR: Duration = Duration::from_hours(1);

/// A job that has come in and is told that the day has had its calls.
fn told(gate: &Gate, job: &str, resumes_in: Duration) -> Pass {
    let mut pass = gate.pass(job);
    assert!(pass.enter(), "{job} comes in");
    pass.daily_limit_is_reached(resumes_in, "400 calls are counted");
    pass.leave();
    pass
}

#[tokio::test(start_paused = true)]
async fn nothing_is_consumed_until_the_day_is_over_but_for_a_look_now_and_then() {
    let gate = gate();
    let began = Instant::now();
    let mut first = told(&gate, "a", 3 * HOUR);
    assert_eq!(reason(&gate), Some(Reason::DailyLimit));
    assert!(!first.again().await, "it goes back at once");
    assert_eq!(began.elapsed(), Duration::ZERO);
    let mut looks = 0;
    while let Flow::Nothing(Some(until)) = flow(&gate) {
        advance(until - Instant::now()).await;
        looks += 1;
        assert_eq!(flow(&gate), Flow::AtMost(1));
        if began.elapsed() >= 3 * HOUR {
            break;
        }
        drop(told(&gate, &looks.to_string(), (3 * HOUR).saturating_sub(began.elapsed())));
    }
    assert_eq!((began.elapsed(), looks), (3 * HOUR, 36), "every five minutes, and on the dot at the end");
    let mut next = gate.pass("next");
    assert!(next.enter(), "it is another day");
    next.proof(Proof::CallCounted);
    assert_eq!((reason(&gate), flow(&gate)), (None, Flow::AtMost(2)));
}

#[tokio::test(start_paused = true)]
async fn a_day_that_is_about_to_end_is_waited_for_in_hand() {
    let gate = gate();
    let mut job = told(&gate, "a", Duration::from_secs(2));
    let began = Instant::now();
    assert!(job.again().await && job.enter());
    assert_eq!(began.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn what_the_vendor_was_at_fault_for_waits_for_the_next_day_and_verdicts_do_not_end_this_one() {
    let gate = gate();
    let (mut probe, _) = met(&gate, "a", &failure(Code::ApiUnauthorized));
    assert!(probe.again().await && probe.enter());
    probe.daily_limit_is_reached(HOUR, "");
    assert_eq!(reason(&gate), Some(Reason::DailyLimit));
    for proof in [Proof::Verdict, Proof::Ledger, Stage::Call.into(), Stage::Fetch.into()] {
        gate.proof(proof);
        assert_eq!(reason(&gate), Some(Reason::DailyLimit), "calls that were under way end well: {proof:?}");
    }
    // And the store's fault is not hidden by it.
    let gate = self::gate();
    let (mut probe, _) = met(&gate, "a", &failure(Code::StoreUnauthorized));
    assert!(probe.again().await && probe.enter());
    probe.daily_limit_is_reached(HOUR, "");
    assert_eq!(reason(&gate), Some(Code::StoreUnauthorized.into()));
}
