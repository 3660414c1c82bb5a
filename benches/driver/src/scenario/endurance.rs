//! Whether memory grows with the number of jobs.

use super::{Bench, Life};
use crate::load::Pace;
use crate::report::Endurance;
use crate::stand_ins::Wait;
use crate::stats::mib;
use crate::usage::rss;
use anyhow::{Context as _, Result};
use bytesize::ByteSize;
use std::time::Duration;

const SIZE: ByteSize = ByteSize::kb(64);

/// Memory is held against what it was after so many jobs.
const FIRST: u32 = 10_000;
const ALL: u32 = 50_000;

/// What the ledger remembers, so that it is full long before the first look: it grows by design until then.
const LEDGER_ENTRIES: u32 = 2_000;

impl Bench<'_> {
    pub(super) async fn endurances(&mut self) -> Result<()> {
        let bodies = self.bodies(SIZE).await?;
        let Some(kind) = self.daemon() else { return Ok(()) };
        self.vendor.set(Wait::BeforeAnswer(Duration::ZERO));
        let first = self.at_most(FIRST);
        let all = self.args.what.endurance.unwrap_or_else(|| self.at_most(ALL)).max(first);
        let settings = vec![("ANTISPOOFD__LEDGER__MAX_ENTRIES", LEDGER_ENTRIES.to_string())];
        let mut workers = self.begin(&Life { settings, ..Life::of(kind, self.args.concurrency) }).await?;
        let pace = Pace::Window(u32::from(self.args.concurrency) * 2);
        let (mut done, mut at) = (0, Vec::new());
        // In parts, so that it can be watched.
        while done < all {
            let part = if done == 0 { first } else { FIRST.min(all - done) };
            done += self.work(&mut workers, &Self::jobs(kind, &bodies, part), pace).await?.jobs;
            let now = rss(workers.only()?)?;
            eprintln!("endurance: {} has {:.1} MiB after {done} of {all} jobs", kind.name(), mib(now));
            at.push((done, mib(now)));
        }
        let row = Endurance {
            worker: kind.name(),
            image_bytes: SIZE.as_u64(),
            peak_mib: mib(workers.peak_rss()?),
            first: *at.first().context("there are jobs")?,
            last: *at.last().context("there are jobs")?,
        };
        self.report.endurance.push(row);
        self.end(workers).await
    }
}
