//! The four measurements.
#![expect(clippy::print_stderr, reason = "says what is being measured")]

use super::args::{Args, Digest, Ledger, Which};
use super::broker::Broker;
use super::images::jpeg;
use super::load::{Jobs, Load, Pace};
use super::process::Process;
use super::report::{Cost, Memory, Paced, Report, Sample, Start};
use super::services::Services;
use super::stand_ins::{Vendor, Wait};
use super::store::Store;
use super::usage::{Cpu, peak_rss};
use super::worker::{Kind, Setup};
use anyhow::{Context as _, Result, anyhow, ensure};
use bytesize::ByteSize;
use std::cell::Cell;
use std::env;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// Longest time for a worker to start, and to stop.
const LIFE_LIMIT: Duration = Duration::from_secs(20);

/// How often the broker is asked whether a worker consumes: the error of `--start`.
const LOOK: Duration = Duration::from_millis(1);

/// CPU time of the floor that one repetition should take: so much that the kernel's and our own errors are below a percent.
const ENOUGH: u64 = 1_000_000_000;

const PACED_EVERY: Duration = Duration::from_millis(20);
const PACED_JOBS: u32 = 500;
const PACED_LATENCY: Duration = Duration::from_millis(50);
const PACED_SIZE: ByteSize = ByteSize::kb(200);

const RSS_CONCURRENCY: u16 = 64;
const RSS_JOBS: u32 = 192;
const RSS_LATENCY: Duration = Duration::from_secs(2);
const RSS_SIZE: ByteSize = ByteSize::mb(10);

const STARTS: usize = 10;

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

/// Measures what was asked for and prints it.
pub(crate) async fn run(args: &Args) -> Result<()> {
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
    let Bench { load, store, report, .. } = bench;
    let tidied = load.broker.delete().await.and(store.delete().await);
    measured?;
    tidied?;
    report.print();
    report.write(args.json.as_deref())
}

impl Bench<'_> {
    async fn measure(&mut self) -> Result<()> {
        if self.args.wants(self.args.cpu) {
            for size in self.args.sizes.clone() {
                self.cpu(size).await?;
            }
        }
        if self.args.wants(self.args.paced) {
            self.paced().await?;
        }
        if self.args.wants(self.args.rss) {
            self.rss().await?;
        }
        if self.args.wants(self.args.start) {
            self.start().await?;
        }
        Ok(())
    }

    async fn cpu(&mut self, size: ByteSize) -> Result<()> {
        let bodies = self.bodies(size).await?;
        let count = self.args.jobs.unwrap_or_else(|| jobs_for(size));
        let kinds = self.kinds();
        let mut samples: Vec<Vec<Sample>> = kinds.iter().map(|_| Vec::new()).collect();
        for rep in 1..=self.args.reps {
            for (kind, samples) in kinds.iter().zip(&mut samples) {
                eprintln!("{size}: {} ({rep} of {}), {count} jobs", kind.name(), self.args.reps);
                samples.push(self.sample(*kind, &bodies, count).await.with_context(|| kind.name())?);
            }
        }
        for (kind, samples) in kinds.iter().zip(samples) {
            self.report.costs.push(Cost::new(size.as_u64(), kind.name(), count, &samples));
        }
        Ok(())
    }

    /// One life of a worker: it warms up, then its CPU is read before and after the jobs.
    async fn sample(&mut self, kind: Kind, bodies: &[String], count: u32) -> Result<Sample> {
        self.vendor.set(Wait::BeforeAnswer(self.args.latency));
        let concurrency = self.args.concurrency;
        let mut process = self.start_consuming(kind, &self.vendor.url(), concurrency).await?;
        let jobs = |count| Jobs { queue: kind.queue(), bodies, count };
        // Twice the jobs in flight, so that the worker never waits for the load.
        let pace = Pace::Window(u32::from(concurrency) * 2);
        guarded(&mut process, self.load.run(&jobs(u32::from(concurrency) * 4), pace)).await?;
        let (before, bytes) = (Cpu::of(process.pid())?, self.vendor.bytes());
        let run = guarded(&mut process, self.load.run(&jobs(count), pace)).await?;
        let used = Cpu::of(process.pid())?.since(&before);
        ensure!(self.vendor.bytes() > bytes, "verdicts without calls: the worker answers from memory");
        let sample = Sample {
            used,
            jobs_per_second: f64::from(count) / run.took.as_secs_f64(),
            peak_rss: peak_rss(process.pid())?,
            p50: run.percentile(50),
            p99: run.percentile(99),
        };
        self.stop(process, kind).await?;
        Ok(sample)
    }

    async fn paced(&mut self) -> Result<()> {
        let bodies = self.bodies(PACED_SIZE).await?;
        self.vendor.set(Wait::BeforeAnswer(PACED_LATENCY));
        for kind in self.kinds() {
            eprintln!("paced: {}", kind.name());
            let mut process = self.start_consuming(kind, &self.vendor.url(), self.args.concurrency).await?;
            let jobs = |count| Jobs { queue: kind.queue(), bodies: &bodies, count };
            guarded(&mut process, self.load.run(&jobs(50), Pace::Every(PACED_EVERY))).await?;
            let before = Cpu::of(process.pid())?;
            let run = guarded(&mut process, self.load.run(&jobs(PACED_JOBS), Pace::Every(PACED_EVERY))).await?;
            let used = Cpu::of(process.pid())?.since(&before);
            self.report.paced.push(Paced::new(kind.name(), &run, used.cpu / PACED_JOBS));
            self.stop(process, kind).await?;
        }
        Ok(())
    }

    async fn rss(&mut self) -> Result<()> {
        let bodies = self.bodies(RSS_SIZE).await?;
        for kind in self.kinds() {
            for wait in [Wait::BeforeAnswer(RSS_LATENCY), Wait::BeforeBody(RSS_LATENCY)] {
                eprintln!("memory: {}, {RSS_JOBS} jobs, {RSS_CONCURRENCY} in flight, {wait:?}", kind.name());
                self.vendor.set(wait);
                let mut process = self.start_consuming(kind, &self.vendor.url(), RSS_CONCURRENCY).await?;
                let at_rest = peak_rss(process.pid())?;
                let jobs = Jobs { queue: kind.queue(), bodies: &bodies, count: RSS_JOBS };
                let all = Pace::Window(RSS_JOBS);
                let run = guarded(&mut process, self.load.run(&jobs, all)).await?;
                let peak = peak_rss(process.pid())?;
                let name = format!("{}, {}", kind.name(), wait.name());
                self.report.memory.push(Memory::new(name, at_rest, peak, run.took, RSS_JOBS));
                self.stop(process, kind).await?;
            }
        }
        Ok(())
    }

    /// In a virtual host of its own: the first start makes all queues, the others find them.
    async fn start(&mut self) -> Result<()> {
        let vhost = format!("{}-start", self.load.broker.vhost);
        let mut broker = Broker::create(&self.services, &vhost).await?;
        let starts = self.starts(&mut broker).await;
        broker.delete().await?;
        self.report.starts = starts?;
        Ok(())
    }

    async fn starts(&self, broker: &mut Broker) -> Result<Vec<Start>> {
        let mut starts = Vec::new();
        for kind in self.kinds() {
            eprintln!("start: {}", kind.name());
            let mut times = Vec::new();
            for _ in 0..=STARTS {
                let url = self.vendor.url();
                let setup = self.setup(&broker.vhost, &url, self.args.concurrency);
                let exec = Instant::now();
                let mut process = kind.start(&setup)?;
                until_consumers(broker, kind, &mut process).await?;
                times.push(exec.elapsed());
                process.stop(LIFE_LIMIT).await?;
                until_gone(broker, kind).await?;
            }
            starts.push(Start::new(kind.name(), times));
        }
        Ok(starts)
    }

    async fn start_consuming(&mut self, kind: Kind, api_url: &str, concurrency: u16) -> Result<Process> {
        let mut process = kind.start(&self.setup(&self.load.broker.vhost, api_url, concurrency))?;
        until_consumers(&mut self.load.broker, kind, &mut process).await?;
        Ok(process)
    }

    async fn stop(&mut self, process: Process, kind: Kind) -> Result<()> {
        process.stop(LIFE_LIMIT).await?;
        until_gone(&mut self.load.broker, kind).await?;
        // The floor ends where it stands; the daemon drains, and what it leaves would be found by the next run.
        if kind == Kind::Floor { self.load.broker.purge(kind.queue()).await } else { Ok(()) }
    }

    fn setup<'a>(&'a self, vhost: &'a str, api_url: &'a str, concurrency: u16) -> Setup<'a> {
        let life = self.lives.get();
        self.lives.set(life + 1);
        let file = self.folder.path().join(format!("{life}.redb"));
        let (services, store, programs) = (&self.services, &self.store, self.programs.as_path());
        Setup { services, vhost, store, api_url, concurrency, programs, file }
    }

    async fn bodies(&mut self, size: ByteSize) -> Result<Vec<String>> {
        let image = jpeg(usize::try_from(size.as_u64())?)?;
        let keys = self.store.put(image).await?;
        let bucket = &self.store.bucket;
        Ok(keys.iter().map(|key| serde_json::json!({ "bucket": bucket, "key": key }).to_string()).collect())
    }

    fn kinds(&self) -> Vec<Kind> {
        let floor = (self.args.worker != Which::Antispoofd).then_some(Kind::Floor);
        let digests: &[Digest] = if self.args.worker == Which::Floor { &[] } else { &self.args.digest };
        let ledgers: &[Ledger] = &self.args.ledger;
        let ours = digests.iter().flat_map(|digest| ledgers.iter().map(|ledger| Kind::Antispoofd(*digest, *ledger)));
        floor.into_iter().chain(ours).collect()
    }
}

/// Runs a part of the load; a worker that ended is the reason why it failed.
async fn guarded<T>(process: &mut Process, load: impl Future<Output = Result<T>>) -> Result<T> {
    let outcome = load.await;
    if outcome.is_err() {
        process.check()?;
    }
    outcome
}

async fn until_consumers(broker: &mut Broker, kind: Kind, process: &mut Process) -> Result<()> {
    let looking = async {
        while broker.consumers(kind.queue()).await? == 0 {
            process.check()?;
            sleep(LOOK).await;
        }
        Ok(())
    };
    timeout(LIFE_LIMIT, looking).await.with_context(|| format!("{} does not consume", kind.name()))?
}

async fn until_gone(broker: &mut Broker, kind: Kind) -> Result<()> {
    let looking = async {
        while broker.consumers(kind.queue()).await? > 0 {
            sleep(LOOK).await;
        }
        Ok(())
    };
    timeout(LIFE_LIMIT, looking).await.with_context(|| format!("{} still consumes", kind.name()))?
}

/// As many jobs as take the floor about [`ENOUGH`]: a tenth of a millisecond and a nanosecond for every byte.
fn jobs_for(size: ByteSize) -> u32 {
    let jobs = ENOUGH / (100_000 + size.as_u64());
    u32::try_from(jobs.max(100)).unwrap_or(u32::MAX)
}
