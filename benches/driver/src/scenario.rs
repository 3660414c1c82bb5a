//! What the measurements have in common: the surroundings of a worker, and its life.
#![expect(clippy::print_stderr, reason = "says what is being measured")]

mod cpu;
mod drain;
mod endurance;
mod latency;
mod memory;
mod scale;
mod start;

use super::args::{Args, Digest, Ledger, Which};
use super::broker::Broker;
use super::images::jpeg;
use super::load::{Jobs, Load, Pace, Run};
use super::process::Process;
use super::report::Report;
use super::services::Services;
use super::stand_ins::Vendor;
use super::store::Store;
use super::usage::{Cpu, Used, peak_rss};
use super::worker::{Kind, Setup};
use anyhow::{Context as _, Result, anyhow};
use bytesize::ByteSize;
use std::cell::Cell;
use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// Longest time for a worker to start, and to stop.
const LIFE_LIMIT: Duration = Duration::from_secs(20);

/// How often it is looked whether something has happened: the error of `--start`.
const LOOK: Duration = Duration::from_millis(1);

/// What the jobs of most measurements have.
const SIZE: ByteSize = ByteSize::kb(200);

struct Bench<'a> {
    args: &'a Args,
    services: Services,
    load: Load,
    store: Store,
    vendor: Vendor,
    programs: PathBuf,
    /// For the files of ledgers, each life its own.
    folder: TempDir,
    lives: Cell<u32>,
    report: Report,
}

/// A worker that is to be started, perhaps several times over.
#[derive(Clone)]
struct Life {
    kind: Kind,
    concurrency: u16,
    processes: u32,
    /// Further settings of the daemon, as variables.
    settings: Vec<(&'static str, String)>,
    /// The address of the broker, where that is another.
    broker: Option<SocketAddr>,
}

/// The processes of a life.
struct Workers {
    kind: Kind,
    processes: Vec<Process>,
}

/// Measures what was asked for. What was measured before a failure is in the report, too.
pub(crate) async fn run(args: &Args) -> Result<(Report, Result<()>)> {
    let services = Services::from_env()?;
    let name = format!("antispoof-bench-{}", std::process::id());
    let store = Store::create(args.store, &name).await?;
    let load = Load::new(Broker::create(&services, &name).await?).await?;
    let vendor = Vendor::start().await?;
    let folder = TempDir::new().context("make a folder for the files of ledgers")?;
    let programs = match &args.programs {
        Some(folder) => folder.clone(),
        None => env::current_exe().context("find out where this program is")?.with_file_name(""),
    };
    let lives = Cell::new(0);
    let report = Report::new(args);
    let mut bench = Bench { args, services, load, store, vendor, programs, folder, lives, report };
    let measured = tokio::select! {
        measured = bench.measure() => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
    };
    let Bench { load, store, mut report, .. } = bench;
    report.repeated_events = load.repeated;
    let tidied = load.broker.delete().await.and(store.delete().await);
    Ok((report, measured.and(tidied)))
}

// === impl Life ===

impl Life {
    fn of(kind: Kind, concurrency: u16) -> Self {
        Self { kind, concurrency, processes: 1, settings: Vec::new(), broker: None }
    }
}

// === impl Workers ===

impl Workers {
    fn pids(&self) -> impl Iterator<Item = u32> {
        self.processes.iter().map(Process::pid)
    }

    fn check(&mut self) -> Result<()> {
        self.processes.iter_mut().try_for_each(Process::check)
    }

    fn cpu(&self) -> Result<Vec<Cpu>> {
        self.pids().map(Cpu::of).collect()
    }

    /// What all of them have used since `before`.
    fn used_since(&self, before: &[Cpu]) -> Result<Used> {
        let now = self.cpu()?;
        Ok(now.iter().zip(before).map(|(now, before)| now.since(before)).sum())
    }

    /// Of the largest of them.
    fn peak_rss(&self) -> Result<u64> {
        self.pids().map(peak_rss).try_fold(0, |most, peak| Ok(most.max(peak?)))
    }

    fn only(&self) -> Result<u32> {
        self.pids().next().context("a life has a process")
    }
}

// === impl Bench ===

impl Bench<'_> {
    async fn measure(&mut self) -> Result<()> {
        let (all, what) = (self.args.what.is_all(), &self.args.what);
        if all || what.start {
            self.starts().await.context("--start")?;
        }
        if all || what.cpu {
            self.costs().await.context("--cpu")?;
        }
        if all || what.latency {
            self.latencies().await.context("--latency")?;
        }
        if all || what.scale {
            self.scales().await.context("--scale")?;
        }
        if all || what.memory {
            self.memories().await.context("--memory")?;
        }
        if all || what.drain {
            self.drains().await.context("--drain")?;
        }
        if all || what.endurance.is_some() {
            self.endurances().await.context("--endurance")?;
        }
        Ok(())
    }

    /// Starts a worker, and returns when all of its processes consume.
    async fn begin(&mut self, life: &Life) -> Result<Workers> {
        let processes = (0..life.processes).map(|_| {
            let url = self.vendor.url();
            life.kind.start(&self.setup(life, &self.load.broker.vhost, &url))
        });
        let processes = processes.collect::<Result<Vec<_>>>()?;
        let mut workers = Workers { kind: life.kind, processes };
        until_consumers(&mut self.load.broker, &mut workers).await?;
        Ok(workers)
    }

    async fn end(&mut self, workers: Workers) -> Result<()> {
        for process in workers.processes {
            process.stop(LIFE_LIMIT).await?;
        }
        until_gone(&mut self.load.broker, workers.kind).await?;
        // The floor ends where it stands; the daemon drains, and what it leaves would be found by the next run.
        if workers.kind == Kind::Floor { self.load.broker.purge(workers.kind.queue()).await } else { Ok(()) }
    }

    /// A part of the load; workers that ended are the reason why it failed.
    async fn work(&mut self, workers: &mut Workers, jobs: &Jobs<'_>, pace: Pace) -> Result<Run> {
        let jobs = Jobs { count: self.at_most(jobs.count), ..*jobs };
        let outcome = self.load.run(&jobs, pace).await;
        if outcome.is_err() {
            workers.check()?;
        }
        outcome
    }

    fn setup<'a>(&'a self, life: &'a Life, vhost: &str, api_url: &'a str) -> Setup<'a> {
        let number = self.lives.get();
        self.lives.set(number + 1);
        Setup {
            services: &self.services,
            amqp_url: match life.broker {
                Some(address) => self.services.amqp_url_at(&address.to_string(), vhost),
                None => self.services.amqp_url(vhost),
            },
            store: &self.store,
            api_url,
            concurrency: life.concurrency,
            settings: &life.settings,
            programs: &self.programs,
            file: self.folder.path().join(format!("{number}.redb")),
        }
    }

    async fn bodies(&mut self, size: ByteSize) -> Result<Vec<String>> {
        let image = jpeg(usize::try_from(size.as_u64())?)?;
        let keys = self.store.put(image).await?;
        let bucket = &self.store.bucket;
        Ok(keys.iter().map(|key| serde_json::json!({ "bucket": bucket, "key": key }).to_string()).collect())
    }

    /// What the servers have used of the CPU.
    fn servers(&self) -> Result<Vec<(String, Cpu)>> {
        self.services.pids.iter().map(|(name, pid)| Ok((name.clone(), Cpu::of(*pid)?))).collect()
    }

    fn at_most(&self, jobs: u32) -> u32 {
        self.args.jobs.map_or(jobs, |most| most.min(jobs))
    }

    /// As many jobs as `count`, in time or not.
    fn jobs(kind: Kind, bodies: &[String], count: u32) -> Jobs<'_> {
        Jobs { queue: kind.queue(), bodies, count, within: Duration::MAX }
    }

    /// The workers of `--cpu`.
    fn kinds(&self) -> Vec<Kind> {
        let digests: &[Digest] = if self.args.worker == Which::Floor { &[] } else { &self.args.digest };
        let ledgers: &[Ledger] = &self.args.ledger;
        let ours = digests.iter().flat_map(|digest| ledgers.iter().map(|ledger| Kind::Antispoofd(*digest, *ledger)));
        self.floor().into_iter().chain(ours).collect()
    }

    /// The workers of the other measurements: the floor, and one daemon.
    fn floor_and_daemon(&self) -> Vec<Kind> {
        self.floor().into_iter().chain(self.daemon()).collect()
    }

    fn floor(&self) -> Option<Kind> {
        (self.args.worker != Which::Antispoofd).then_some(Kind::Floor)
    }

    fn daemon(&self) -> Option<Kind> {
        let (digest, ledger) = (self.args.digest.last()?, self.args.ledger.first()?);
        (self.args.worker != Which::Floor).then_some(Kind::Antispoofd(*digest, *ledger))
    }
}

async fn until_consumers(broker: &mut Broker, workers: &mut Workers) -> Result<()> {
    let kind = workers.kind;
    until(&format!("{} consumes", kind.name()), async || {
        workers.check()?;
        Ok(broker.consumers(kind.queue()).await? as usize >= workers.processes.len())
    })
    .await
}

async fn until_gone(broker: &mut Broker, kind: Kind) -> Result<()> {
    until(&format!("{} no longer consumes", kind.name()), async || Ok(broker.consumers(kind.queue()).await? == 0)).await
}

/// Looks again and again until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let looking = async {
        while !is_so().await? {
            sleep(LOOK).await;
        }
        Ok(())
    };
    timeout(LIFE_LIMIT, looking).await.with_context(|| format!("waited {LIFE_LIMIT:?} and not seen: {what}"))?
}
