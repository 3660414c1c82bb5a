//! What is to happen: jobs, replicas, and a schedule of faults that follows from the seed alone.

use std::fmt;
use std::str::FromStr;

/// Jobs in flight of a replica.
pub(crate) const CONCURRENCY: usize = 8;

/// What the replicas remember with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    /// Shared by all replicas.
    Redis,
    /// The same, in objects.
    S3,
    /// A file for each replica.
    File,
    /// Nothing that outlives the process.
    Memory,
}

/// A run. The same plan gives the same jobs and the same faults at the same numbers of ended jobs.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) jobs: usize,
    pub(crate) replicas: usize,
    pub(crate) ledger: Backing,
    pub(crate) faults: usize,
    /// Only faults of these kinds; none is all.
    pub(crate) only: Vec<Kind>,
    /// Without what takes half a minute by its nature, and with fewer attempts before a job is given up.
    pub(crate) brief: bool,
    pub(crate) seed: u64,
}

/// One fault, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strike {
    /// When so many jobs have ended.
    pub(crate) at: usize,
    pub(crate) kind: Kind,
    /// Which replica it happens to, where it happens to one.
    pub(crate) replica: usize,
    /// For whatever else about it is left to chance.
    pub(crate) dice: u64,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// SIGKILL, and a start.
    Kill,
    /// SIGKILL while the replica's ledger cannot be asked, its broker cannot be reached, or its calls hang.
    KillInOutage,
    /// SIGSTOP until the broker has given the replica up, then SIGCONT.
    Stop,
    /// SIGSTOP until the replica's claims in a shared ledger have run out, then SIGCONT.
    StopPastClaim,
    /// SIGTERM, and a start.
    Drain,
    BrokerRestart,
    BrokerKill,
    /// The replica's link is cut and restored.
    BrokerCut,
    /// The replica's link freezes and thaws.
    BrokerFreeze,
    /// The replica's link freezes and is cut.
    BrokerFreezeCut,
    /// An operator closes all connections.
    ConnectionsClosed,
    MemoryAlarm,
    /// A policy lets what waits in the job queue expire.
    PolicyExpires,
    /// A policy drops the head of a job queue that is too long.
    PolicyLength,
    /// A policy lowers the delivery limit of the job queue, and an operator closes all connections.
    PolicyLimit,
    /// The link to a replica ends with whatever connection brings a certain job.
    CutAtDelivery,
    /// Reset in the middle of an object.
    StoreCutMidBody,
    /// An orderly end in the middle of an object.
    StoreTruncated,
    /// A `Content-Length` that is larger than the object.
    StoreAnnouncesMore,
    StoreOutage,
    /// Every second new connection reaches a node that answers 503.
    StoreBadNode,
    /// A web page is where the store should be.
    StoreNotAStore,
    ApiSlow,
    ApiResetBefore,
    ApiResetAfter,
    /// Never answered.
    ApiHang,
    /// 429 with `Retry-After`.
    ApiRateLimited,
    /// 500, 502, 503.
    ApiErrors,
    /// 200 without a verdict.
    ApiGarbage,
    /// 401: the gate closes.
    ApiUnauthorized,
    ApiOutage,
    /// The link to the API freezes: requests hang half-way.
    ApiFreeze,
    /// 503, 429 and 401 before the body is read, and the connection is closed.
    ApiEarlyAnswer,
    /// Verdicts that are compressed, or behind a byte order mark, or under too many headers.
    ApiGzip,
    /// Connections are closed as soon as they are idle.
    ApiIdleClose,
    /// HTTP/2 connections end after a few requests, and what comes later is forgotten.
    ApiGoaway,
    /// HTTP/2 streams are refused before any work.
    ApiRefusedStream,
    /// A connection stops, HTTP/2 by half of the dice, and others work.
    ApiHangConnection,
    /// 429 and 503 that say when to come back, in any of the forms.
    ApiRetryAfter,
    /// The endpoint has moved: the gate.
    ApiRedirect,
    RedisRestart,
    RedisKill,
    RedisCut,
    RedisFreeze,
    /// Redis becomes a replica that takes no writes.
    LedgerReadonly,
    /// Redis has no memory left.
    LedgerOom,
    /// The ledger's user loses a right.
    LedgerAcl,
    /// Nothing can be written to the ledger's file.
    DiskFull,
}

/// A name that is no kind of fault, or no ledger.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is none of: {1}")]
pub(crate) struct Unknown(String, String);

// === impl Plan ===

impl Plan {
    /// The faults in the order of time. Each kind that can happen here comes once before any comes again; kills come oftener.
    pub(crate) fn strikes(&self) -> Vec<Strike> {
        let mut dice = fastrand::Rng::with_seed(self.seed);
        let mut kinds = Vec::new();
        let possible: Vec<_> = match self.only.as_slice() {
            [] => Kind::ALL.into_iter().filter(|kind| self.allows(*kind)).chain([Kind::Kill; 2]).collect(),
            only => only.to_vec(),
        };
        while kinds.len() < self.faults {
            let mut round = possible.clone();
            dice.shuffle(&mut round);
            kinds.append(&mut round);
        }
        kinds.truncate(self.faults);
        if self.brief {
            // Claims that nobody holds any more run out while the rest happens.
            kinds.sort_by_key(|kind| !kind.takes_jobs_away());
        }
        // Not at once and not at the end: before, nothing is in hand; after, nothing is left that could go wrong.
        let (first, last) = (self.jobs / 20, self.jobs * 9 / 10);
        let mut moments: Vec<_> = kinds.iter().map(|_| dice.usize(first..=last)).collect();
        moments.sort_unstable();
        let strikes = moments.into_iter().zip(kinds);
        strikes
            .map(|(at, kind)| Strike { at, kind, replica: dice.usize(0..self.replicas), dice: dice.u64(..) })
            .collect()
    }

    /// Jobs that may be in the queues at a time: enough to keep all replicas busy, few enough that a job in a delay queue is soon at the front again, and
    /// that some are left for the last fault.
    pub(crate) fn ahead(&self) -> usize {
        (self.jobs / (self.faults + 1)).clamp(30, 120)
    }

    /// Whether a kind of fault can happen in this run.
    pub(crate) fn allows(&self, kind: Kind) -> bool {
        match kind {
            Kind::RedisRestart
            | Kind::RedisKill
            | Kind::RedisCut
            | Kind::RedisFreeze
            | Kind::LedgerReadonly
            | Kind::LedgerOom
            | Kind::LedgerAcl => self.ledger == Backing::Redis,
            Kind::StopPastClaim => self.ledger.is_shared() && !self.brief,
            Kind::DiskFull => self.ledger == Backing::File,
            // Whoever gives a dropped job its end has to know whether another has judged it.
            Kind::PolicyExpires | Kind::PolicyLength | Kind::PolicyLimit => {
                self.ledger.is_shared() || self.ledger == Backing::File && self.replicas == 1
            }
            _ => true,
        }
    }

    /// What runs it again.
    pub(crate) fn replay(&self) -> String {
        let Self { jobs, replicas, ledger, faults, only, brief, seed } = self;
        let names: Vec<_> = only.iter().map(Kind::to_string).collect();
        let only = if names.is_empty() { String::new() } else { format!(" --only {}", names.join(",")) };
        let brief = if *brief { " --brief" } else { "" };
        format!(
            "make chaos ARGS='--jobs {jobs} --replicas {replicas} --ledger {ledger} --faults {faults}{only}{brief} --seed {seed}'"
        )
    }
}

// === impl Kind ===

impl Kind {
    pub(crate) const ALL: [Self; 48] = [
        Self::Kill,
        Self::KillInOutage,
        Self::Stop,
        Self::StopPastClaim,
        Self::Drain,
        Self::BrokerRestart,
        Self::BrokerKill,
        Self::BrokerCut,
        Self::BrokerFreeze,
        Self::BrokerFreezeCut,
        Self::ConnectionsClosed,
        Self::MemoryAlarm,
        Self::PolicyExpires,
        Self::PolicyLength,
        Self::PolicyLimit,
        Self::CutAtDelivery,
        Self::StoreCutMidBody,
        Self::StoreTruncated,
        Self::StoreAnnouncesMore,
        Self::StoreOutage,
        Self::StoreBadNode,
        Self::StoreNotAStore,
        Self::ApiSlow,
        Self::ApiResetBefore,
        Self::ApiResetAfter,
        Self::ApiHang,
        Self::ApiRateLimited,
        Self::ApiErrors,
        Self::ApiGarbage,
        Self::ApiUnauthorized,
        Self::ApiOutage,
        Self::ApiFreeze,
        Self::ApiEarlyAnswer,
        Self::ApiGzip,
        Self::ApiIdleClose,
        Self::ApiGoaway,
        Self::ApiRefusedStream,
        Self::ApiHangConnection,
        Self::ApiRetryAfter,
        Self::ApiRedirect,
        Self::RedisRestart,
        Self::RedisKill,
        Self::RedisCut,
        Self::RedisFreeze,
        Self::LedgerReadonly,
        Self::LedgerOom,
        Self::LedgerAcl,
        Self::DiskFull,
    ];

    /// True for what can cost a worker its jobs in hand, or a job its worker.
    pub(crate) fn takes_jobs_away(self) -> bool {
        matches!(
            self,
            Self::Kill
                | Self::KillInOutage
                | Self::Stop
                | Self::StopPastClaim
                | Self::Drain
                | Self::BrokerRestart
                | Self::BrokerKill
                | Self::BrokerCut
                | Self::BrokerFreeze
                | Self::BrokerFreezeCut
                | Self::ConnectionsClosed
                | Self::PolicyLimit
                | Self::CutAtDelivery
        )
    }

    /// True for what makes the broker take jobs off the queue.
    pub(crate) fn drops_jobs(self) -> bool {
        matches!(self, Self::PolicyExpires | Self::PolicyLength | Self::PolicyLimit)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // BrokerFreezeCut is written broker-freeze-cut.
        for (at, letter) in format!("{self:?}").chars().enumerate() {
            if letter.is_uppercase() && at > 0 {
                f.write_str("-")?;
            }
            write!(f, "{}", letter.to_lowercase())?;
        }
        Ok(())
    }
}

impl FromStr for Kind {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        let known = || Self::ALL.map(|kind| kind.to_string()).join(", ");
        let found = Self::ALL.into_iter().find(|kind| kind.to_string() == text);
        found.ok_or_else(|| Unknown(text.to_owned(), known()))
    }
}

// === impl Backing ===

impl Backing {
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::Redis | Self::S3)
    }
}

impl fmt::Display for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "redis",
            Self::S3 => "s3",
            Self::File => "file",
            Self::Memory => "memory",
        })
    }
}

impl FromStr for Backing {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        let found =
            [Self::Redis, Self::S3, Self::File, Self::Memory].into_iter().find(|backing| backing.to_string() == text);
        found.ok_or_else(|| Unknown(text.to_owned(), "redis, s3, file, memory".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn plan(ledger: Backing, seed: u64) -> Plan {
        Plan { jobs: 1000, replicas: 3, ledger, faults: 50, only: Vec::new(), brief: false, seed }
    }

    #[test]
    fn a_seed_decides_everything() {
        let strikes = plan(Backing::Redis, 7).strikes();
        assert_eq!(strikes, plan(Backing::Redis, 7).strikes());
        assert_ne!(strikes, plan(Backing::Redis, 8).strikes());
        assert!(strikes.is_sorted_by_key(|strike| strike.at));
        assert!(strikes.iter().all(|strike| (50..=900).contains(&strike.at) && strike.replica < 3));
    }

    #[test]
    fn every_kind_that_can_happen_happens() {
        for ledger in [Backing::Redis, Backing::S3, Backing::File, Backing::Memory] {
            let plan = plan(ledger, 1);
            let kinds: BTreeSet<_> = plan.strikes().iter().map(|strike| strike.kind).collect();
            assert_eq!(kinds, Kind::ALL.into_iter().filter(|kind| plan.allows(*kind)).collect());
        }
    }

    #[test]
    fn only_means_only() {
        let plan = Plan { only: vec![Kind::Kill, Kind::DiskFull], ..plan(Backing::File, 1) };
        let kinds: BTreeSet<_> = plan.strikes().iter().map(|strike| strike.kind).collect();
        assert_eq!(kinds, plan.only.iter().copied().collect());
        assert!(
            plan.replay().contains("--ledger file --faults 50 --only kill,disk-full --seed 1"),
            "{}",
            plan.replay()
        );
    }

    #[test]
    fn names_read_back() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse::<Kind>().expect("its own name"), kind);
        }
        assert_eq!(Kind::BrokerFreezeCut.to_string(), "broker-freeze-cut");
        assert!("sunshine".parse::<Kind>().is_err() && "disk".parse::<Backing>().is_err());
    }
}
