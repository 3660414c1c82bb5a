//! One session from its first publish to its end: it consumes as the worker wants, passes on leases, and finds out what ends it.

use super::acks::Acks;
use super::connect::Link;
use super::consume_mode::ConsumeState;
use super::depths::count;
use super::inbox::JobLease;
use super::observer::{Consumed, Observer};
use super::outbox::Outbox;
use super::reply::is_forced;
use super::session::Session;
use super::session_failure::SessionFailure;
use super::shared::Shared;
use super::slow_start::{Loss, SOON, SlowStart};
use super::subscription::Subscription;
use super::watchdog::{Alarm, Liveness, watch};
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

/// The connections and channels of a session.
pub(super) struct Parts {
    pub(super) consume: Link,
    pub(super) publish: Link,
    pub(super) channel: Channel,
    pub(super) probe: Channel,
}

/// A session that is up.
pub(super) struct SessionLoop<'a> {
    shared: &'a Shared,
    parts: &'a Parts,
    leases: &'a mpsc::Sender<JobLease>,
    observer: &'a Arc<dyn Observer>,
    stop: &'a CancellationToken,
    failure: SessionFailure,
    liveness: Liveness,
    subscription: Subscription<'a>,
    acks: Arc<Acks>,
    /// The prefetch that is consumed with; 0 before the first time.
    prefetch: u16,
    /// That this session consumes has been logged.
    logged: bool,
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

impl<'a> SessionLoop<'a> {
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
            failure: SessionFailure::default(),
            liveness: Liveness::default(),
            subscription: Subscription::new(&parts.channel, &shared.names.jobs),
            acks: Acks::of(parts.channel.clone()),
            prefetch: 0,
            logged: false,
            active: Instant::now(),
            forced: false,
            silent: false,
        }
    }

    /// Runs to the end and returns why it ended. `start` says how much may be in flight, and takes the end into account.
    pub(super) async fn run(mut self, start: &mut SlowStart) -> String {
        let (shared, observer) = (self.shared, self.observer);
        // Three more than the jobs in flight, so that no event waits for a channel: one for a message that is no job, one for a dead letter,
        // and one to spare.
        let channels = start.full().saturating_add(3);
        let limit = shared.settings.publish_timeout;
        let (publish, failure) = (self.parts.publish.clone(), self.failure.clone());
        let outbox = Outbox::of_session(publish, channels, limit, failure, Some(observer.clone()));
        let session = Arc::new(Session { outbox, failure: self.failure.clone() });
        shared.session.send_replace(Some(session.clone()));
        observer.connected(true);
        self.acks.clone().write_until(self.failure.clone(), &shared.tasks);

        let reason = self.until_failure(start, &session).await;
        let ended = Instant::now();
        self.failure.report(reason.clone());
        if !self.stop.is_cancelled() {
            self.assess_end(start, &session, &reason, ended).await;
        }
        reason
    }

    async fn until_failure(&mut self, start: &mut SlowStart, session: &Session) -> String {
        let (shared, stop) = (self.shared, self.stop);
        let (failure, liveness) = (self.failure.clone(), self.liveness.clone());
        let mut events = events(self.parts);
        let Parts { probe, publish, .. } = self.parts;
        let interval = shared.settings.watchdog_interval;
        let mut counting = pin!(count(publish, &shared.names, interval, &shared.depths, &shared.consuming));
        let mut alarm = pin!(watch(probe, publish, &shared.names.jobs, interval, &liveness));
        let limit = shared.settings.connect_timeout;
        let mut first_publish = pin!(timeout(limit, session.outbox.prove(&shared.names.internal)));
        // Nothing is consumed before the broker has taken a message: a job would be paid for, and its event not published.
        let mut known = false;
        let mut mode = shared.mode.subscribe();
        mode.mark_changed();
        loop {
            let changed = tokio::select! {
                biased;
                () = stop.cancelled() => return "stopping".to_owned(),
                reason = failure.wait() => return reason,
                event = events.next() => {
                    if let Some(reason) = self.on_event(event, session) { return reason }
                    known |= session.outbox.blocked();
                    continue;
                }
                proven = &mut first_publish, if !known => {
                    match proven {
                        Ok(Ok(())) => known = true,
                        Ok(Err(error)) => return format!("publish a first message to {}: {error}", shared.names.internal),
                        Err(_) => return format!("publish a first message: no confirm from the broker within {limit:?}"),
                    }
                    continue;
                }
                changed = mode.changed(), if known => {
                    if changed.is_err() { return "the worker is gone".to_owned() }
                    true
                }
                ended = liveness.one_ended() => {
                    self.active = Instant::now();
                    start.ended(ended)
                }
                delivery = self.subscription.next() => match delivery {
                    Some(Ok(delivery)) => {
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
                never = &mut counting => match never {},
                Alarm { reason, silent } = &mut alarm => {
                    self.silent |= silent;
                    return reason;
                }
            };
            if changed {
                let wanted = *mode.borrow_and_update();
                let prefetch = wanted.prefetch(start.window());
                if prefetch == self.prefetch && *shared.consuming.borrow() == ConsumeState::As(wanted) {
                    continue;
                }
                shared.consuming.send_replace(ConsumeState::Changing);
                if let Err(reason) = self.consume(prefetch, start.full()).await {
                    return reason;
                }
                shared.consuming.send_replace(ConsumeState::As(wanted));
            }
        }
    }

    /// Consumes with another prefetch, and passes on what had been delivered before.
    async fn consume(&mut self, prefetch: u16, full: u16) -> Result<(), String> {
        let jobs = &self.shared.names.jobs;
        self.liveness.set_prefetch(prefetch);
        // Before the request: the first delivery may end the session before the answer is here.
        self.prefetch = prefetch;
        self.active = Instant::now();
        // A broker that does not answer must not delay the end of the process, nor of a session that is lost.
        let consuming = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err("stopping".to_owned()),
            reason = self.failure.wait() => return Err(reason),
            consuming = timeout(self.shared.settings.connect_timeout, self.subscription.set_prefetch(prefetch)) => consuming,
        };
        let left_over = match consuming {
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
        if prefetch > 0 && !self.logged {
            self.logged = true;
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

    /// Gives a lease to the worker. The inbox has room as a rule. Behind jobs of lost sessions that still run it can be full, and waiting
    /// for room must not hide that this session is lost, too.
    async fn pass_on(&mut self, delivery: Delivery) {
        self.active = Instant::now();
        self.observer.delivered(delivery.redelivered);
        let (failure, in_flight) = (self.failure.clone(), self.liveness.delivered());
        let lease = JobLease::new(delivery, &self.acks, failure, in_flight, self.shared.tasks.clone());
        tokio::select! {
            biased;
            sent = self.leases.send(lease) => if sent.is_err() { self.failure.report("the worker is gone".to_owned()) },
            () = self.stop.cancelled() => {}
            _reported = self.failure.wait() => {}
        }
    }

    /// Returns why the session has to end, if it has to.
    fn on_event(&mut self, event: Option<(Side, Event)>, session: &Session) -> Option<String> {
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

    /// Decides how the next session has to begin.
    async fn assess_end(&self, start: &mut SlowStart, session: &Session, reason: &str, ended: Instant) {
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
        } else {
            // Before the next session is there: the reader of dead letters waits for that, and then looks here.
            self.shared.lost.send_replace(Some(ended));
        }
        // Logged once for each such message, as far as that is known.
        if cut && !start.singly() {
            warn!(
                reason,
                "the connection that consumes from {} is of no use any more, and the broker is there: a message may not be deliverable. Jobs are taken one at a time until \
                 those that were in hand are through; the broker moves such a message to {} after 20 deliveries",
                names.jobs,
                names.dead
            );
        }
        start.lost(loss, self.liveness.in_flight());
    }
}

fn events(parts: &Parts) -> impl Stream<Item = (Side, Event)> + Unpin + use<> {
    stream::select(
        parts.consume.events_listener().map(|event| (Side::Consume, event)).boxed(),
        parts.publish.events_listener().map(|event| (Side::Publish, event)).boxed(),
    )
}
