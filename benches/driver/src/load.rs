//! Publishes jobs, collects their verdicts, and takes the time between the two.
#![expect(clippy::print_stderr, reason = "says what a worker should not do")]

use super::broker::Broker;
use super::stats::count;
use anyhow::{Context as _, Result, bail, ensure};
use futures_util::StreamExt as _;
use lapin::Consumer;
use lapin::message::Delivery;
use std::collections::HashMap;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

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
    /// Events of jobs that had one already.
    pub(crate) repeated: u32,
}

/// The jobs to hand out, over and over.
#[derive(Clone, Copy)]
pub(crate) struct Jobs<'a> {
    pub(crate) queue: &'a str,
    pub(crate) bodies: &'a [String],
    /// So many, or fewer where the time is up before: it begins when as many verdicts have come in as jobs may be out.
    pub(crate) count: u32,
    pub(crate) within: Duration,
}

/// What came of a run.
pub(crate) struct Run {
    pub(crate) jobs: u32,
    /// From the first publish to the last verdict.
    pub(crate) took: Duration,
    /// From when each job was due to be published to its verdict, ascending.
    pub(crate) waits: Vec<Duration>,
    /// Verdicts a second while the window was full.
    pub(crate) rate: f64,
}

/// Jobs that have been published and have no verdict yet.
#[derive(Default)]
struct Out {
    due: HashMap<String, Instant>,
    published: u32,
}

impl Load {
    pub(crate) async fn new(broker: Broker) -> Result<Self> {
        let verdicts = broker.verdicts().await.context("collect the verdicts")?;
        Ok(Self { broker, verdicts, runs: 0, repeated: 0 })
    }

    /// Hands out the jobs and returns when every one has its verdict. Anything but a verdict is an error; a second one is counted.
    pub(crate) async fn run(&mut self, jobs: &Jobs<'_>, pace: Pace) -> Result<Run> {
        self.runs += 1;
        let started = Instant::now();
        let mut deadline = None;
        let (window, mut ticks) = match pace {
            Pace::Window(window) => (window as usize, None),
            Pace::Every(gap) => (0, Some(metronome(started, gap, jobs.count))),
        };
        let mut out = Out::default();
        let mut waits = Vec::new();
        // Verdicts, and when they had come in: at the first moment and at the last one when the window was full.
        let mut full: [Option<(usize, Instant)>; 2] = [None, None];
        loop {
            let handing_out = |out: &Out| out.published < jobs.count && deadline.is_none_or(|end| Instant::now() < end);
            while ticks.is_none() && out.due.len() < window && handing_out(&out) {
                self.publish(jobs, Instant::now(), &mut out).await?;
            }
            let handing_out = handing_out(&out);
            if !handing_out && out.due.is_empty() {
                break;
            }
            if handing_out && waits.len() >= window {
                let now = Instant::now();
                let moment = Some((waits.len(), now));
                deadline = deadline.or_else(|| now.checked_add(jobs.within));
                full = [full[0].or(moment), moment];
            }
            tokio::select! {
                due = next_tick(&mut ticks), if handing_out && ticks.is_some() => {
                    self.publish(jobs, due.context("the metronome stopped")?, &mut out).await?;
                }
                verdict = timeout(PATIENCE, self.verdicts.next()), if !out.due.is_empty() || ticks.is_none() => {
                    let verdict = verdict.context("no verdict came for a minute")?.context("the broker hung up")??;
                    let id = job_id(&verdict)?;
                    match out.due.remove(&id) {
                        Some(due) => waits.push(due.elapsed()),
                        None => self.repeat(&id)?,
                    }
                }
            }
        }
        let took = started.elapsed();
        let rate = rate(full).unwrap_or_else(|| count(waits.len() as u64) / took.as_secs_f64());
        waits.sort_unstable();
        Ok(Run { jobs: out.published, took, waits, rate })
    }

    /// Hands out the jobs at once, and waits for nothing.
    pub(crate) async fn hand_out(&mut self, jobs: &Jobs<'_>) -> Result<()> {
        self.runs += 1;
        let mut out = Out::default();
        while out.published < jobs.count {
            self.publish(jobs, Instant::now(), &mut out).await?;
        }
        Ok(())
    }

    /// Collects so many verdicts of what was handed out.
    pub(crate) async fn collect(&mut self, count: u32) -> Result<()> {
        let of_this_run = format!("{}-", self.runs);
        let mut left = count;
        while left > 0 {
            let verdict = timeout(PATIENCE, self.verdicts.next()).await.context("no verdict came for a minute")?;
            let id = job_id(&verdict.context("the broker hung up")??)?;
            if id.starts_with(&of_this_run) {
                left -= 1;
            } else {
                self.repeat(&id)?;
            }
        }
        Ok(())
    }

    /// An event of a job that is not out: of one that was, as far as its id says, or it is a fault.
    fn repeat(&mut self, id: &str) -> Result<()> {
        let run = id.split_once('-').and_then(|(run, _)| run.parse::<u32>().ok());
        ensure!(run.is_some_and(|run| run <= self.runs), "an event of no job that was out: {id}");
        self.repeated += 1;
        eprintln!("a second event of job {id}, in run {}: a job that was done was delivered again", self.runs);
        Ok(())
    }

    async fn publish(&self, jobs: &Jobs<'_>, due: Instant, out: &mut Out) -> Result<()> {
        ensure!(!jobs.bodies.is_empty(), "there are no jobs");
        let id = format!("{}-{}", self.runs, out.published);
        let body = &jobs.bodies[out.published as usize % jobs.bodies.len()];
        out.published += 1;
        out.due.insert(id.clone(), due);
        self.broker.publish(jobs.queue, body.as_bytes(), &id).await
    }
}

/// Says when each job is due, at that time to some tens of microseconds; the runtime's own timers have milliseconds.
fn metronome(started: Instant, gap: Duration, count: u32) -> UnboundedReceiver<Instant> {
    let (ticks, receiver) = unbounded_channel();
    thread::spawn(move || {
        // Nothing is ever sent: waiting for it is a sleep that is as exact as the kernel's.
        let (_nothing, never) = mpsc::channel::<()>();
        for number in 0..count {
            let due = started + gap * number;
            let left = due.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                never.recv_timeout(left).ok();
            }
            if ticks.send(due).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn next_tick(ticks: &mut Option<UnboundedReceiver<Instant>>) -> Option<Instant> {
    match ticks {
        Some(ticks) => ticks.recv().await,
        None => None,
    }
}

fn rate(full: [Option<(usize, Instant)>; 2]) -> Option<f64> {
    let ((before, since), (after, until)) = full[0].zip(full[1])?;
    let took = until.duration_since(since);
    (after > before).then(|| count((after - before) as u64) / took.as_secs_f64())
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
    fn the_rate_is_that_of_a_full_window() {
        let start = Instant::now();
        let moment = |verdicts, millis| Some((verdicts, start + Duration::from_millis(millis)));
        assert!((rate([moment(32, 100), moment(132, 600)]).unwrap() - 200.0).abs() < 1e-9);
        assert_eq!(rate([None, None]), None);
        assert_eq!(rate([moment(32, 100), moment(32, 100)]), None);
    }

    #[tokio::test]
    async fn the_metronome_says_when_each_job_is_due_and_not_before() {
        let (start, gap) = (Instant::now(), Duration::from_millis(2));
        let mut ticks = Some(metronome(start, gap, 3));
        for number in 0..3 {
            let due = next_tick(&mut ticks).await.unwrap();
            assert_eq!(due, start + gap * number);
            assert!(Instant::now() >= due);
        }
        assert_eq!(next_tick(&mut ticks).await, None);
    }
}
