//! Reads what the broker took off the job queue by itself, so that each of those jobs gets its event.
//!
//! It has a connection of its own and one message in hand, and nothing pauses it: what it does costs no call. A message that the broker cannot deliver ends
//! this connection and nothing else, until the limit of the dead queue moves it into the parked queue. Nobody can read whose event that would be.

use super::connect::{ConnectError, Link, Role, connect};
use super::inbox::JobLease;
use super::session::Trouble;
use super::subscription::Subscription;
use super::watchdog::{Pulse, Waiting, watch};
use super::{Consumed, Observer, Shared};
use antispoof_core::ports::Lease as _;
use antispoof_core::retry::Backoff;
use futures_util::future;
use futures_util::stream::StreamExt as _;
use lapin::{Channel, Event};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

/// One at a time: these are few, and each is a matter of milliseconds.
const PREFETCH: u16 = 1;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A connection that lived so long was a good one.
const GOOD_LIFE: Duration = Duration::from_secs(30);
/// Bounds the polite closing of a connection that may be dead.
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
    let Ok(backoff) = Backoff::try_new(FIRST_PAUSE, LONGEST_PAUSE) else { return };
    let queue = &shared.names.dead;
    let mut failures: u32 = 0;
    loop {
        // A session has declared the queue, and can publish what becomes of its messages.
        let mut sessions = shared.session.subscribe();
        if !matches!(stop.run_until_cancelled(sessions.wait_for(Option::is_some)).await, Some(Ok(_))) {
            return;
        }
        let started = Instant::now();
        let reading = read(&shared, &leases, &*observer, &stop);
        let reason = match reading.await {
            Ok(reason) => reason,
            Err(error) => error.to_string(),
        };
        if stop.is_cancelled() {
            return;
        }
        failures = if started.elapsed() > GOOD_LIFE { 1 } else { failures.saturating_add(1) };
        // Said at the first time and then ever more rarely: jobs are judged meanwhile.
        if failures.is_power_of_two() {
            warn!(reason, failures, "cannot read {queue}, trying again: {reason}");
        }
        let pause = backoff.wait(failures - 1, fastrand::f64());
        if stop.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// Connects and reads until something ends that, and says what.
async fn read(
    shared: &Shared,
    leases: &mpsc::Sender<JobLease>,
    observer: &dyn Observer,
    stop: &CancellationToken,
) -> Result<String, OpenError> {
    let Some(link) = stop.run_until_cancelled(connect(&shared.settings, &shared.worker, Role::Dead)).await else {
        return Ok("stopping".to_owned());
    };
    let link = link?;
    let (channel, probe) =
        future::try_join(link.create_channel(), link.create_channel()).await.map_err(OpenError::Channel)?;
    let queue = &shared.names.dead;
    let mut subscription = Subscription::new(&channel, queue);
    let met = timeout(shared.settings.connect_timeout, subscription.meet(PREFETCH)).await;
    let read = match met {
        Ok(Ok(_none)) => {
            observer.reading_dead_letters(true);
            let reason = pass_on(shared, Reader { link: &link, probe, subscription }, leases, observer, stop).await;
            observer.reading_dead_letters(false);
            Ok(reason)
        }
        Ok(Err(source)) => Err(OpenError::Consume { queue: queue.clone(), source }),
        Err(_) => Err(OpenError::Silent(queue.clone())),
    };
    let cut = !link.status().connected();
    if timeout(CLOSE_LIMIT, link.close(200, "bye".into())).await.is_err() {
        debug!("the connection that reads {queue} did not close politely");
    }
    // A value of its own: the guard of the channel must not live across an await.
    let session = shared.session.borrow().clone();
    if cut
        && !stop.is_cancelled()
        && let Some(session) = session
        && session.outbox.answers_soon().await
    {
        observer.cut(Consumed::Dead);
        error!(
            "the connection that reads {queue} ended, and the broker is there: a message in {queue} may not be deliverable. After its fourth delivery the \
             broker moves it to {}, and it gets no event",
            shared.names.parked
        );
    }
    read
}

/// Passes on what is delivered, until that ends.
async fn pass_on(
    shared: &Shared,
    mut reader: Reader<'_>,
    leases: &mpsc::Sender<JobLease>,
    observer: &dyn Observer,
    stop: &CancellationToken,
) -> String {
    let names = &shared.names;
    let trouble = Trouble::default();
    let (pulse, waiting) = (Pulse::default(), Waiting::default());
    pulse.expect(PREFETCH);
    let interval = shared.settings.watchdog_interval;
    let mut bark = pin!(watch(&reader.probe, reader.link, &names.dead, interval, &pulse, &waiting));
    let mut events = reader.link.events_listener();
    let reason = loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break "stopping".to_owned(),
            reason = trouble.wait() => break reason,
            event = events.next() => match event {
                Some(Event::Error(error)) => break error.to_string(),
                Some(_) => {}
                None => break "the connection ended".to_owned(),
            },
            delivery = reader.subscription.next() => match delivery {
                Some(Ok(delivery)) => {
                    pulse.beat();
                    let lease = JobLease::dead_letter(delivery, &names.jobs, trouble.clone(), pulse.in_hand());
                    if let Some(dropped) = lease.dropped() {
                        observer.dead_letter(dropped);
                        info!(reason = dropped.reason(), "the broker took a job off {}: {}", names.jobs, dropped.failure());
                    }
                    if leases.send(lease).await.is_err() { break "the worker is gone".to_owned() }
                }
                Some(Err(error)) => break format!("consumer: {error}"),
                // The queue was deleted, or a message was held for longer than the broker's consumer timeout.
                None => break "the broker cancelled the consumer".to_owned(),
            },
            reason = &mut bark => break reason,
        }
    };
    trouble.report(reason.clone());
    reason
}
