//! The life of one session: what it is told to consume, what it passes on, and what ends it.

use super::connect::Link;
use super::inbox::JobLease;
use super::outbox::Outbox;
use super::session::{Met, Session, Trouble};
use super::slow_start::{Loss, SOON, SlowStart};
use super::subscription::Subscription;
use super::watchdog::{Pulse, watch};
use super::{Consumed, Observer, Shared, reply_code};
use futures_util::Stream;
use futures_util::stream::{self, StreamExt as _};
use lapin::message::Delivery;
use lapin::{Channel, Event};
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// `connection-forced`: the broker stops, or somebody has closed the connection there.
const CONNECTION_FORCED: u16 = 320;

/// What a session is made of.
pub(super) struct Parts {
    pub(super) consume: Link,
    pub(super) publish: Link,
    pub(super) channel: Channel,
    pub(super) probe: Channel,
}

/// A session that is up.
pub(super) struct Life<'a> {
    shared: &'a Shared,
    parts: &'a Parts,
    leases: &'a mpsc::Sender<JobLease>,
    observer: &'a Arc<dyn Observer>,
    stop: &'a CancellationToken,
    trouble: Trouble,
    pulse: Arc<Pulse>,
    subscription: Subscription<'a>,
    /// What is consumed with; 0 before the first time.
    prefetch: u16,
    told: bool,
    /// When there last was a delivery, or room for one.
    active: Instant,
    /// The broker has closed a connection because it wanted to.
    forced: bool,
    /// The broker does not answer on the consuming connection.
    silent: bool,
}

#[derive(Clone, Copy, Debug)]
enum Side {
    Consume,
    Publish,
}

impl<'a> Life<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        parts: &'a Parts,
        leases: &'a mpsc::Sender<JobLease>,
        observer: &'a Arc<dyn Observer>,
        stop: &'a CancellationToken,
    ) -> Self {
        Self {
            shared,
            parts,
            leases,
            observer,
            stop,
            trouble: Trouble::default(),
            pulse: Arc::default(),
            subscription: Subscription::new(&parts.channel, &shared.names.jobs),
            prefetch: 0,
            told: false,
            active: Instant::now(),
            forced: false,
            silent: false,
        }
    }

    /// Runs to the end and says why it ended. `start` says how much may be in hand, and learns from the end.
    pub(super) async fn run(mut self, start: &mut SlowStart) -> String {
        let (shared, observer) = (self.shared, self.observer);
        // Two more than the jobs in flight: an operator's command or an event of a message that is no job never waits for a channel. And one for what the
        // broker has dropped.
        let channels = start.full().saturating_add(3);
        let limit = shared.settings.publish_timeout;
        let (publish, trouble) = (self.parts.publish.clone(), self.trouble.clone());
        let outbox = Outbox::of_session(publish, channels, limit, trouble, Some(observer.clone()));
        let session = Arc::new(Session { outbox, trouble: self.trouble.clone() });
        shared.session.send_replace(Some(session.clone()));
        observer.connected(true);

        let reason = self.live(start, &session).await;
        self.trouble.report(reason.clone());
        if !self.stop.is_cancelled() {
            self.learn(start, &session, &reason).await;
        }
        reason
    }

    async fn live(&mut self, start: &mut SlowStart, session: &Session) -> String {
        let (shared, stop) = (self.shared, self.stop);
        let trouble = self.trouble.clone();
        let pulse = self.pulse.clone();
        let mut events = events(self.parts);
        let Parts { probe, publish, .. } = self.parts;
        let interval = shared.settings.watchdog_interval;
        let mut bark = pin!(watch(probe, publish, &shared.names.jobs, interval, &pulse, &shared.waiting));
        let limit = shared.settings.connect_timeout;
        let mut proof = pin!(timeout(limit, session.outbox.prove(&shared.names.internal)));
        // Before it is known whether the broker takes messages, nothing is consumed: the next job would be paid for.
        let mut known = false;
        let mut demand = shared.demand.subscribe();
        demand.mark_changed();
        loop {
            let changed = tokio::select! {
                biased;
                () = stop.cancelled() => return "stopping".to_owned(),
                reason = trouble.wait() => return reason,
                event = events.next() => {
                    if let Some(reason) = self.heed(event, session) { return reason }
                    known |= session.outbox.blocked();
                    continue;
                }
                proven = &mut proof, if !known => {
                    match proven {
                        Ok(Ok(())) => known = true,
                        Ok(Err(error)) => return format!("publish a first message to {}: {error}", shared.names.internal),
                        Err(_) => return format!("publish a first message: no confirm from the broker within {limit:?}"),
                    }
                    continue;
                }
                changed = demand.changed(), if known => {
                    if changed.is_err() { return "the worker is gone".to_owned() }
                    true
                }
                ended = pulse.ended() => {
                    self.active = Instant::now();
                    start.ended(ended)
                }
                delivery = self.subscription.next() => match delivery {
                    Some(Ok(delivery)) => {
                        pulse.beat();
                        let first_time = !delivery.redelivered;
                        self.pass_on(delivery).await;
                        if first_time {
                            start.fresh();
                        }
                        continue;
                    }
                    Some(Err(error)) => {
                        self.forced |= is_forced(&error);
                        return format!("consumer: {error}");
                    }
                    // The queue was deleted, or a job was held for longer than the broker's consumer timeout.
                    None => return "the broker cancelled the consumer".to_owned(),
                },
                (reason, silent) = &mut bark => {
                    self.silent |= silent;
                    return reason;
                }
            };
            if changed {
                let demanded = *demand.borrow_and_update();
                let prefetch = demanded.prefetch(start.window());
                if prefetch == self.prefetch && *shared.met.borrow() == Met::As(demanded) {
                    continue;
                }
                shared.met.send_replace(Met::Changing);
                if let Err(reason) = self.consume(prefetch, start.full()).await {
                    return reason;
                }
                shared.met.send_replace(Met::As(demanded));
            }
        }
    }

    /// Consumes with another prefetch, and passes on what had been delivered before.
    async fn consume(&mut self, prefetch: u16, full: u16) -> Result<(), String> {
        let jobs = &self.shared.names.jobs;
        self.pulse.expect(prefetch);
        // Before it is asked for: the first delivery may end the session before the answer is here.
        self.prefetch = prefetch;
        self.active = Instant::now();
        // A broker that does not answer must not delay the end of the process, nor of a session that is lost.
        let met = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err("stopping".to_owned()),
            reason = self.trouble.wait() => return Err(reason),
            met = timeout(self.shared.settings.connect_timeout, self.subscription.meet(prefetch)) => met,
        };
        let left_over = match met {
            Ok(Ok(left_over)) => left_over,
            Ok(Err(error)) => {
                self.forced |= is_forced(&error);
                return Err(format!("consume from {jobs}: {error}"));
            }
            Err(_) => {
                self.silent = true;
                return Err(format!("consume from {jobs}: no answer from the broker"));
            }
        };
        self.observer.consuming(prefetch > 0);
        if prefetch > 0 && !self.told {
            self.told = true;
            let broker = self.parts.consume.broker();
            let few = if prefetch < full { format!(", at first {prefetch} at a time") } else { String::new() };
            info!(
                prefetch,
                broker.product = broker.name(),
                broker.version = broker.version(),
                "connected to the broker, {broker}, consuming from {jobs}{few}"
            );
        } else {
            debug!(prefetch, "at most {prefetch} in hand from {jobs}");
        }
        for delivery in left_over {
            self.pass_on(delivery).await;
        }
        Ok(())
    }

    /// Gives a lease to the worker. There is room as a rule; behind jobs of lost sessions that still run it can be full, and waiting for room
    /// must not hide that this session is lost, too.
    async fn pass_on(&mut self, delivery: Delivery) {
        self.active = Instant::now();
        self.observer.delivered(delivery.redelivered);
        let lease = JobLease::new(delivery, self.trouble.clone(), self.pulse.in_hand());
        tokio::select! {
            biased;
            sent = self.leases.send(lease) => if sent.is_err() { self.trouble.report("the worker is gone".to_owned()) },
            () = self.stop.cancelled() => {}
            _reported = self.trouble.wait() => {}
        }
    }

    /// Says why the session has to end, if it has to.
    fn heed(&mut self, event: Option<(Side, Event)>, session: &Session) -> Option<String> {
        match event {
            Some((Side::Publish, Event::ConnectionBlocked(why))) => {
                warn!(why, "the broker blocks publishing, no new call is made until it has recovered: {why}");
                session.outbox.set_blocked(true);
                self.observer.blocked(true);
                None
            }
            Some((Side::Publish, Event::ConnectionUnblocked)) => {
                info!("the broker takes messages again");
                session.outbox.set_blocked(false);
                self.observer.blocked(false);
                None
            }
            Some((side, Event::Error(error))) => {
                self.forced |= is_forced(&error);
                Some(format!("{side:?} connection: {error}"))
            }
            Some(_) => None,
            None => Some("the connections ended".to_owned()),
        }
    }

    /// What the end of this session says about how the next one has to begin.
    async fn learn(&self, start: &mut SlowStart, session: &Session, reason: &str) {
        let cut = !self.forced
            && self.prefetch > 0
            && (self.silent || !self.parts.consume.status().connected())
            && session.outbox.answers_soon().await;
        let loss = if cut {
            Loss::Cut
        } else if self.prefetch > 0 && self.active.elapsed() < SOON {
            Loss::Busy
        } else {
            Loss::Idle
        };
        let names = &self.shared.names;
        if cut {
            self.observer.cut(Consumed::Jobs);
        }
        // Said once of each such message, as far as can be told.
        if cut && !start.singly() {
            warn!(
                reason,
                "the connection that consumes from {} is of no use any more, and the broker is there: a message may not be deliverable. Jobs are taken one at a time until \
                 those that were in hand are through; the broker moves such a message to {} after 20 deliveries",
                names.jobs,
                names.dead
            );
        }
        start.lost(loss, self.pulse.held());
    }
}

pub(super) fn is_forced(error: &lapin::Error) -> bool {
    reply_code(error) == Some(CONNECTION_FORCED)
}

fn events(parts: &Parts) -> impl Stream<Item = (Side, Event)> + Unpin + use<> {
    stream::select(
        parts.consume.events_listener().map(|event| (Side::Consume, event)).boxed(),
        parts.publish.events_listener().map(|event| (Side::Publish, event)).boxed(),
    )
}
