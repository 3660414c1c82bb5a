//! Reads the dead queue, so that each job that the broker took off the job queue by itself gets its event.
//!
//! The reader has a connection of its own and one message in flight, and nothing pauses it: no call is made for it. A message that
//! the broker cannot deliver ends only this connection, until the delivery limit of the dead queue moves it into the parked queue. Such
//! a message gets no event: its body was never read.

use super::acks::Acks;
use super::connect::{ConnectError, Link, Role, connect};
use super::inbox::JobLease;
use super::observer::{Consumed, Observer};
use super::reply::{NOT_FOUND, is_forced, reply_code};
use super::session_failure::SessionFailure;
use super::shared::Shared;
use super::subscription::Subscription;
use super::watchdog::{Alarm, Liveness, watch};
use crate::settings::TopologyMode;
use antispoof_core::ports::Lease as _;
use antispoof_core::retry::Backoff;
use futures_util::future;
use futures_util::stream::StreamExt as _;
use lapin::{Channel, Event};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

/// One at a time: these messages are few, and each takes milliseconds.
const PREFETCH: u16 = 1;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// After a connection that lived so long the next one starts again with the shortest pause.
const STABLE_AFTER: Duration = Duration::from_secs(30);

/// A session that was cut off is followed by another within this.
const NEXT_SESSION: Duration = Duration::from_secs(2);
/// Connections that end within this time of each other have ended for one reason.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Bounds the closing handshake of a connection that may be dead.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("open a channel: {0}")]
    Channel(lapin::Error),
    #[error("consume from {queue}: {source}")]
    Consume { queue: String, source: lapin::Error },
    #[error("consume from {0}: no answer from the broker")]
    Silent(String),
}

/// A connection that consumes.
struct Reader<'a> {
    link: &'a Link,
    probe: Channel,
    subscription: Subscription<'a>,
}

pub(super) async fn run(
    shared: Arc<Shared>,
    leases: mpsc::Sender<JobLease>,
    observer: Arc<dyn Observer>,
    stop: CancellationToken,
) {
    // Dropped, it ends the inbox.
    let mut leases = Some(leases);
    let Ok(backoff) = Backoff::try_new(FIRST_PAUSE, LONGEST_PAUSE) else { return };
    let queue = &shared.names.dead;
    let mut failures: u32 = 0;
    loop {
        // A session has declared the queue, and can publish what becomes of its messages.
        let mut sessions = shared.session.subscribe();
        let session = shared.read_no_more.run_until_cancelled(sessions.wait_for(Option::is_some));
        if !matches!(stop.run_until_cancelled(session).await, Some(Some(Ok(_)))) {
            return;
        }
        let started = Instant::now();
        let reading = read(&shared, &mut leases, &*observer, &stop);
        let reason = match reading.await {
            Ok(reason) => reason,
            Err(error) => error.to_string(),
        };
        if stop.is_cancelled()
            || shared.read_no_more.is_cancelled()
            || leases.as_ref().is_none_or(mpsc::Sender::is_closed)
        {
            return;
        }
        failures = if started.elapsed() > STABLE_AFTER { 1 } else { failures.saturating_add(1) };
        // Logged at the first time and then ever more rarely: jobs are checked meanwhile.
        if failures.is_power_of_two() {
            warn!(reason, failures, "cannot read {queue}, trying again: {reason}");
        }
        let pause = sleep(backoff.wait(failures - 1, fastrand::f64()));
        if stop.run_until_cancelled(shared.read_no_more.run_until_cancelled(pause)).await.flatten().is_none() {
            return;
        }
    }
}

/// Connects and reads until the connection ends or the process stops, and returns why.
async fn read(
    shared: &Shared,
    leases: &mut Option<mpsc::Sender<JobLease>>,
    observer: &dyn Observer,
    stop: &CancellationToken,
) -> Result<String, OpenError> {
    // A worker that stops waits for the end of the reading, and not for a broker that does not answer.
    let opening = async {
        let link = connect(&shared.settings, &shared.worker, Role::Dead).await?;
        let channels = future::try_join(link.create_channel(), link.create_channel()).await;
        Ok::<_, OpenError>((link, channels.map_err(OpenError::Channel)?))
    };
    let Some(opened) = stop.run_until_cancelled(shared.read_no_more.run_until_cancelled(opening)).await.flatten()
    else {
        return Ok("stopping".to_owned());
    };
    let (link, (channel, probe)) = opened?;
    let queue = &shared.names.dead;
    let mut subscription = Subscription::new(&channel, queue);
    let consuming = timeout(shared.settings.connect_timeout, subscription.set_prefetch(PREFETCH)).await;
    let mut forced = false;
    let read = match consuming {
        Ok(Ok(_none)) => {
            observer.reading_dead_letters(true);
            let reader = Reader { link: &link, probe, subscription };
            let reason = pass_on(shared, reader, leases, observer, stop, &mut forced).await;
            observer.reading_dead_letters(false);
            Ok(reason)
        }
        Ok(Err(source)) => {
            forced = is_forced(&source);
            if reply_code(&source) == Some(NOT_FOUND) {
                gone(shared);
            }
            Err(OpenError::Consume { queue: queue.clone(), source })
        }
        Err(_) => Err(OpenError::Silent(queue.clone())),
    };
    let (cut, ended) = (!link.status().connected(), Instant::now());
    if timeout(CLOSE_LIMIT, link.close(200, "bye".into())).await.is_err() {
        debug!("the connection that reads {queue} did not close in time");
    }
    let stopping = stop.is_cancelled() || shared.read_no_more.is_cancelled();
    if cut && !forced && !stopping {
        // A cut does not reach all connections in the same moment.
        stop.run_until_cancelled(sleep_until(ended + AT_ONCE)).await;
        if broker_answers(shared).await && !lost_with_session(shared, ended) {
            observer.cut(Consumed::Dead);
            error!(
                "the connection that reads {queue} ended, and the broker is there: a message in {queue} may not be deliverable. After its fourth delivery the \
                 broker moves it to {}, and it gets no event",
                shared.names.parked
            );
        }
    }
    read
}

/// Whether the broker is up. What ended the reader's connection may have ended the session just before: the next one is waited for.
async fn broker_answers(shared: &Shared) -> bool {
    let mut sessions = shared.session.subscribe();
    let session = match timeout(NEXT_SESSION, sessions.wait_for(Option::is_some)).await {
        Ok(Ok(session)) => session.clone(),
        Ok(Err(_)) | Err(_) => None,
    };
    match session {
        Some(session) => session.outbox.answers_soon().await,
        None => false,
    }
}

/// Whether what ended the reader's connection ended all of the session, too, as a network does and a message does not.
fn lost_with_session(shared: &Shared, ended: Instant) -> bool {
    let lost = *shared.lost.borrow();
    lost.is_some_and(|lost| lost.max(ended) - lost.min(ended) < AT_ONCE)
}

/// Passes on what is delivered until the connection ends, and returns why it does.
async fn pass_on(
    shared: &Shared,
    mut reader: Reader<'_>,
    leases: &mut Option<mpsc::Sender<JobLease>>,
    observer: &dyn Observer,
    stop: &CancellationToken,
    forced: &mut bool,
) -> String {
    let names = &shared.names;
    let failure = SessionFailure::default();
    let liveness = Liveness::default();
    liveness.set_prefetch(PREFETCH);
    let acks = Acks::of(reader.subscription.channel().clone());
    acks.clone().write_until(failure.clone(), &shared.tasks);
    let interval = shared.settings.watchdog_interval;
    let mut alarm = pin!(watch(&reader.probe, reader.link, &names.dead, interval, &liveness));
    let mut events = reader.link.events_listener();
    let lease_of = |delivery| {
        let lease = JobLease::new(delivery, &acks, failure.clone(), liveness.delivered(), shared.tasks.clone());
        let lease = lease.dead_letter_of(&names.jobs);
        if let Some(dropped) = lease.dropped() {
            observer.dead_letter(dropped);
        }
        lease
    };
    let reason = loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break "stopping".to_owned(),
            reason = failure.wait() => break reason,
            event = events.next() => match event {
                Some(Event::Error(error)) => {
                    *forced = is_forced(&error);
                    break error.to_string();
                }
                Some(_) => {}
                None => break "the connection ended".to_owned(),
            },
            // What is in flight is settled on this connection.
            () = shared.read_no_more.cancelled(), if leases.is_some() => {
                liveness.set_prefetch(0);
                match timeout(CLOSE_LIMIT, reader.subscription.set_prefetch(0)).await {
                    Ok(Ok(left_over)) => for delivery in left_over {
                        if let Some(leases) = leases { leases.send(lease_of(delivery)).await.ok(); }
                    },
                    Ok(Err(error)) => break format!("cancel: {error}"),
                    Err(_) => break "cancel: no answer from the broker".to_owned(),
                }
                *leases = None;
                observer.reading_dead_letters(false);
            }
            delivery = reader.subscription.next() => match delivery {
                Some(Ok(delivery)) => {
                    let lease = lease_of(delivery);
                    let Some(leases) = leases else { break "the worker is gone".to_owned() };
                    if leases.send(lease).await.is_err() { break "the worker is gone".to_owned() }
                }
                Some(Err(error)) => {
                    *forced = is_forced(&error);
                    break format!("consumer: {error}");
                }
                // The queue was deleted, or a message was held for longer than the broker's consumer timeout.
                None => {
                    gone(shared);
                    break "the broker cancelled the consumer".to_owned();
                }
            },
            Alarm { reason, .. } = &mut alarm => break reason,
        }
    };
    failure.report(reason.clone());
    reason
}

/// Ends the session, because the queue may be gone: a new session declares it again, where the worker declares the topology.
fn gone(shared: &Shared) {
    if shared.settings.topology == TopologyMode::Declare
        && let Some(session) = &*shared.session.borrow()
    {
        session.failure.report(format!("queue {} is gone, or its consumer was cancelled", shared.names.dead));
    }
}
