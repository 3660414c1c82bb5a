//! What a worker adds to a job's time, under a steady load.
//!
//! Its own part is the time from a job on its way to the worker to the event on its way back, seen between broker and worker. It contains
//! the image's way through two sockets, but no work of the store or the vendor, which answer at once. Everything, the broker's writes to a
//! disk included, is from when a job is due to be published, so that a load that falls behind does not hide it, to the arrival of its verdict.

use super::{Bench, Life, SIZE, Workers};
use crate::load::{Jobs, Pace, Run};
use crate::report::Latency;
use crate::stand_ins::{Tap, Wait};
use crate::worker::Kind;
use anyhow::{Context as _, Result, ensure};
use std::time::Duration;

/// Of the most jobs per second, in percent.
const LOADS: [u32; 3] = [10, 50, 90];

/// For how long the most jobs per second are found out.
const TRIAL: Duration = Duration::from_secs(4);

/// Each worker has each load for so long, and until there are so many jobs: two beyond the 99.9th percentile.
const TIME: Duration = Duration::from_secs(10);
const LEAST_JOBS: u32 = 2000;

/// Turns in which it has them.
const TURNS: u32 = 5;

impl Bench<'_> {
    pub(super) async fn latencies(&mut self) -> Result<()> {
        let bodies = self.bodies(SIZE).await?;
        self.vendor.set(Wait::BeforeAnswer(Duration::ZERO));
        let kinds = self.floor_and_daemon();
        // The loads are those of the daemon, for all.
        let measured = *kinds.last().context("a worker is measured")?;
        let most = self.trial(measured, &bodies).await?;
        eprintln!("latency: {} does {most:.0} jobs/s", measured.name());
        let mut workers = Vec::new();
        let (host, port) = self.services.broker();
        let tap = Tap::start(host.to_owned(), port).await?;
        for kind in kinds {
            let life = Life { broker: Some(tap.address), ..Life::of(kind, self.args.concurrency) };
            let mut one = self.begin(&life).await?;
            self.warm_up(&mut one, &bodies).await?;
            workers.push(one);
        }
        for percent in LOADS {
            self.latency(&tap, &mut workers, percent, most * f64::from(percent) / 100.0, &bodies).await?;
        }
        for workers in workers {
            self.end(workers).await?;
        }
        Ok(())
    }

    /// One load, of all workers.
    async fn latency(
        &mut self,
        tap: &Tap,
        workers: &mut [Workers],
        percent: u32,
        rate: f64,
        bodies: &[String],
    ) -> Result<()> {
        let count = self.at_most(jobs_in(TIME, rate).max(LEAST_JOBS)).div_ceil(TURNS);
        let pace = Pace::Every(Duration::from_secs_f64(1.0 / rate));
        let mut times: Vec<[Vec<Duration>; 2]> = workers.iter().map(|_| Default::default()).collect();
        for turn in 1..=TURNS {
            eprintln!("latency: {percent} % ({turn} of {TURNS})");
            for (workers, [own, whole]) in workers.iter_mut().zip(&mut times) {
                tap.take();
                let run = self.work(workers, &Self::jobs(workers.kind, bodies, count), pace).await?;
                let taken = tap.take();
                ensure!(taken.len() == run.waits.len(), "{} of {} events were seen", taken.len(), run.waits.len());
                own.extend(taken);
                whole.extend(run.waits);
            }
        }
        for (workers, [own, whole]) in workers.iter().zip(times) {
            self.report.latencies.push(Latency::new(workers.kind.name(), percent, rate, own, whole));
        }
        Ok(())
    }

    /// The most jobs per second.
    async fn trial(&mut self, kind: Kind, bodies: &[String]) -> Result<f64> {
        let mut workers = self.begin(&Life::of(kind, self.args.concurrency)).await?;
        self.warm_up(&mut workers, bodies).await?;
        let jobs = Jobs { within: TRIAL, ..Self::jobs(kind, bodies, u32::MAX) };
        let Run { rate, .. } = self.work(&mut workers, &jobs, self.window()).await?;
        self.end(workers).await?;
        Ok(rate)
    }

    async fn warm_up(&mut self, workers: &mut Workers, bodies: &[String]) -> Result<()> {
        let jobs = Self::jobs(workers.kind, bodies, u32::from(self.args.concurrency) * 4);
        self.work(workers, &jobs, self.window()).await?;
        Ok(())
    }

    fn window(&self) -> Pace {
        Pace::Window(u32::from(self.args.concurrency) * 2)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousands")]
fn jobs_in(time: Duration, rate: f64) -> u32 {
    (time.as_secs_f64() * rate) as u32
}
