//! Rejections in a row.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_streak_of_rejections_does_not_count_beyond_its_limit() {
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
