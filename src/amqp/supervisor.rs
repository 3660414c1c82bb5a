//! The one owner of recovery. Any error, any end of a stream, any lost confirm or refused ack ends the session; a new one is built
//! with jittered backoff, for ever.

use super::connect::{ConnectError, Link, Role, connect};
use super::inbox::JobLease;
use super::outbox::Outbox;
use super::session::{Met, Session, Trouble};
use super::subscription::Subscription;
use super::topology::{self, TopologyError};
use super::version::{Product, Standing};
use super::watchdog::{Pulse, watch};
use super::{Observer, Shared};
use antispoof_core::retry::Backoff;
use futures_util::stream::{self, StreamExt as _};
use futures_util::{Stream, future};
use lapin::{Channel, Event};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A session that lived so long was a good one: the next starts again with the shortest pause.
const GOOD_LIFE: Duration = Duration::from_secs(30);
/// Bounds the polite closing of connections that may be dead.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
enum BuildError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("open a channel: {0}")]
    Channel(lapin::Error),
    #[error(transparent)]
    Topology(#[from] TopologyError),
    #[error("build the session within {0:?}")]
    Slow(Duration),
}

impl BuildError {
    /// There was no session, so none was lost.
    fn what(&self) -> &'static str {
        match self {
            Self::Connect(_) | Self::Slow(_) => "cannot reach the broker, trying again",
            Self::Channel(_) | Self::Topology(_) => "cannot set up the session with the broker, trying again",
        }
    }
}

struct Parts {
    consume: Link,
    publish: Link,
    channel: Channel,
    probe: Channel,
}

pub(super) async fn run(
    shared: Arc<Shared>,
    prefetch: u16,
    leases: mpsc::Sender<JobLease>,
    observer: Arc<dyn Observer>,
    stop: CancellationToken,
) -> Result<(), ConnectError> {
    let Ok(backoff) = Backoff::try_new(FIRST_PAUSE, LONGEST_PAUSE) else { return Ok(()) };
    let mut failures = 0;
    let mut told = None;
    while !stop.is_cancelled() {
        let started = Instant::now();
        let (what, reason) = match stop.run_until_cancelled(build(&shared)).await {
            None => break,
            Some(Ok(parts)) => {
                tell(parts.consume.broker(), &mut told, &*observer);
                let reason = live(&shared, prefetch, &parts, &leases, &observer, &stop).await;
                shared.session.send_replace(None);
                shared.met.send_replace(Met::NoSession);
                shared.waiting.forget();
                observer.consuming(false);
                observer.connected(false);
                let closing = close(parts);
                if stop.is_cancelled() {
                    // The last acks are on their way.
                    closing.await;
                    break;
                }
                // Saying goodbye to a dead peer must not delay the next session.
                tokio::spawn(closing);
                ("lost the broker, connecting again", reason)
            }
            // No weather that passes; whoever put the process up has to be told.
            Some(Err(BuildError::Connect(error @ ConnectError::TooOld { .. }))) => return Err(error),
            Some(Err(error)) => (error.what(), error.to_string()),
        };
        failures = if started.elapsed() > GOOD_LIFE { 0 } else { failures + 1 };
        let pause = backoff.wait(failures - failures.min(1), fastrand::f64());
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        warn!(reason, pause_ms, "{what} in {pause_ms} ms: {reason}");
        observer.reconnecting(&reason);
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            break;
        }
    }
    Ok(())
}

/// Says once of each broker what speaks against it: sessions come and go.
fn tell(broker: &Product, told: &mut Option<Product>, observer: &dyn Observer) {
    observer.met(broker);
    if told.as_ref() == Some(broker) {
        return;
    }
    if let Standing::Doubtful(why) = broker.standing() {
        warn!(
            broker.product = broker.name(),
            broker.version = broker.version(),
            "the broker is {broker}, which this program does not know: {why}"
        );
    }
    *told = Some(broker.clone());
}

async fn build(shared: &Shared) -> Result<Parts, BuildError> {
    // Creating quorum queues on a loaded cluster takes its time; hanging for ever is not one of the choices.
    let limit = shared.settings.connect_timeout * 3;
    let building = async {
        // A password that was changed is in the file before the broker refuses the old one, or soon after. The disk may hang; the limit then ends this.
        let url = shared.settings.url.secret().clone();
        tokio::task::spawn_blocking(move || url.reread()).await.ok();
        let (consume, publish) = future::try_join(
            connect(&shared.settings, &shared.worker, Role::Consume),
            connect(&shared.settings, &shared.worker, Role::Publish),
        )
        .await?;
        let (channel, probe) =
            future::try_join(consume.create_channel(), consume.create_channel()).await.map_err(BuildError::Channel)?;
        topology::declare(&probe, &shared.names, shared.settings.topology).await?;
        Ok(Parts { consume, publish, channel, probe })
    };
    timeout(limit, building).await.unwrap_or(Err(BuildError::Slow(limit)))
}

/// Runs a session to its end and says why it ended.
async fn live(
    shared: &Shared,
    prefetch: u16,
    parts: &Parts,
    leases: &mpsc::Sender<JobLease>,
    observer: &Arc<dyn Observer>,
    stop: &CancellationToken,
) -> String {
    let trouble = Trouble::default();
    let mut events = events(parts);
    // Two more than the jobs in flight: an operator's command or an event of a message that is no job never waits for a channel.
    let channels = prefetch.saturating_add(2);
    let limit = shared.settings.publish_timeout;
    let outbox = Outbox::of_session(parts.publish.clone(), channels, limit, trouble.clone(), Some(observer.clone()));
    let session = Arc::new(Session { outbox, trouble: trouble.clone() });
    shared.session.send_replace(Some(session.clone()));
    observer.connected(true);

    let pulse = Pulse::default();
    let mut bark = pin!(watch(
        &parts.probe,
        &parts.publish,
        &shared.names.jobs,
        shared.settings.watchdog_interval,
        &pulse,
        &shared.waiting
    ));
    let mut demand = shared.demand.subscribe();
    demand.mark_changed();
    let mut first = true;
    let mut subscription = Subscription::new(&parts.channel, &shared.names.jobs);
    let reason = loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break "stopping".to_owned(),
            reason = trouble.wait() => break reason,
            event = events.next() => {
                if let Some(reason) = heed(event, &session, &**observer) { break reason }
            }
            changed = demand.changed() => {
                if changed.is_err() { break "the worker is gone".to_owned() }
                let demanded = *demand.borrow_and_update();
                shared.met.send_replace(Met::Changing);
                let wanted = demanded.prefetch(prefetch);
                pulse.expect(wanted);
                // A broker that does not answer must not delay the end of the process, nor of a session that is lost.
                let met = tokio::select! {
                    biased;
                    () = stop.cancelled() => break "stopping".to_owned(),
                    reason = trouble.wait() => break reason,
                    met = timeout(shared.settings.connect_timeout, subscription.meet(wanted)) => met,
                };
                let left_over = match met {
                    Ok(Ok(left_over)) => left_over,
                    Ok(Err(error)) => break format!("consume from {}: {error}", shared.names.jobs),
                    Err(_) => break format!("consume from {}: no answer from the broker", shared.names.jobs),
                };
                observer.consuming(wanted > 0);
                if wanted > 0 && first {
                    let broker = parts.consume.broker();
                    info!(
                        prefetch = wanted,
                        broker.product = broker.name(),
                        broker.version = broker.version(),
                        "connected to the broker, {broker}, consuming from {}",
                        shared.names.jobs
                    );
                    first = false;
                } else {
                    debug!(prefetch = wanted, "at most {wanted} in hand from {}", shared.names.jobs);
                }
                for delivery in left_over {
                    observer.delivered(delivery.redelivered);
                    pass_on(JobLease::new(delivery, trouble.clone(), pulse.in_hand()), leases, &trouble, stop).await;
                }
                shared.met.send_replace(Met::As(demanded));
            }
            delivery = subscription.next() => match delivery {
                Some(Ok(delivery)) => {
                    pulse.beat();
                    observer.delivered(delivery.redelivered);
                    pass_on(JobLease::new(delivery, trouble.clone(), pulse.in_hand()), leases, &trouble, stop).await;
                }
                Some(Err(error)) => break format!("consumer: {error}"),
                // The queue was deleted, or a job was held for longer than the broker's consumer timeout.
                None => break "the broker cancelled the consumer".to_owned(),
            },
            reason = &mut bark => break reason,
        }
    };
    trouble.report(reason.clone());
    reason
}

/// Gives a lease to the worker. There is room as a rule; behind jobs of lost sessions that still run it can be full, and waiting for room
/// must not hide that this session is lost, too.
async fn pass_on(lease: JobLease, leases: &mpsc::Sender<JobLease>, trouble: &Trouble, stop: &CancellationToken) {
    tokio::select! {
        biased;
        sent = leases.send(lease) => if sent.is_err() { trouble.report("the worker is gone".to_owned()) },
        () = stop.cancelled() => {}
        _reported = trouble.wait() => {}
    }
}

#[derive(Clone, Copy, Debug)]
enum Side {
    Consume,
    Publish,
}

fn events(parts: &Parts) -> impl Stream<Item = (Side, Event)> + Unpin + use<> {
    stream::select(
        parts.consume.events_listener().map(|event| (Side::Consume, event)).boxed(),
        parts.publish.events_listener().map(|event| (Side::Publish, event)).boxed(),
    )
}

/// Says why the session has to end, if it has to.
fn heed(event: Option<(Side, Event)>, session: &Session, observer: &dyn Observer) -> Option<String> {
    match event {
        Some((Side::Publish, Event::ConnectionBlocked(why))) => {
            warn!(why, "the broker blocks publishing, no new call is made until it has recovered: {why}");
            session.outbox.set_blocked(true);
            observer.blocked(true);
            None
        }
        Some((Side::Publish, Event::ConnectionUnblocked)) => {
            info!("the broker takes messages again");
            session.outbox.set_blocked(false);
            observer.blocked(false);
            None
        }
        Some((side, Event::Error(error))) => Some(format!("{side:?} connection: {error}")),
        Some(_) => None,
        None => Some("the connections ended".to_owned()),
    }
}

async fn close(parts: Parts) {
    let goodbye = future::join(parts.consume.close(200, "bye".into()), parts.publish.close(200, "bye".into()));
    if let Ok((consume, publish)) = timeout(CLOSE_LIMIT, goodbye).await
        && let Err(error) = consume.and(publish)
    {
        tracing::debug!(%error, "a connection did not close politely");
    }
}
