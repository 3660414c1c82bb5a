//! A made-up history for each violation, which violates just that.

use super::*;

/// Digests of which the simulator says: no spoof, and spoof.
const LIVE: &str = "00000001800000000000000000000000000000000000000000000000000000ff";
const SPOOF: &str = "00000005400000000000000000000000000000000000000000000000000000ff";

fn verdict(job: &str, digest: &str) -> Event {
    let (spoof_detected, accuracy) = vendor_says(digest);
    let outcome = if spoof_detected { "spoof" } else { "live" }.to_owned();
    let end = End::Verdict { outcome, spoof_detected, accuracy };
    Event { job: name(job), id: format!("event of {job}"), end, in_doubt: 0 }
}

fn failure(job: &str, code: &str) -> Event {
    let end = End::Failure { code: name(code) };
    Event { job: name(job), id: format!("event of {job}"), end, in_doubt: 0 }
}

/// Three jobs that ended as they should, one of them told twice.
fn good() -> History {
    let job = |id: &str, expected| Submitted { id: name(id), expected, copies: 1 };
    let once = Tally { calls: 1, billed: 1, garbled: 0 };
    History {
        jobs: vec![
            job("a", Expected::Verdict { digest: name(LIVE) }),
            job("b", Expected::Verdict { digest: name(SPOOF) }),
            job("c", Expected::Failure("not_an_image")),
        ],
        events: vec![verdict("a", LIVE), verdict("b", SPOOF), failure("c", "not_an_image"), verdict("a", LIVE)],
        calls: [(name(LIVE), once), (name(SPOOF), once)].into(),
        parked: vec![name("c"), name("c")],
        left: [("antispoof.jobs".to_owned(), 0)].into(),
        promise: Promise::OnRecord,
        drops: false,
    }
}

#[test]
fn what_the_broker_may_have_dropped_ends_so_and_is_parked() {
    let mut history = good();
    history.events[1] = failure("b", "dropped_by_broker");
    calls(&mut history, SPOOF).billed = 0;
    assert_eq!(names(&history), ["wrong end"]);
    history.drops = true;
    assert_eq!(names(&history), ["not parked"]);
    history.parked.push(name("b"));
    assert_eq!(names(&history), Vec::<&str>::new());
    history.events.push(verdict("b", SPOOF));
    calls(&mut history, SPOOF).billed = 1;
    assert_eq!(names(&history), ["contradiction"], "it was sent once");
    history.jobs[1].copies = 2;
    assert_eq!(names(&history), Vec::<&str>::new(), "one copy was dropped, the other judged");
}

fn names(history: &History) -> Vec<&'static str> {
    violations(history).iter().map(Violation::name).collect()
}

fn calls<'a>(history: &'a mut History, digest: &str) -> &'a mut Tally {
    history.calls.get_mut(digest).expect("it was called for")
}

#[test]
fn a_good_history_has_none() {
    assert_eq!(violations(&good()), []);
    let expected = Sums { ended: 3, duplicates: 1, calls: 2, billed: 2, ..Sums::default() };
    assert_eq!(sums(&good()), expected);
}

#[test]
fn a_job_without_an_event_is_lost() {
    let mut history = good();
    history.events.retain(|event| event.job != "b");
    assert_eq!(violations(&history), [Violation::Lost { job: name("b") }]);
}

#[test]
fn an_event_of_nobody_s_job_is_noticed() {
    let mut history = good();
    history.events.push(failure("z", "not_an_image"));
    assert_eq!(violations(&history), [Violation::Unasked { job: name("z") }]);
}

#[test]
fn events_that_differ_contradict_each_other_and_one_is_wrong() {
    let mut history = good();
    history.events.push(failure("a", "api_unavailable"));
    assert_eq!(names(&history), ["contradiction", "wrong end"]);
}

#[test]
fn an_id_belongs_to_an_end() {
    let mut history = good();
    history.events[3].id = name("another");
    assert_eq!(violations(&history), [Violation::TwoIds { job: name("a") }]);
    // A failure that is sent once more is another round.
    let mut history = good();
    history.events.push(Event { id: name("another"), ..failure("c", "not_an_image") });
    assert_eq!(names(&history), ["two ids"]);
    history.jobs[2].copies = 2;
    assert_eq!(violations(&history), []);
}

#[test]
fn a_failure_in_place_of_a_verdict_is_a_wrong_end() {
    let mut history = good();
    history.events[1] = failure("b", "store_timeout");
    assert_eq!(names(&history), ["wrong end"]);
    let mut history = good();
    history.events[2] = failure("c", "image_corrupt");
    assert_eq!(names(&history), ["wrong end"]);
}

#[test]
fn live_is_said_of_nothing_else() {
    let mut history = good();
    history.events[1].end = verdict("b", LIVE).end;
    assert_eq!(violations(&history), [Violation::FalseLive { job: name("b") }]);
}

#[test]
fn the_vendor_s_fields_are_not_touched() {
    for twist in [
        |end: &mut End| {
            if let End::Verdict { accuracy, .. } = end {
                *accuracy += 0.001;
            }
        },
        |end: &mut End| {
            if let End::Verdict { outcome, .. } = end {
                name("spoof").clone_into(outcome);
            }
        },
        |end: &mut End| {
            if let End::Verdict { spoof_detected, .. } = end {
                *spoof_detected = true;
            }
        },
    ] {
        let mut history = good();
        history.events.truncate(3);
        twist(&mut history.events[0].end);
        assert_eq!(names(&history), ["distorted"]);
    }
}

#[test]
fn a_verdict_without_a_call_is_made_up() {
    let mut history = good();
    history.calls.remove(LIVE);
    assert_eq!(violations(&history), [Violation::MadeUp { job: name("a") }]);
}

#[test]
fn a_second_call_needs_a_record() {
    let mut history = good();
    *calls(&mut history, LIVE) = Tally { calls: 3, billed: 2, garbled: 0 };
    let violation = Violation::PaidWithoutRecord { job: name("a"), billed: 2, in_doubt: 0 };
    assert_eq!(violations(&history), [violation]);
    assert_eq!((sums(&history).extra, sums(&history).unrecorded), (1, 1));
    // An answer that was none is on record, too, or it is not accounted for.
    calls(&mut history, LIVE).garbled = 1;
    assert_eq!(names(&history), ["paid without record"]);
    // A doubt in any of its events is a record.
    history.events[3].in_doubt = 1;
    assert_eq!(violations(&history), []);
    // One record accounts for one call.
    calls(&mut history, LIVE).billed = 3;
    assert_eq!(names(&history), ["paid without record"]);
}

#[test]
fn doubts_are_no_more_than_jobs_in_hand() {
    let mut history = good();
    history.promise = Promise::OnRecordAndAtMost(1);
    for (event, digest) in [(0, LIVE), (1, SPOOF)] {
        history.events[event].in_doubt = 1;
        calls(&mut history, digest).billed = 2;
    }
    assert_eq!(violations(&history), [Violation::PaidTooMuch { extra: 2, most: 1 }]);
    history.promise = Promise::OnRecordAndAtMost(2);
    assert_eq!(violations(&history), []);
}

#[test]
fn without_a_ledger_that_lasts_the_sum_counts() {
    let mut history = good();
    history.promise = Promise::AtMost(1);
    calls(&mut history, LIVE).billed = 2;
    assert_eq!(violations(&history), []);
    calls(&mut history, SPOOF).billed = 2;
    assert_eq!(violations(&history), [Violation::PaidTooMuch { extra: 2, most: 1 }]);
}

#[test]
fn nothing_is_left_in_a_queue() {
    let mut history = good();
    history.left.insert(name("antispoof.retry.1s"), 2);
    assert_eq!(violations(&history), [Violation::LeftOver { queue: name("antispoof.retry.1s"), messages: 2 }]);
}

#[test]
fn what_is_parked_is_what_should_be() {
    let mut history = good();
    history.parked.clear();
    assert_eq!(violations(&history), [Violation::NotParked { job: name("c") }]);
    let mut history = good();
    history.parked.push(name("a"));
    assert_eq!(violations(&history), [Violation::WronglyParked { job: name("a") }]);
    let mut history = good();
    history.parked.push(name("z"));
    assert_eq!(violations(&history), [Violation::WronglyParked { job: name("z") }]);
}

#[test]
fn only_what_is_to_be_judged_is_paid_for() {
    let mut history = good();
    history.calls.insert(name("0f"), Tally { calls: 1, billed: 1, garbled: 0 });
    assert_eq!(violations(&history), [Violation::PaidForNothing { digest: name("0f") }]);
}
