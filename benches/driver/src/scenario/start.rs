//! From exec to a registered consumer, and memory at rest.

use super::{Bench, LIFE_LIMIT, Life, Workers, until_consumers, until_gone};
use crate::broker::Broker;
use crate::report::{Idle, Start};
use crate::usage::rss;
use crate::worker::Kind;
use anyhow::Result;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const STARTS: usize = 10;

/// A worker that consumes, and has nothing to do for so long, is at rest.
const REST: Duration = Duration::from_secs(2);

impl Bench<'_> {
    /// In a virtual host of its own: the first start makes all queues, the others find them.
    pub(super) async fn starts(&mut self) -> Result<()> {
        let vhost = format!("{}-start", self.load.broker.vhost);
        let mut broker = Broker::create(&self.services, &vhost).await?;
        let measured = self.starts_with(&mut broker).await;
        broker.delete().await?;
        measured
    }

    async fn starts_with(&mut self, broker: &mut Broker) -> Result<()> {
        for kind in self.floor_and_daemon() {
            eprintln!("start: {}", kind.name());
            let life = Life::of(kind, self.args.concurrency);
            let mut times = Vec::new();
            for _ in 0..=STARTS {
                let (took, workers) = self.start(broker, &life).await?;
                times.push(took);
                end(broker, workers).await?;
            }
            self.report.starts.push(Start::new(kind.name(), times));
            let (_, workers) = self.start(broker, &life).await?;
            sleep(REST).await;
            self.report.idle.push(Idle::new(kind.name(), rss(workers.only()?)?));
            end(broker, workers).await?;
        }
        Ok(())
    }

    async fn start(&self, broker: &mut Broker, life: &Life) -> Result<(Duration, Workers)> {
        let url = self.vendor.url();
        let setup = self.setup(life, &broker.vhost, &url);
        let exec = Instant::now();
        let mut workers = Workers { kind: life.kind, processes: vec![life.kind.start(&setup)?] };
        until_consumers(broker, &mut workers).await?;
        Ok((exec.elapsed(), workers))
    }
}

async fn end(broker: &mut Broker, workers: Workers) -> Result<()> {
    let kind: Kind = workers.kind;
    for process in workers.processes {
        process.stop(LIFE_LIMIT).await?;
    }
    until_gone(broker, kind).await
}
