//! What is known of each job from outside: what was submitted, billed, told and parked.

use antispoof_core::verdict::Outcome;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Everything that is written down.
#[derive(Default)]
pub(crate) struct Records {
    pub(crate) jobs: Vec<JobRecord>,
    /// Jobs by what the ledger knows them as.
    pub(crate) keys: BTreeMap<String, usize>,
    /// Messages with jobs that were ever put into the queue from outside, copies included.
    pub(crate) messages: u64,
    /// By life and job: a call was billed and its verdict is not in the ledger yet.
    pub(crate) open_bills: BTreeSet<(u64, usize)>,
    /// By life and job: what the worker has seen of the object since it began.
    pub(crate) seen: BTreeMap<(u64, usize), String>,
    /// Jobs that were found ended: several deliveries of one may look at its object at once, to see whether its verdict still fits.
    pub(crate) looked_after: BTreeSet<usize>,
    /// By life: since when and until when the vendor has asked it to make no call.
    pub(crate) held: BTreeMap<u64, (Duration, Duration)>,
    /// By life: jobs that were rejected since it last got a verdict, and whether it has ended them so.
    pub(crate) rejected: BTreeMap<u64, BTreeMap<usize, bool>>,
    /// By life: jobs whose end its memory knows.
    pub(crate) memory: BTreeMap<u64, BTreeSet<usize>>,
}

/// What a job is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A face.
    Good,
    /// A face, after all trouble.
    Last,
    /// Uploaded a while after the job was submitted.
    Late,
    /// Overwritten now and then.
    Changing,
    /// Never there.
    Missing,
    /// Some text.
    NoImage,
    /// A JPEG without its end.
    CutOff,
    /// The vendor answers 422.
    Rejected,
    /// Whoever calls for it dies.
    Deadly,
    /// Not JSON.
    Malformed,
    /// Past its time.
    Expired,
    /// In a bucket that is not allowed.
    Foreign,
    /// No job: a message that several others follow from.
    Several,
    /// No job: a message that asks for nothing.
    Nothing,
}

/// One job.
#[derive(Debug)]
pub(crate) struct JobRecord {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) key: String,
    /// Answers that the vendor has worked out: what it can send a bill for.
    pub(crate) billed: u32,
    /// The contents that were billed: a job that pins none is judged anew when its object is another.
    pub(crate) contents: BTreeSet<Vec<u8>>,
    /// The most deliveries without an end that any of its messages has had.
    pub(crate) deliveries: u32,
    /// The most attempts that were written on any of its messages.
    pub(crate) attempts: u32,
    /// Bills whose verdict could not be known to anybody.
    pub(crate) doubts: u32,
    /// How often the last replay was.
    pub(crate) replays: u32,
    /// How often it was published. One that is published once more after it has failed is tried once more.
    pub(crate) submitted: u32,
    /// Verdicts that the vendor gave.
    pub(crate) answered: BTreeSet<&'static str>,
    /// Events that are in the queue of the results, confirmed or not: id and routing key.
    pub(crate) events: Vec<(String, String)>,
    /// Routing keys of events whose publisher got its confirm.
    pub(crate) confirmed: BTreeSet<String>,
    /// Codes with which it was parked.
    pub(crate) parked: Vec<&'static str>,
    /// How often the broker took a message of it off the job queue.
    pub(crate) dropped: u32,
    /// Parked by the broker itself.
    pub(crate) parked_by_broker: u32,
    /// What is remembered of it may have been lost: two deliveries may end differently.
    pub(crate) forgotten: bool,
    /// Lives that had it in hand.
    pub(crate) lives: BTreeSet<u64>,
    /// The jobs that follow from it.
    pub(crate) parts: Vec<usize>,
    /// Those of them whose message was confirmed.
    pub(crate) divided: BTreeSet<usize>,
    /// What it follows from.
    pub(crate) whole: Option<usize>,
}

impl JobRecord {
    pub(crate) fn new(number: usize, kind: Kind) -> Self {
        Self {
            id: format!("job-{number}"),
            kind,
            key: format!("faces/{number}.jpg"),
            billed: 0,
            contents: BTreeSet::new(),
            deliveries: 0,
            attempts: 0,
            doubts: 0,
            replays: 0,
            submitted: 0,
            answered: BTreeSet::new(),
            events: Vec::new(),
            confirmed: BTreeSet::new(),
            parked: Vec::new(),
            dropped: 0,
            parked_by_broker: 0,
            forgotten: false,
            lives: BTreeSet::new(),
            parts: Vec::new(),
            divided: BTreeSet::new(),
            whole: None,
        }
    }
}

/// What the vendor says of a job's image: the same whenever it is asked.
pub(crate) fn answer(number: usize) -> String {
    let accuracy = if number.is_multiple_of(5) { "0.2" } else { "0.9899068176746368" };
    format!(r#"{{"spoof_detected":{},"accuracy":{accuracy}}}"#, number.is_multiple_of(3))
}

impl Records {
    /// The number of the job with this id.
    pub(crate) fn number(&self, id: &str) -> Option<usize> {
        self.jobs.iter().position(|job| job.id == id)
    }

    pub(crate) fn answered(&mut self, number: usize, outcome: Outcome) {
        self.jobs[number].answered.insert(outcome.name());
    }

    /// The vendor has done the work.
    pub(crate) fn bill(&mut self, life: u64, number: usize, content: &[u8]) {
        self.jobs[number].billed += 1;
        self.jobs[number].contents.insert(content.to_vec());
        self.open_bills.insert((life, number));
    }

    /// The verdict of an open bill cannot be known any more.
    pub(crate) fn doubt(&mut self, life: u64, number: usize) {
        if self.open_bills.remove(&(life, number)) {
            self.jobs[number].doubts += 1;
        }
    }

    /// A worker is gone, and with it what only it knew.
    pub(crate) fn life_ended(&mut self, life: u64, with_its_memory: bool) {
        let open: Vec<usize> = self.open_bills.iter().filter(|(of, _)| *of == life).map(|(_, job)| *job).collect();
        for number in open {
            self.doubt(life, number);
        }
        if with_its_memory {
            for number in self.memory.remove(&life).unwrap_or_default() {
                self.jobs[number].doubts += 1;
            }
            for job in self.jobs.iter_mut().filter(|job| job.lives.contains(&life)) {
                job.forgotten = true;
            }
        }
    }
}
