//! Peak memory with many images in flight.

use super::{Bench, Life};
use crate::load::Pace;
use crate::report::Memory;
use crate::stand_ins::Wait;
use crate::usage::rss;
use crate::worker::Kind;
use anyhow::{Context as _, Result};
use bytesize::ByteSize;
use std::time::Duration;
use tokio::time::sleep;

const VENDOR: Duration = Duration::from_secs(1);

/// What is in flight.
const CASES: [(ByteSize, u16); 6] = [
    (ByteSize::mb(10), 1),
    (ByteSize::mb(10), 16),
    (ByteSize::mb(10), 64),
    (ByteSize::mb(10), 256),
    (ByteSize::mb(5), 256),
    (ByteSize::kb(200), 1000),
];

/// Memory that was given back is given back after so long without a job.
const REST: Duration = Duration::from_secs(1);

impl Bench<'_> {
    pub(super) async fn memories(&mut self) -> Result<()> {
        for (size, in_flight) in CASES {
            let bodies = self.bodies(size).await?;
            for kind in self.floor_and_daemon() {
                for wait in [Wait::BeforeAnswer(VENDOR), Wait::BeforeBody(VENDOR)] {
                    let what = format!("{in_flight} × {}, {}, {}", size.display().si(), kind.name(), wait.name());
                    eprintln!("memory: {what}");
                    let row = self.memory(size, in_flight, kind, wait, &bodies).await.context(what)?;
                    self.report.memory.push(row);
                }
            }
        }
        Ok(())
    }

    async fn memory(
        &mut self,
        size: ByteSize,
        in_flight: u16,
        kind: Kind,
        wait: Wait,
        bodies: &[String],
    ) -> Result<Memory> {
        self.vendor.set(wait);
        let mut workers = self.begin(&Life::of(kind, in_flight)).await?;
        self.vendor.most_calls();
        // As many again are waiting, so that none of those that end leaves a gap.
        let jobs = Self::jobs(kind, bodies, u32::from(in_flight) * 2);
        let run = self.work(&mut workers, &jobs, Pace::Window(u32::MAX)).await?;
        let peak = workers.peak_rss()?;
        sleep(REST).await;
        let row = Memory {
            worker: kind.name(),
            image_bytes: size.as_u64(),
            in_flight,
            vendor: wait.name().to_owned(),
            jobs: run.jobs,
            most_calls: self.vendor.most_calls(),
            peak_mib: crate::stats::mib(peak),
            after_mib: crate::stats::mib(rss(workers.only()?)?),
            took_s: run.took.as_secs_f64(),
        };
        self.end(workers).await?;
        Ok(row)
    }
}
