//! More jobs in flight, more threads, more processes.

use super::{Bench, Life, SIZE};
use crate::report::{Sample, Scale};
use crate::worker::Kind;
use anyhow::{Context as _, Result};
use std::time::Duration;

const IN_FLIGHT: [u16; 6] = [1, 4, 16, 64, 256, 1000];
const THREADS: [u32; 3] = [1, 2, 4];
const PROCESSES: [u32; 4] = [1, 2, 3, 4];

/// Jobs in flight in each process, where threads and processes are what is measured.
const CONCURRENCY: u16 = 64;

/// Jobs are handed out for so long.
const TIME: Duration = Duration::from_secs(2);
const REPS: u32 = 3;

impl Bench<'_> {
    pub(super) async fn scales(&mut self) -> Result<()> {
        let bodies = self.bodies(SIZE).await?;
        let (both, daemon) = (self.floor_and_daemon(), self.daemon());
        for (what, lives) in [
            ("jobs in flight", IN_FLIGHT.iter().flat_map(|count| in_flight(&both, *count)).collect::<Vec<_>>()),
            ("threads", THREADS.iter().flat_map(|count| threads(daemon, *count)).collect()),
            ("processes", PROCESSES.iter().flat_map(|count| processes(&both, *count)).collect()),
        ] {
            self.scale(what, &lives, &bodies).await.context(what)?;
        }
        Ok(())
    }

    async fn scale(&mut self, what: &str, lives: &[(u32, Life)], bodies: &[String]) -> Result<()> {
        let reps = self.args.reps.min(REPS);
        let mut samples: Vec<Vec<Sample>> = lives.iter().map(|_| Vec::new()).collect();
        for rep in 1..=reps {
            for ((count, life), samples) in lives.iter().zip(&mut samples) {
                let name = life.kind.name();
                eprintln!("{what}: {count}, {name} ({rep} of {reps})");
                let sample = self.sample(life, bodies, u32::MAX, TIME).await;
                samples.push(sample.with_context(|| format!("{count}, {name}"))?);
            }
        }
        for ((count, life), samples) in lives.iter().zip(samples) {
            self.report.scales.push(Scale::new(what, *count, life.kind.name(), &samples));
        }
        Ok(())
    }
}

fn in_flight(kinds: &[Kind], count: u16) -> impl Iterator<Item = (u32, Life)> {
    kinds.iter().map(move |kind| (count.into(), Life::of(*kind, count)))
}

fn threads(daemon: Option<Kind>, count: u32) -> impl Iterator<Item = (u32, Life)> {
    daemon.into_iter().map(move |kind| {
        let settings = vec![("ANTISPOOFD__WORKER__THREADS", count.to_string())];
        (count, Life { settings, ..Life::of(kind, CONCURRENCY) })
    })
}

fn processes(kinds: &[Kind], count: u32) -> impl Iterator<Item = (u32, Life)> {
    kinds.iter().map(move |kind| (count, Life { processes: count, ..Life::of(*kind, CONCURRENCY) }))
}
