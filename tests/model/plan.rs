//! What a schedule is made of: everything follows from the seed, so that a seed is enough to see it again.

use crate::drama::NEVER_REACHED;
use fastrand::Rng;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What can go wrong. The number is its bit in [`Seed::faults`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The store refuses, is slow, breaks off or sends too little.
    Store,
    /// The vendor answers 429 or 503, or breaks before it has the body.
    Weather,
    /// The vendor has the body and no answer comes, or one that is no verdict.
    Doubt,
    /// The account is refused: 401, 402, 403.
    Account,
    /// The ledger does not answer.
    Ledger,
    /// The broker does not take a message.
    Refusal,
    /// The broker takes a message and the confirm is lost with the connection.
    Confirm,
    /// The connection is lost around an ack.
    Ack,
    /// The connection is lost.
    Connection,
    /// A worker dies.
    Kill,
    /// A worker is asked to stop.
    Soft,
    /// A worker is told to stop now.
    Hard,
    /// Nothing is bound for the results.
    Unbound,
    /// An alarm blocks publishing.
    Alarm,
    /// A job is submitted more than once.
    Duplicate,
    /// An operator replays parked jobs.
    Replay,
    /// A whole service is away for a while.
    Outage,
    /// The vendor asks everybody to wait until a certain time.
    Pause,
    /// The vendor rejects every image for a while.
    Mood,
    /// A policy lets what waits in the job queue expire.
    Expiry,
}

impl Fault {
    pub(crate) const ALL: [Self; 20] = [
        Self::Store,
        Self::Weather,
        Self::Doubt,
        Self::Account,
        Self::Ledger,
        Self::Refusal,
        Self::Confirm,
        Self::Ack,
        Self::Connection,
        Self::Kill,
        Self::Soft,
        Self::Hard,
        Self::Unbound,
        Self::Alarm,
        Self::Duplicate,
        Self::Replay,
        Self::Outage,
        Self::Pause,
        Self::Mood,
        Self::Expiry,
    ];
}

/// Names a schedule: `number-faults-jobs`, the last two in hexadecimal and there only to make a failing schedule smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed {
    pub(crate) number: u64,
    pub(crate) faults: u32,
    pub(crate) jobs: usize,
}

impl Seed {
    /// The schedule as the number alone makes it.
    pub(crate) fn new(number: u64) -> Self {
        let mut dice = Rng::with_seed(number ^ 0x9e37_79b9_7f4a_7c15);
        let mut faults = 0;
        // Some schedules have everything, most a few kinds: what hides behind other trouble shows alone.
        let density = *dice.choice(&[0.15, 0.3, 0.5, 0.9]).expect("one of four");
        for fault in Fault::ALL {
            if dice.f64() < density && fault != Fault::Replay {
                faults |= 1 << fault as u32;
            }
        }
        Self { number, faults, jobs: dice.usize(1..=6) }
    }

    pub(crate) fn has(self, fault: Fault) -> bool {
        self.faults & (1 << fault as u32) != 0
    }

    pub(crate) fn without(self, fault: Fault) -> Self {
        Self { faults: self.faults & !(1 << fault as u32), ..self }
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}-{:x}", self.number, self.faults, self.jobs)
    }
}

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no schedule: write a number, or number-faults-jobs as a failure prints it");
        let mut parts = text.split('-');
        let mut seed = Self::new(parts.next().unwrap_or_default().parse().map_err(|_| wrong())?);
        if let Some(faults) = parts.next() {
            seed.faults = u32::from_str_radix(faults, 16).map_err(|_| wrong())?;
        }
        if let Some(jobs) = parts.next() {
            seed.jobs = usize::from_str_radix(jobs, 16).map_err(|_| wrong())?;
        }
        Ok(seed)
    }
}

/// Which ledger the workers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// The real memory ledger: it dies with its worker, of which there is one at a time.
    Memory,
    /// One ledger that all workers share and that survives them.
    Durable,
}

/// A schedule.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: Seed,
    pub(crate) backend: Backend,
    pub(crate) park_in_doubt: bool,
    pub(crate) workers: usize,
    pub(crate) concurrency: u16,
    pub(crate) max_attempts: u32,
    /// So many different jobs rejected in a row stop consumption.
    pub(crate) rejection_streak: usize,
    /// How long things go wrong.
    pub(crate) trouble: Duration,
    /// The chance of each fault wherever it can happen.
    chances: [f64; Fault::ALL.len()],
    /// The mean time between two things that happen to a whole worker or service.
    pub(crate) calamities: Duration,
    /// Longest time that the vendor thinks.
    pub(crate) thinks: Duration,
    /// Longest time that a call of a port takes by itself.
    pub(crate) latency: Duration,
    /// Calls a day of this world, of all workers together; 0: any number.
    pub(crate) daily_limit: u64,
    /// Every second worker learns how many calls the vendor takes.
    pub(crate) learns: bool,
}

impl Plan {
    pub(crate) fn new(seed: Seed) -> Self {
        let mut dice = Rng::with_seed(seed.number);
        let backend = if dice.u8(0..3) == 0 { Backend::Memory } else { Backend::Durable };
        let mut chances = [0.0; Fault::ALL.len()];
        for fault in Fault::ALL {
            let chance = dice.choice(&[0.02, 0.1, 0.3, 0.6]).expect("one of four");
            if seed.has(fault) {
                chances[fault as usize] = *chance;
            }
        }
        // Deaths and lost connections at every other step would leave nothing to look at.
        for fault in [Fault::Kill, Fault::Confirm, Fault::Ack, Fault::Expiry] {
            chances[fault as usize] *= 0.2;
        }
        Self {
            seed,
            backend,
            park_in_doubt: dice.bool(),
            workers: if backend == Backend::Memory { 1 } else { dice.usize(1..=3) },
            concurrency: dice.u16(1..=4),
            max_attempts: dice.u32(2..=4),
            trouble: Duration::from_secs(dice.u64(20..=200)),
            chances,
            calamities: Duration::from_secs(dice.u64(5..=60)),
            latency: Duration::from_millis(*dice.choice(&[0, 3, 40, 400]).expect("one of four")),
            thinks: Duration::from_secs(2),
            rejection_streak: *dice
                .choice(&[0, 2, 3, NEVER_REACHED, NEVER_REACHED, NEVER_REACHED])
                .expect("one of six"),
            learns: true,
            // The real ledger in memory has days of 24 hours, and `outages.rs`.
            daily_limit: if backend == Backend::Durable {
                *dice.choice(&[0, 0, 1, 3]).expect("one of four")
            } else {
                0
            },
        }
    }

    /// Everything fails, everywhere, at once, for ten minutes: for counting how busy the workers are about it.
    pub(crate) fn hopeless(number: u64, broken: &[Fault]) -> Self {
        let faults = broken.iter().fold(0, |sum, &fault| sum | 1 << fault as u32);
        let mut plan = Self::new(Seed { faults, jobs: 9, ..Seed::new(number) });
        plan.trouble = Duration::from_mins(10);
        plan.latency = Duration::ZERO;
        plan.daily_limit = 0;
        for &fault in broken {
            plan.chances[fault as usize] = 1.0;
        }
        plan
    }

    pub(crate) fn chance(&self, fault: Fault) -> f64 {
        self.chances[fault as usize]
    }
}
