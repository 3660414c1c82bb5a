//! CPU per job and jobs per second, as fast as it goes.

use super::{Bench, Life};
use crate::load::Pace;
use crate::report::{Cost, Sample};
use crate::stand_ins::Wait;
use crate::stats::percentile;
use anyhow::{Context as _, Result, ensure};
use bytesize::ByteSize;
use std::time::Duration;

/// CPU time of the floor that one repetition should take, in nanoseconds: so much that the kernel's and our own errors are below a percent.
const ENOUGH: u64 = 600_000_000;

impl Bench<'_> {
    pub(super) async fn costs(&mut self) -> Result<()> {
        for size in self.args.sizes.clone() {
            self.costs_of(size).await?;
        }
        Ok(())
    }

    async fn costs_of(&mut self, size: ByteSize) -> Result<()> {
        let bodies = self.bodies(size).await?;
        let lives: Vec<Life> = self.kinds().into_iter().map(|kind| Life::of(kind, self.args.concurrency)).collect();
        let mut samples: Vec<Vec<Sample>> = lives.iter().map(|_| Vec::new()).collect();
        for rep in 1..=self.args.reps {
            for (life, samples) in lives.iter().zip(&mut samples) {
                let name = life.kind.name();
                eprintln!("{}: {name} ({rep} of {})", size.display().si(), self.args.reps);
                let sample = self.sample(life, &bodies, jobs_for(size), Duration::MAX).await;
                samples.push(sample.with_context(|| name)?);
            }
        }
        for (life, samples) in lives.iter().zip(samples) {
            self.report.costs.push(Cost::new(size.as_u64(), life.kind.name(), &samples));
        }
        Ok(())
    }

    /// One life: it warms up, then its CPU is read before and after so many jobs, or those of so long.
    pub(super) async fn sample(
        &mut self,
        life: &Life,
        bodies: &[String],
        count: u32,
        within: Duration,
    ) -> Result<Sample> {
        self.vendor.set(Wait::BeforeAnswer(self.args.vendor));
        let mut workers = self.begin(life).await?;
        let mut jobs = Self::jobs(life.kind, bodies, u32::MAX);
        // Twice the jobs in flight, so that the worker never waits for the load.
        let window = u32::from(life.concurrency) * life.processes * 2;
        jobs.count = window * 2;
        self.work(&mut workers, &jobs, Pace::Window(window)).await?;
        jobs.count = count;
        jobs.within = within;
        let (before, bytes) = (workers.cpu()?, self.vendor.bytes());
        let servers_before = self.servers()?;
        let run = self.work(&mut workers, &jobs, Pace::Window(window)).await?;
        let used = workers.used_since(&before)?;
        ensure!(self.vendor.bytes() > bytes, "verdicts without calls: the worker answers from memory");
        let sample = Sample {
            used,
            jobs: run.jobs,
            jobs_per_second: run.rate,
            peak_rss: workers.peak_rss()?,
            p50: percentile(&run.waits, 500),
            p99: percentile(&run.waits, 990),
            servers: self
                .servers()?
                .into_iter()
                .zip(servers_before)
                .map(|((name, now), (_, before))| (name, now.since(&before).cpu))
                .collect(),
        };
        self.end(workers).await?;
        Ok(sample)
    }
}

/// As many jobs as take the floor about [`ENOUGH`]: a tenth of a millisecond and a nanosecond for every byte.
fn jobs_for(size: ByteSize) -> u32 {
    let jobs = ENOUGH / (100_000 + size.as_u64());
    u32::try_from(jobs.max(100)).unwrap_or(u32::MAX)
}
