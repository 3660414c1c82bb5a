//! Chosen messages leave the queue, in its order: each is handed on first, where it has somewhere to go, and then acked. It is over
//! when a pass over the queue meets none of them any more: a broker does not confirm acks, and loses some at the end of a channel.
//!
//! Killed at any moment, it loses nothing: what is not acked is put back by the broker. What was handed on and not acked is handed on
//! once more by the next run, as the same generation of the job.

use super::super::exit::Exit;
use super::super::problem::{NO_TOPOLOGY, Problem};
use super::super::progress::Progress;
use super::super::stop::Stop;
use super::super::terminal::say;
use super::chosen::Chosen;
use super::source::{Source, problem};
use crate::amqp::{Destination, Fingerprint, Held, Link, NotPublished, Pass, Publisher, close};
use antispoof_core::ports::PublishError;
use antispoof_core::retry::Backoff;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Handed on together: enough to hide the round trip, and few enough to be repeated after a SIGKILL.
const BATCH: usize = 64;

/// A broker ends a consumer that does not ack for half an hour. A slow replay holds what it passes over for less than that.
const LONGEST_PASS: Duration = Duration::from_mins(10);

/// Before the next look for what another consumer has, or the end of a connection that was lost.
const HELD_ELSEWHERE: Duration = Duration::from_secs(1);

/// Connections that are lost one after another without a message getting through.
const MOST_LOSSES: u32 = 5;

/// Messages on their way out of the queue.
pub(super) struct Removal<'a> {
    source: &'a Source,
    remaining: HashMap<Fingerprint, u32>,
    /// Handed on and acked. When the broker brings one of them again, its ack was lost.
    handed_on: HashSet<Fingerprint>,
    done: u64,
    /// Acks that were sent.
    acks: u64,
    total: u64,
    pace: Option<Pace>,
    progress: Progress,
}

/// Why it ended.
pub(super) enum Ended {
    /// All that were still in the queue are gone.
    Done,
    /// A signal came.
    Interrupted,
}

/// How a pass ended.
enum PassEnded {
    /// Every message that could be had has been seen.
    Complete {
        other_consumers: u32,
    },
    TooLong,
    Interrupted,
}

enum Failed {
    /// The next pass may succeed.
    Lost(Problem),
    /// It would not.
    Final(Problem),
}

struct Pace {
    interval: Duration,
    next: Instant,
}

impl<'a> Removal<'a> {
    /// `rate`: so many a second.
    pub(super) fn new(source: &'a Source, chosen: Chosen, rate: Option<u32>, what: &'static str) -> Self {
        Self {
            source,
            remaining: chosen.fingerprints,
            handed_on: HashSet::new(),
            done: 0,
            acks: 0,
            total: chosen.count,
            pace: rate.map(|rate| Pace { interval: Duration::from_secs(1) / rate.max(1), next: Instant::now() }),
            progress: Progress::counting(chosen.count, what),
        }
    }

    /// Says how many were `removed` or `replayed` when it is done. Those that were not had left the queue before.
    pub(super) fn report_done(&self, what: &str) -> Exit {
        let progress = format!("{} {what}", self.progress());
        if self.done == self.total {
            say(&progress);
            return Exit::Ok;
        }
        say(&format!("{progress}; the others were not in the queue any more (another command, or a policy?)"));
        Exit::Failed
    }

    /// Passes over the queue until it meets none of them, with a new connection after one that was lost. The messages are handed on to
    /// `to`, if anywhere.
    pub(super) async fn run(&mut self, stop: &mut Stop, to: Option<Destination>) -> Result<Ended, Problem> {
        let ended = self.passes(stop, to).await;
        if !matches!(ended, Ok(Ended::Done)) && !self.handed_on.is_empty() {
            // No more are handed on, but those that were must not stay.
            self.remaining.clear();
            if let Err(problem) = self.passes(stop, to).await {
                self.progress.aside(|| problem.report());
            }
        }
        self.progress.finish();
        ended
    }

    async fn passes(&mut self, stop: &mut Stop, to: Option<Destination>) -> Result<Ended, Problem> {
        let backoff = Backoff::try_new(Duration::from_millis(500), Duration::from_secs(10)).map_err(Problem::failed)?;
        // A broker holds what a connection had until it has noticed that nothing is at its other end.
        let patience = 2 * self.source.settings.amqp.heartbeat + Duration::from_secs(10);
        let mut until = Instant::now() + patience;
        let mut losses = 0;
        loop {
            let before = self.acks;
            let ended = self.pass(stop, to).await;
            let acked = self.acks > before;
            if acked {
                until = Instant::now() + patience;
            }
            let pause = match ended {
                Ok(PassEnded::Interrupted) => return Ok(Ended::Interrupted),
                Ok(PassEnded::TooLong) => continue,
                Ok(PassEnded::Complete { .. }) if acked => continue,
                Ok(PassEnded::Complete { other_consumers: 1.. })
                    if !self.remaining.is_empty() && Instant::now() < until =>
                {
                    HELD_ELSEWHERE
                }
                Ok(PassEnded::Complete { .. }) => return Ok(Ended::Done),
                Err(Failed::Final(problem)) => return Err(problem),
                Err(Failed::Lost(problem)) => {
                    losses = if acked { 1 } else { losses + 1 };
                    if losses > MOST_LOSSES {
                        return Err(problem);
                    }
                    self.progress.aside(|| {
                        problem.report();
                        say("connecting again");
                    });
                    backoff.wait(losses - 1, fastrand::f64())
                }
            };
            tokio::select! {
                () = stop.asked() => return Ok(Ended::Interrupted),
                () = sleep(pause) => {}
            }
        }
    }

    async fn pass(&mut self, stop: &mut Stop, to: Option<Destination>) -> Result<PassEnded, Failed> {
        // Two connections: an alarm stops everything on the one that publishes, and acks are not to wait for it.
        let reading = self.source.connect().await.map_err(Failed::Lost)?;
        let writing = match to {
            Some(to) => {
                let link = self.source.connect().await.map_err(Failed::Lost)?;
                let limit = self.source.settings.amqp.publish_timeout;
                let publisher = Publisher::open(&link, &self.source.names, to, limit).await;
                let publisher = publisher.map_err(|why| Failed::of(why, true))?;
                Some((link, publisher))
            }
            None => None,
        };
        let publisher = writing.as_ref().map(|(_, publisher)| publisher);
        let ended = self.walk(&reading, publisher, stop).await;
        close(&reading).await;
        if let Some((link, _)) = &writing {
            close(link).await;
        }
        ended
    }

    async fn walk(&mut self, link: &Link, publisher: Option<&Publisher>, stop: &mut Stop) -> Result<PassEnded, Failed> {
        let mut pass = self.source.begin(link).await.map_err(Failed::Lost)?;
        let mut batch = Vec::new();
        let walked = self.walk_over(&mut pass, &mut batch, publisher, stop).await;
        // What was not handed on is still to be done by a next pass.
        for (fingerprint, _) in batch {
            *self.remaining.entry(fingerprint).or_default() += 1;
        }
        let ended = walked?;
        pass.end().await.map_err(|error| Failed::Lost(problem(error)))?;
        Ok(ended)
    }

    /// To the end of the queue, also when nothing remains: a message whose ack was lost may be anywhere.
    async fn walk_over(
        &mut self,
        pass: &mut Pass,
        batch: &mut Vec<(Fingerprint, Held)>,
        publisher: Option<&Publisher>,
        stop: &mut Stop,
    ) -> Result<PassEnded, Failed> {
        let lost = |error| Failed::Lost(problem(error));
        let complete = PassEnded::Complete { other_consumers: pass.other_consumers() };
        let until = Instant::now() + LONGEST_PASS;
        loop {
            let next = tokio::select! {
                biased;
                () = stop.asked() => return Ok(PassEnded::Interrupted),
                next = pass.next() => next.map_err(lost)?,
            };
            let at_the_end = next.is_none();
            if let Some(held) = next {
                let fingerprint = held.message.fingerprint();
                if !held.redelivered {
                    // It has come since the look. From now on it cannot be told from an equal one whose ack was lost, and is not to be lost.
                    self.handed_on.remove(&fingerprint);
                } else if take(&mut self.remaining, &fingerprint) {
                    batch.push((fingerprint, held));
                } else if self.handed_on.contains(&fingerprint) {
                    self.acks += 1;
                    pass.ack(held).await.map_err(lost)?;
                }
            }
            if batch.len() == self.batch_size() || at_the_end || self.remaining.is_empty() {
                if let Some(pace) = &self.pace
                    && !batch.is_empty()
                {
                    tokio::select! {
                        () = stop.asked() => return Ok(PassEnded::Interrupted),
                        () = sleep_until(pace.next) => {}
                    }
                }
                self.hand_on(pass, batch, publisher).await?;
            }
            if at_the_end {
                return Ok(complete);
            }
            if Instant::now() >= until {
                return Ok(PassEnded::TooLong);
            }
        }
    }

    /// Empties `batch`, but for what was not confirmed.
    async fn hand_on(
        &mut self,
        pass: &mut Pass,
        batch: &mut Vec<(Fingerprint, Held)>,
        publisher: Option<&Publisher>,
    ) -> Result<(), Failed> {
        if batch.is_empty() {
            return Ok(());
        }
        let messages: Vec<_> = batch.iter().map(|(_, held)| &held.message).collect();
        let outcome = match publisher {
            Some(publisher) => publisher.publish(&messages).await,
            None => Ok(()),
        };
        let (confirmed, failed) = match outcome {
            Ok(()) => (batch.len(), None),
            Err(NotPublished { why, confirmed, may_pass }) => (confirmed, Some(Failed::of(why, may_pass))),
        };
        if let Some(pace) = &mut self.pace {
            // A broker that was slow is not caught up with in a burst.
            pace.next = pace.next.max(Instant::now()) + pace.interval * u32::try_from(confirmed).unwrap_or(u32::MAX);
        }
        let confirmed: Vec<_> = batch.drain(..confirmed).collect();
        // All of them before the first ack, which may fail.
        self.handed_on.extend(confirmed.iter().map(|(fingerprint, _)| *fingerprint));
        self.done += confirmed.len() as u64;
        self.acks += confirmed.len() as u64;
        self.progress.published(self.done);
        for (_, held) in confirmed {
            pass.ack(held).await.map_err(|error| Failed::Lost(problem(error)))?;
        }
        failed.map_or(Ok(()), Err)
    }

    /// How many are handed on at once: with a rate, a tenth of a second's worth.
    fn batch_size(&self) -> usize {
        let Some(pace) = &self.pace else { return BATCH };
        let tenth = Duration::from_millis(100).as_nanos() / pace.interval.as_nanos().max(1);
        usize::try_from(tenth).unwrap_or(BATCH).clamp(1, BATCH)
    }

    /// `312 of 714 jobs`.
    pub(super) fn progress(&self) -> String {
        format!("{} of {}", self.done, super::chosen::jobs(self.total))
    }
}

impl Failed {
    fn of(why: PublishError, may_pass: bool) -> Self {
        let unbound = matches!(why, PublishError::Unroutable { .. });
        let problem = Problem::unreachable(why).maybe_hint(unbound.then_some(NO_TOPOLOGY));
        if may_pass { Self::Lost(problem) } else { Self::Final(problem) }
    }
}

/// Takes one of them, if there is one.
fn take(counts: &mut HashMap<Fingerprint, u32>, fingerprint: &Fingerprint) -> bool {
    let Some(count) = counts.get_mut(fingerprint) else { return false };
    *count -= 1;
    if *count == 0 {
        counts.remove(fingerprint);
    }
    true
}
