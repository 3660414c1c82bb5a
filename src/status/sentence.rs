//! The state of the worker in one sentence, with the cause and the remedy where there is something to be done.

use super::facts::Facts;
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;

/// Most vendors answer within seconds, and the slowest of them within this.
const STALLED: Duration = Duration::from_secs(20);

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// Nothing has to be done.
    Well,
    /// It may pass, or a part of it does not work.
    Warning,
    /// Nothing is judged.
    Trouble,
}

/// What is said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sentence {
    pub(super) level: Level,
    pub(super) text: String,
    /// What to do.
    pub(super) remedy: String,
    pub(super) since: Option<SystemTime>,
}

impl Level {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::Warning => "warning",
            Self::Trouble => "trouble",
        }
    }
}

impl Sentence {
    /// What comes first hides what follows from it.
    pub(super) fn of(facts: &Facts, prefix: &str) -> Self {
        let waiting = match facts.waiting {
            Some(1) => "; 1 job waits".to_owned(),
            Some(jobs) => format!("; {jobs} jobs wait"),
            None => String::new(),
        };
        stopping(facts)
            .or_else(|| disconnected(facts))
            .or_else(|| closed(facts, &waiting))
            .or_else(|| held_up(facts, &waiting))
            .or_else(|| failing(facts, &waiting))
            .or_else(|| stalled(facts, &waiting))
            .unwrap_or_else(|| working(facts, prefix, &waiting))
    }
}

fn stopping(facts: &Facts) -> Option<Sentence> {
    let text = format!("stopping: {} in hand are being finished", jobs(facts.in_flight));
    facts.stopping.then(|| Sentence { level: Level::Warning, text, remedy: String::new(), since: None })
}

fn disconnected(facts: &Facts) -> Option<Sentence> {
    if facts.connected {
        return None;
    }
    let since = facts.broker.as_ref().map(|trouble| trouble.since);
    let why = facts.broker.as_ref().map_or("connecting", |trouble| &trouble.what);
    let level = if facts.broker.is_some() { Level::Trouble } else { Level::Warning };
    let text = format!("nothing is consumed{}: no session with the broker: {why}", clock(since));
    let remedy = "`antispoofd check --connect` tells what is wrong: the address, the login, a right, or a queue that was declared otherwise";
    Some(Sentence { level, text, remedy: remedy.to_owned(), since })
}

fn closed(facts: &Facts, waiting: &str) -> Option<Sentence> {
    let gate = facts.gate.as_ref()?;
    let message = match (gate.reason, &facts.ledger) {
        ("ledger", Some(trouble)) => &trouble.what,
        _ => &gate.message,
    };
    let until =
        gate.until.map(|until| clock(Some(until)).replacen(" since ", "; no call before ", 1)).unwrap_or_default();
    let text = format!("nothing is consumed{}: {message} ({}){until}{waiting}", clock(Some(gate.since)), gate.reason);
    let level = if gate.may_pass { Level::Warning } else { Level::Trouble };
    Some(Sentence { level, text, remedy: gate.remedy.to_owned(), since: Some(gate.since) })
}

/// What keeps jobs from being called for, while they are consumed.
fn held_up(facts: &Facts, waiting: &str) -> Option<Sentence> {
    let said = |level, text: &str, remedy: &str| {
        Some(Sentence { level, text: format!("{text}{waiting}"), remedy: remedy.to_owned(), since: None })
    };
    if facts.blocked {
        return said(
            Level::Trouble,
            "no call is made: an alarm of the broker blocks publishing",
            "`rabbitmq-diagnostics alarms` names memory or disk: free some, or raise the limit",
        );
    }
    if facts.late > 0 {
        return said(
            Level::Warning,
            "no new call is made: the broker is late with a confirm",
            "look at its disks, and whether each queue has a leader and a majority",
        );
    }
    if facts.alone {
        return said(
            Level::Warning,
            "one job is run with nothing beside it, because it was delivered several times without an end",
            "look for a worker that died (`kubectl logs --previous`); see AntispoofdJobRunAlone in docs/alerts-jobs.md",
        );
    }
    if facts.held > 0 {
        return said(
            Level::Warning,
            &format!("{} held: a queue of the worker takes no copy of them", are(facts.held)),
            "empty the parked or delay queue, raise the policy that limits it, or give it back its majority",
        );
    }
    if !facts.consuming {
        return said(Level::Warning, "not consuming at this moment", "");
    }
    None
}

/// More failures than verdicts in the last minute.
fn failing(facts: &Facts, waiting: &str) -> Option<Sentence> {
    let [live, spoof, review, failed] = facts.lately.ended;
    let verdicts = live + spoof + review;
    let (count, most) = facts.failures.first()?;
    let recent = most.at.elapsed().is_ok_and(|ago| ago.as_secs() < 60);
    if !recent || (failed <= verdicts && (verdicts > 0 || *count < 3)) {
        return None;
    }
    let code = most.code.name();
    Some(Sentence {
        level: Level::Warning,
        text: format!(
            "jobs fail: {failed} parked and {verdicts} judged in the last minute; {code} {count} times in the last hour: {}{waiting}",
            most.message
        ),
        remedy: format!("see {code} in docs/faults.md; `antispoofd parked list` counts what is parked"),
        since: None,
    })
}

/// Jobs are in flight, and none has ended for a while.
fn stalled(facts: &Facts, waiting: &str) -> Option<Sentence> {
    let seconds = facts.lately.stalled.as_secs();
    (facts.lately.stalled >= STALLED).then(|| Sentence {
        level: Level::Warning,
        text: format!("no job has ended for {seconds} s, and {} in flight{waiting}", are(facts.in_flight)),
        remedy: "`antispoofd check --connect` asks the store and reaches the vendor, but makes no call: a vendor that hangs on calls looks well there. At api.timeout each call in hand is in doubt"
            .to_owned(),
        since: None,
    })
}

fn working(facts: &Facts, prefix: &str, waiting: &str) -> Sentence {
    let ended: u64 = facts.lately.ended.iter().sum();
    #[expect(clippy::cast_precision_loss, reason = "for a person")]
    let rate = ended as f64 / facts.lately.seconds.max(1.0);
    let mut parts = vec![if ended == 0 && facts.in_flight == 0 {
        "waiting for jobs".to_owned()
    } else if ended == 0 {
        format!("{} in flight", jobs(facts.in_flight))
    } else {
        format!("judging {} jobs/s", if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") })
    }];
    parts.extend(facts.lately.api[1].map(|p99| format!("vendor p99 {:.0} ms", p99 * 1e3)));
    parts.extend(waiting.strip_prefix("; ").map(str::to_owned));
    let queued = facts.waiting.is_some_and(|waiting| waiting > 0);
    if queued && facts.pace > 0.0 {
        parts.push(format!("at most {:.0} calls/s, by api.rate_limit or as learned from refusals", facts.pace));
    }
    let (today, most) = facts.today;
    let near = most > 0 && today.saturating_mul(10) >= most.saturating_mul(8);
    if near {
        parts.push(format!("{today} of {most} calls of the day are made"));
    }
    let mut said = (Level::Well, "");
    if near {
        said = (
            Level::Warning,
            "at api.daily_call_limit nothing is consumed until midnight UTC: raise it and restart, or wait",
        );
    } else if facts.in_flight >= facts.limit && queued {
        said.1 = "every slot is in use: where jobs wait for too long, raise worker.concurrency or add workers, as far as the vendor's quota goes";
    }
    if let Some(trouble) = &facts.ledger {
        parts.push(format!("the ledger fails{}: {}", clock(Some(trouble.since)), trouble.what));
        said = (Level::Warning, "jobs that come again are paid for again: bring the ledger back");
    } else if let Some(parked @ 1..) = facts.ready(&format!("{prefix}.parked")) {
        parts.push(format!("{parked} parked"));
        said.1 = "`antispoofd parked list` says why";
    }
    Sentence { level: said.0, text: parts.join("; "), remedy: said.1.to_owned(), since: None }
}

/// ` since 02:14 UTC`.
fn clock(since: Option<SystemTime>) -> String {
    let Some(since) = since.map(OffsetDateTime::from) else { return String::new() };
    let day =
        if since.date() == OffsetDateTime::now_utc().date() { String::new() } else { format!("{} ", since.date()) };
    format!(" since {day}{:02}:{:02} UTC", since.hour(), since.minute())
}

fn jobs(count: i64) -> String {
    if count == 1 { "1 job".to_owned() } else { format!("{count} jobs") }
}

fn are(count: i64) -> String {
    format!("{} {}", jobs(count), if count == 1 { "is" } else { "are" })
}

#[cfg(test)]
mod tests {
    use super::super::facts::ClosedGate;
    use super::super::recorder::Lately;
    use super::*;
    use crate::amqp::Depth;
    use crate::telemetry::{Recent, Trouble};
    use antispoof_core::failure::Code;

    fn well() -> Facts {
        Facts {
            connected: true,
            consuming: true,
            in_flight: 9,
            limit: 16,
            waiting: Some(312),
            depths: vec![
                Depth { queue: "antispoof.jobs".to_owned(), ready: Some(312), consumers: 1 },
                Depth { queue: "antispoof.parked".to_owned(), ready: Some(0), consumers: 0 },
            ],
            lately: Lately {
                seconds: 60.0,
                ended: [2000, 400, 60, 0],
                api: [Some(0.2), Some(0.412)],
                ..Lately::default()
            },
            ..Facts::default()
        }
    }

    fn said(facts: &Facts) -> (Level, String, String) {
        let Sentence { level, text, remedy, .. } = Sentence::of(facts, "antispoof");
        (level, text, remedy)
    }

    fn trouble(what: &str) -> Trouble {
        let since = OffsetDateTime::now_utc().replace_time(time::Time::MIDNIGHT);
        Trouble { what: what.to_owned(), since: since.into() }
    }

    #[test]
    fn a_worker_that_works_says_how_fast() {
        let (level, text, remedy) = said(&well());
        assert_eq!(
            (level, text.as_str(), remedy.as_str()),
            (Level::Well, "judging 41 jobs/s; vendor p99 412 ms; 312 jobs wait", "")
        );
        let idle = Facts { in_flight: 0, lately: Lately::default(), waiting: None, ..well() };
        assert_eq!(said(&idle).1, "waiting for jobs");
        let full = Facts { in_flight: 16, ..well() };
        assert!(
            said(&full).0 == Level::Well && said(&full).2.contains("raise worker.concurrency"),
            "{}",
            said(&full).2
        );
        let slowed = Facts { pace: 30.2, ..well() };
        assert!(
            said(&slowed)
                .1
                .ends_with("; 312 jobs wait; at most 30 calls/s, by api.rate_limit or as learned from refusals")
        );
        let near = Facts { today: (80, 100), ..well() };
        assert!(said(&near).0 == Level::Warning && said(&near).1.ends_with("; 80 of 100 calls of the day are made"));
        assert_eq!(said(&Facts { today: (79, 100), ..well() }).0, Level::Well);
        let mut parked = well();
        parked.depths[1].ready = Some(5);
        assert!(said(&parked).1.ends_with("; 5 parked") && said(&parked).2.contains("parked list"));
    }

    #[test]
    fn what_keeps_everything_from_being_judged_comes_first_with_cause_and_remedy() {
        let gate = Some(ClosedGate {
            reason: "api_unauthorized",
            message: "the API refuses the token (401)".to_owned(),
            remedy: "is the token right?",
            since: trouble("").since,
            may_pass: false,
            until: None,
        });
        let closed = Facts { gate, blocked: true, alone: true, ..well() };
        assert_eq!(
            said(&closed),
            (
                Level::Trouble,
                "nothing is consumed since 00:00 UTC: the API refuses the token (401) (api_unauthorized); 312 jobs wait".to_owned(),
                "is the token right?".to_owned()
            )
        );
        let gone = Facts {
            connected: false,
            broker: Some(trouble("connect to the broker at b:5672: refused")),
            ..closed.clone()
        };
        assert!(
            said(&gone).1.starts_with("nothing is consumed since 00:00 UTC: no session with the broker: connect to")
        );
        assert!(said(&gone).2.contains("check --connect"));
        let stopping = Facts { stopping: true, ..gone };
        assert_eq!(said(&stopping).1, "stopping: 9 jobs in hand are being finished");
        let mut held = closed.clone();
        let gate = held.gate.as_mut().expect("closed");
        (gate.may_pass, gate.until) = (true, Some(trouble("").since + std::time::Duration::from_mins(134)));
        let (level, text, _) = said(&held);
        assert!(level == Level::Warning && text.contains("; no call before 02:14 UTC; 312 jobs wait"), "{text}");
        let mut ledger = closed;
        ledger.gate.as_mut().expect("closed").reason = "ledger";
        ledger.ledger = Some(trouble("Redis: OOM"));
        assert!(said(&ledger).1.contains(": Redis: OOM (ledger); 312"), "{}", said(&ledger).1);
    }

    #[test]
    fn what_holds_jobs_up_is_said_while_they_are_consumed() {
        for (facts, begins) in [
            (Facts { blocked: true, ..well() }, "no call is made: an alarm"),
            (Facts { late: 1, ..well() }, "no new call is made: the broker is late"),
            (Facts { alone: true, ..well() }, "one job is run with nothing beside it"),
            (Facts { held: 2, ..well() }, "2 jobs are held"),
        ] {
            let (level, text, remedy) = said(&facts);
            assert!(level != Level::Well && text.starts_with(begins) && !remedy.is_empty(), "{text}");
            assert!(text.ends_with("; 312 jobs wait"), "{text}");
        }
    }

    #[test]
    fn jobs_of_which_none_ends_are_said_with_who_may_not_answer() {
        let lately = |stalled| Lately { seconds: 60.0, stalled: Duration::from_secs(stalled), ..Lately::default() };
        let stalled = Facts { in_flight: 16, lately: lately(45), ..well() };
        let (level, text, remedy) = said(&stalled);
        assert_eq!(
            (level, text.as_str()),
            (Level::Warning, "no job has ended for 45 s, and 16 jobs are in flight; 312 jobs wait")
        );
        assert!(remedy.contains("check --connect") && remedy.contains("api.timeout"), "{remedy}");
        let slow = Facts { lately: lately(15), ..stalled.clone() };
        assert!(said(&slow).1.starts_with("16 jobs in flight"), "{}", said(&slow).1);
        assert!(said(&Facts { blocked: true, ..stalled }).1.starts_with("no call is made: an alarm"));
    }

    #[test]
    fn jobs_that_fail_are_said_with_their_commonest_code() {
        let recent = Recent::default();
        for _ in 0..30 {
            recent.failed(Code::ObjectNotFound, "there is no such object", "a", true, SystemTime::now());
        }
        recent.failed(Code::NotAnImage, "text", "b", true, SystemTime::now());
        let mut facts = Facts { failures: recent.failures(SystemTime::now()), ..well() };
        assert_eq!(said(&facts).0, Level::Well, "31 of 2,000 are what happens");
        facts.lately.ended = [3, 0, 0, 31];
        let (level, text, remedy) = said(&facts);
        assert_eq!(level, Level::Warning);
        assert!(
            text.starts_with("jobs fail: 31 parked and 3 judged in the last minute; object_not_found 30 times"),
            "{text}"
        );
        assert!(remedy.contains("object_not_found in docs/faults.md"), "{remedy}");
    }

    #[test]
    fn a_ledger_that_is_done_without_is_a_warning() {
        let facts = Facts { ledger: Some(trouble("Redis: refused")), ..well() };
        let (level, text, _) = said(&facts);
        assert!(level == Level::Warning && text.contains("the ledger fails since 00:00 UTC: Redis: refused"), "{text}");
    }
}
