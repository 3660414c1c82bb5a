//! From SIGTERM to the end, while calls are in progress.

use super::{Bench, LIFE_LIMIT, Life, SIZE, until, until_gone};
use crate::load::Jobs;
use crate::report::Drain;
use crate::stand_ins::Wait;
use crate::worker::Kind;
use anyhow::{Context as _, Result};
use std::time::{Duration, Instant};

/// So many calls are in progress, and the vendor takes so long over each: long enough for all of them to be sent.
const IN_FLIGHT: [u16; 3] = [0, 16, 256];
const VENDOR: Duration = Duration::from_secs(2);
const REPS: u32 = 3;

impl Bench<'_> {
    /// Of the daemon: the floor does not drain.
    pub(super) async fn drains(&mut self) -> Result<()> {
        let bodies = self.bodies(SIZE).await?;
        let Some(kind) = self.daemon() else { return Ok(()) };
        self.vendor.set(Wait::BeforeAnswer(VENDOR));
        for in_flight in IN_FLIGHT {
            let mut added = Vec::new();
            for _ in 0..self.args.reps.min(REPS) {
                eprintln!("drain: {}, {in_flight} in flight", kind.name());
                added.push(
                    self.drain(kind, in_flight, &bodies).await.with_context(|| format!("{in_flight} in flight"))?,
                );
            }
            self.report.drains.push(Drain::new(kind.name(), in_flight, VENDOR, added));
        }
        Ok(())
    }

    /// What the stop took, from the signal, or from the vendor's last answer where that came later.
    async fn drain(&mut self, kind: Kind, in_flight: u16, bodies: &[String]) -> Result<Duration> {
        let mut workers = self.begin(&Life::of(kind, in_flight.max(1))).await?;
        let calls = u32::from(in_flight);
        // As many again are waiting in the queue, and have to stay there.
        let jobs = Jobs { queue: kind.queue(), bodies, count: calls * 2, within: Duration::MAX };
        self.load.hand_out(&jobs).await?;
        until("all calls are sent", async || Ok(self.vendor.waiting() >= u64::from(calls))).await?;
        for process in &mut workers.processes {
            process.terminate()?;
        }
        let signalled = Instant::now();
        for process in workers.processes {
            process.ended(LIFE_LIMIT).await?;
        }
        let ended = Instant::now();
        let answered = self.vendor.last_answer().unwrap_or(signalled).max(signalled);
        self.load.collect(calls).await?;
        until_gone(&mut self.load.broker, kind).await?;
        // A quorum queue's own count follows some time later.
        let queue = kind.queue();
        let left = format!("the {calls} jobs that were not begun are left in {queue}");
        until(&left, async || Ok(self.load.broker.waiting(queue).await? == calls)).await?;
        self.load.broker.purge(kind.queue()).await?;
        Ok(ended.duration_since(answered))
    }
}
