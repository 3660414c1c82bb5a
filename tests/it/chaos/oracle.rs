//! Judges a run by what every party saw of it: who submitted, who announced, who was paid, and what is left in the queues.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

/// All that is known of a run that is over.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) jobs: Vec<Submitted>,
    pub(crate) events: Vec<Event>,
    /// What the vendor saw, by the SHA-256 of the image.
    pub(crate) calls: HashMap<String, Tally>,
    /// The job of each message in the parked queue.
    pub(crate) parked: Vec<String>,
    /// Messages in every other queue.
    pub(crate) left: BTreeMap<String, u64>,
    pub(crate) promise: Promise,
    /// Policies have made the broker take jobs off the queue: each of them may have ended so.
    pub(crate) drops: bool,
}

/// How what the broker has dropped may end.
const DROPPED: [&str; 3] = ["job_expired", "dropped_by_broker", "delivery_limit"];

/// A job as it was submitted.
#[derive(Clone, Debug)]
pub(crate) struct Submitted {
    pub(crate) id: String,
    pub(crate) expected: Expected,
    /// How often its message was published.
    pub(crate) copies: usize,
}

/// The one right end of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The vendor's word on the image with this digest.
    Verdict { digest: String },
    /// This failure; no call is paid for, and the message is parked.
    Failure(&'static str),
}

/// A terminal event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) job: String,
    pub(crate) id: String,
    pub(crate) end: End,
    /// `check.in_doubt`.
    pub(crate) in_doubt: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    Verdict { outcome: String, spoof_detected: bool, accuracy: f64 },
    Failure { code: String },
}

/// What the vendor saw of one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    /// Those that would be on the bill.
    pub(crate) billed: u64,
    /// Billed ones that were answered with 200 and no verdict.
    pub(crate) garbled: u64,
}

/// What docs/ledger.md promises about paying twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Promise {
    /// No call beyond the first without a record of it: with a ledger that all who take a job share, or that outlives its one worker.
    #[default]
    OnRecord,
    /// As `OnRecord`; and in all no more doubts than jobs that were in hand when their worker was killed.
    OnRecordAndAtMost(u64),
    /// Where the memory goes with the process, or does not travel with the job: so many calls beyond what is on record, in all.
    AtMost(u64),
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Violation {
    /// No terminal event.
    Lost { job: String },
    /// An event of a job that nobody submitted.
    Unasked { job: String },
    /// Two events that say different things.
    Contradiction { job: String, one: End, other: End },
    /// Two events that say the same under different ids.
    TwoIds { job: String },
    /// An end that is not the right one.
    WrongEnd { job: String, end: End, expected: Expected },
    /// `live`, of an image of which the vendor says otherwise.
    FalseLive { job: String },
    /// The vendor's two fields are not what it said.
    Distorted { job: String, end: End },
    /// A verdict on an image that the vendor never saw.
    MadeUp { job: String },
    /// More calls are on the bill than the events account for.
    PaidWithoutRecord { job: String, billed: u64, in_doubt: u64 },
    /// A call for an image of which no verdict was wanted, or of nobody's.
    PaidForNothing { digest: String },
    /// Tally on the bill in all, beyond what may be.
    PaidTooMuch { extra: u64, most: u64 },
    /// A message is in a queue when all is over.
    LeftOver { queue: String, messages: u64 },
    /// A job that failed is not in the parked queue.
    NotParked { job: String },
    /// A job that should not be is in the parked queue.
    WronglyParked { job: String },
}

/// How the sums come out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) ended: u64,
    pub(crate) duplicates: u64,
    pub(crate) calls: u64,
    pub(crate) billed: u64,
    pub(crate) in_doubt: u64,
    pub(crate) garbled: u64,
    /// Billed calls beyond one for each job.
    pub(crate) extra: u64,
    /// Those of them that no event has on record as in doubt.
    pub(crate) unrecorded: u64,
}

/// Every violation, job by job.
pub(crate) fn violations(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    let events = by_job(history);
    let submitted: BTreeSet<&str> = history.jobs.iter().map(|job| job.id.as_str()).collect();
    found
        .extend(events.keys().filter(|job| !submitted.contains(*job)).map(|job| Violation::Unasked { job: name(job) }));
    for job in &history.jobs {
        let events = events.get(job.id.as_str()).map(Vec::as_slice).unwrap_or_default();
        ends(job, events, history, &mut found);
        if history.promise.is_on_record() {
            paid(job, events, history, &mut found);
        }
    }
    let wanted: BTreeSet<&str> = history.jobs.iter().filter_map(|job| job.expected.digest()).collect();
    let billed = history.calls.iter().filter(|(_, calls)| calls.billed > 0).map(|(digest, _)| digest);
    let for_nothing = billed.filter(|digest| !wanted.contains(digest.as_str()));
    found.extend(for_nothing.map(|digest| Violation::PaidForNothing { digest: digest.clone() }));
    if let Promise::AtMost(most) | Promise::OnRecordAndAtMost(most) = history.promise {
        let sums = sums(history);
        let extra = if history.promise.is_on_record() { sums.extra } else { sums.unrecorded };
        if extra > most {
            found.push(Violation::PaidTooMuch { extra, most });
        }
    }
    parked(history, &submitted, &mut found);
    let left = history.left.iter().filter(|(_, messages)| **messages > 0);
    found.extend(left.map(|(queue, messages)| Violation::LeftOver { queue: queue.clone(), messages: *messages }));
    found
}

/// The sums of a run.
pub(crate) fn sums(history: &History) -> Sums {
    let events = by_job(history);
    let mut sums = Sums {
        ended: events.len() as u64,
        duplicates: (history.events.len() - events.len()) as u64,
        calls: history.calls.values().map(|calls| calls.calls).sum(),
        billed: history.calls.values().map(|calls| calls.billed).sum(),
        garbled: history.calls.values().map(|calls| calls.garbled).sum(),
        ..Sums::default()
    };
    for job in &history.jobs {
        let in_doubt = in_doubt(events.get(job.id.as_str()).map(Vec::as_slice).unwrap_or_default());
        let Tally { billed, .. } = seen(job, history);
        sums.in_doubt += in_doubt;
        sums.extra += billed.saturating_sub(1);
        sums.unrecorded += billed.saturating_sub(1 + in_doubt);
    }
    sums
}

fn ends(job: &Submitted, events: &[&Event], history: &History, found: &mut Vec<Violation>) {
    let Some((first, rest)) = events.split_first() else {
        return found.push(Violation::Lost { job: job.id.clone() });
    };
    // One copy may be dropped, and the other be another round.
    let rounds = history.drops && job.copies > 1;
    let differs = |other: &&&Event| other.end != first.end && !(rounds && (first.is_dropped() || other.is_dropped()));
    if let Some(other) = rest.iter().find(differs) {
        let (one, other) = (first.end.clone(), other.end.clone());
        found.push(Violation::Contradiction { job: job.id.clone(), one, other });
    }
    // A job that is sent once more after a failure is another round, with an event of its own.
    let may_differ = job.copies > 1 && events.iter().any(|event| matches!(event.end, End::Failure { .. }));
    if !may_differ && rest.iter().any(|other| other.id != first.id) {
        found.push(Violation::TwoIds { job: job.id.clone() });
    }
    let mut known: Vec<&End> = Vec::new();
    for event in events {
        if !known.contains(&&event.end) {
            known.push(&event.end);
            right(job, &event.end, history, found);
        }
    }
}

fn right(job: &Submitted, end: &End, history: &History, found: &mut Vec<Violation>) {
    let id = || job.id.clone();
    match (&job.expected, end) {
        (Expected::Failure(expected), End::Failure { code }) if code == expected => {}
        (_, End::Failure { code }) if history.drops && DROPPED.contains(&code.as_str()) => {}
        (Expected::Verdict { digest }, End::Verdict { outcome, spoof_detected, accuracy }) => {
            let (spoof, certainty) = vendor_says(digest);
            if outcome == "live" && spoof {
                found.push(Violation::FalseLive { job: id() });
            } else if *spoof_detected != spoof
                || (outcome == "spoof") != spoof
                || accuracy.to_bits() != certainty.to_bits()
            {
                found.push(Violation::Distorted { job: id(), end: end.clone() });
            }
            if seen(job, history).billed == 0 {
                found.push(Violation::MadeUp { job: id() });
            }
        }
        _ => found.push(Violation::WrongEnd { job: id(), end: end.clone(), expected: job.expected.clone() }),
    }
}

fn paid(job: &Submitted, events: &[&Event], history: &History, found: &mut Vec<Violation>) {
    let Tally { billed, .. } = seen(job, history);
    let in_doubt = in_doubt(events);
    if billed > 1 + in_doubt {
        found.push(Violation::PaidWithoutRecord { job: job.id.clone(), billed, in_doubt });
    }
}

fn parked(history: &History, submitted: &BTreeSet<&str>, found: &mut Vec<Violation>) {
    let parked: BTreeSet<&str> = history.parked.iter().map(String::as_str).collect();
    let dropped: BTreeSet<&str> = history
        .events
        .iter()
        .filter(|event| history.drops && event.is_dropped())
        .map(|event| event.job.as_str())
        .collect();
    for job in &history.jobs {
        let should = matches!(job.expected, Expected::Failure(_)) || dropped.contains(job.id.as_str());
        match (should, parked.contains(job.id.as_str())) {
            (true, false) => found.push(Violation::NotParked { job: job.id.clone() }),
            (false, true) => found.push(Violation::WronglyParked { job: job.id.clone() }),
            (true, true) | (false, false) => {}
        }
    }
    found.extend(parked.difference(submitted).map(|job| Violation::WronglyParked { job: name(job) }));
}

/// What the simulator answers for an image: whether it is a spoof, and the accuracy. Worked out here once more from what it documents.
pub(crate) fn vendor_says(digest: &str) -> (bool, f64) {
    let word = |at: usize| u32::from_str_radix(&digest[at..at + 8], 16).expect("a digest is hexadecimal");
    (word(0).is_multiple_of(5), 0.5 + f64::from(word(8)) / 4_294_967_296.0 / 2.0)
}

fn by_job(history: &History) -> HashMap<&str, Vec<&Event>> {
    let mut jobs: HashMap<&str, Vec<&Event>> = HashMap::new();
    for event in &history.events {
        jobs.entry(event.job.as_str()).or_default().push(event);
    }
    jobs
}

fn seen(job: &Submitted, history: &History) -> Tally {
    job.expected.digest().and_then(|digest| history.calls.get(digest)).copied().unwrap_or_default()
}

fn in_doubt(events: &[&Event]) -> u64 {
    events.iter().map(|event| event.in_doubt).max().unwrap_or(0)
}

fn name(job: &str) -> String {
    job.to_owned()
}

// === impl Event ===

impl Event {
    fn is_dropped(&self) -> bool {
        matches!(&self.end, End::Failure { code } if DROPPED.contains(&code.as_str()))
    }
}

// === impl Expected ===

impl Expected {
    /// Of the image that is to be judged.
    pub(crate) fn digest(&self) -> Option<&str> {
        match self {
            Self::Verdict { digest } => Some(digest),
            Self::Failure(_) => None,
        }
    }
}

// === impl Promise ===

impl Promise {
    fn is_on_record(self) -> bool {
        matches!(self, Self::OnRecord | Self::OnRecordAndAtMost(_))
    }
}

// === impl Violation ===

impl Violation {
    /// The name under which it is counted.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Lost { .. } => "lost",
            Self::Unasked { .. } => "unasked",
            Self::Contradiction { .. } => "contradiction",
            Self::TwoIds { .. } => "two ids",
            Self::WrongEnd { .. } => "wrong end",
            Self::FalseLive { .. } => "false live",
            Self::Distorted { .. } => "distorted",
            Self::MadeUp { .. } => "made up",
            Self::PaidWithoutRecord { .. } => "paid without record",
            Self::PaidForNothing { .. } => "paid for nothing",
            Self::PaidTooMuch { .. } => "paid too much",
            Self::LeftOver { .. } => "left over",
            Self::NotParked { .. } => "not parked",
            Self::WronglyParked { .. } => "wrongly parked",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self:?}", self.name())
    }
}
