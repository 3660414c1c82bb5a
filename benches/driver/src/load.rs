//! Publishes jobs, collects their verdicts, and takes the time between the two.

use super::broker::Broker;
use anyhow::{Context as _, Result, bail, ensure};
use futures_util::StreamExt as _;
use lapin::Consumer;
use lapin::message::Delivery;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Longest time without a verdict before the run is given up.
const PATIENCE: Duration = Duration::from_mins(1);

/// How the jobs are handed out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many are out at any time: the next goes out when a verdict comes in.
    Window(u32),
    /// One every so often.
    Every(Duration),
}

pub(crate) struct Load {
    pub(crate) broker: Broker,
    verdicts: Consumer,
    runs: u32,
}

/// The jobs to hand out, over and over.
pub(crate) struct Jobs<'a> {
    pub(crate) queue: &'a str,
    pub(crate) bodies: &'a [String],
    pub(crate) count: u32,
}

/// What came of a run.
pub(crate) struct Run {
    /// From the first publish to the last verdict.
    pub(crate) took: Duration,
    /// From each publish to its verdict, ascending.
    pub(crate) waits: Vec<Duration>,
}

impl Run {
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let last = self.waits.len().saturating_sub(1);
        self.waits.get((self.waits.len() * percent / 100).min(last)).copied().unwrap_or_default()
    }
}

impl Load {
    pub(crate) async fn new(broker: Broker) -> Result<Self> {
        let verdicts = broker.verdicts().await.context("collect the verdicts")?;
        Ok(Self { broker, verdicts, runs: 0 })
    }

    /// Hands out the jobs and returns when every one has its verdict. Anything but a verdict is an error.
    pub(crate) async fn run(&mut self, jobs: &Jobs<'_>, pace: Pace) -> Result<Run> {
        self.runs += 1;
        let mut out = HashMap::new();
        let mut waits = Vec::new();
        let mut published = 0;
        let (window, every) = match pace {
            Pace::Window(window) => (window, None),
            Pace::Every(every) => (jobs.count, Some(every)),
        };
        let mut ticks = interval(every.unwrap_or(PATIENCE));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let started = Instant::now();
        while waits.len() < jobs.count as usize {
            while every.is_none() && published < jobs.count && out.len() < window as usize {
                self.publish(jobs, published, &mut out).await?;
                published += 1;
            }
            tokio::select! {
                _ = ticks.tick(), if every.is_some() && published < jobs.count => {
                    self.publish(jobs, published, &mut out).await?;
                    published += 1;
                }
                verdict = timeout(PATIENCE, self.verdicts.next()) => {
                    let verdict = verdict.context("no verdict came for a minute")?.context("the broker hung up")??;
                    // A second event of a job would be a fault of the worker, and so is one that nobody asked for.
                    let since = out.remove(&job_id(&verdict)?).context("an event of no job that is out")?;
                    waits.push(since.elapsed());
                }
            }
        }
        let took = started.elapsed();
        waits.sort_unstable();
        Ok(Run { took, waits })
    }

    async fn publish(&self, jobs: &Jobs<'_>, number: u32, out: &mut HashMap<String, Instant>) -> Result<()> {
        ensure!(!jobs.bodies.is_empty(), "there are no jobs");
        let id = format!("{}-{number}", self.runs);
        let body = &jobs.bodies[number as usize % jobs.bodies.len()];
        out.insert(id.clone(), Instant::now());
        self.broker.publish(jobs.queue, body.as_bytes(), &id).await
    }
}

fn job_id(verdict: &Delivery) -> Result<String> {
    let routing_key = verdict.routing_key.as_str();
    if !routing_key.starts_with("verdict.") {
        bail!("a job ended as {routing_key}: {}", String::from_utf8_lossy(&verdict.data));
    }
    let id = verdict.properties.correlation_id().as_ref().context("an event names its job")?;
    Ok(id.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let run = Run { took: Duration::ZERO, waits: (1..=200).map(Duration::from_millis).collect() };
        assert_eq!(run.percentile(50), Duration::from_millis(101));
        assert_eq!(run.percentile(99), Duration::from_millis(199));
        assert_eq!(run.percentile(100), Duration::from_millis(200));
        assert_eq!(Run { took: Duration::ZERO, waits: Vec::new() }.percentile(50), Duration::ZERO);
    }
}
