//! The one owner of recovery. Any error, any end of a stream, any lost confirm or refused ack ends the session, and a new one is
//! built with jittered backoff, for ever.

use super::connect::{ConnectError, Role, connect};
use super::consume_mode::ConsumeState;
use super::inbox::JobLease;
use super::observer::Observer;
use super::session_loop::{Parts, SessionLoop};
use super::shared::Shared;
use super::slow_start::SlowStart;
use super::topology::{self, TopologyError};
use super::version::{Compatibility, Product};
use antispoof_core::retry::Backoff;
use futures_util::future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// A broker's channel passes so many acks on to a quorum queue at once. It holds back the others until those are written, and drops them
/// when it is closed (findings/rabbitmq-quorum-acks-lost-on-close.sh): jobs that are done would be delivered again. Nothing asks for
/// that; half a second was enough whenever it was measured.
const SETTLED_AT_ONCE: u16 = 32;
const UNTIL_SETTLED: Duration = Duration::from_millis(500);

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// After a session that lived so long the next one starts again with the shortest pause.
const STABLE_AFTER: Duration = Duration::from_secs(30);
/// A message that ends each session that it is delivered to is moved away after twenty deliveries: with pauses of half a second, in
/// ten seconds.
const AFTER_A_CUT: u32 = 2;
/// Bounds the closing handshake of connections that may be dead.
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
    /// What to log: there was no session, so none was lost.
    fn what(&self) -> &'static str {
        match self {
            Self::Connect(_) | Self::Slow(_) => "cannot reach the broker, trying again",
            Self::Channel(_) | Self::Topology(_) => "cannot set up the session with the broker, trying again",
        }
    }
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
    let mut reported = None;
    let mut start = SlowStart::over(prefetch);
    let mut ended = Ok(());
    while !stop.is_cancelled() {
        let started = Instant::now();
        let (what, reason) = match stop.run_until_cancelled(build(&shared)).await {
            None => break,
            Some(Ok(parts)) => {
                report_broker(parts.consume.broker(), &mut reported, &*observer);
                let session = SessionLoop::new(&shared, &parts, &leases, &observer, &stop);
                let reason = session.run(&mut start).await;
                shared.session.send_replace(None);
                shared.consuming.send_replace(ConsumeState::NoSession);
                shared.depths.forget();
                observer.consuming(false);
                observer.connected(false);
                let closing = close(parts);
                if stop.is_cancelled() {
                    if prefetch > SETTLED_AT_ONCE {
                        tokio::time::sleep(UNTIL_SETTLED).await;
                    }
                    // The last acks are on their way.
                    closing.await;
                    break;
                }
                // The closing handshake with a dead peer must not delay the next session.
                shared.tasks.spawn(closing);
                if start.singly() {
                    // The broker is up, and jobs wait behind the message that may have ended the session.
                    failures = failures.min(AFTER_A_CUT);
                }
                ("lost the broker, connecting again", reason)
            }
            // This does not pass with time: the process ends, and its error tells the operator.
            Some(Err(BuildError::Connect(error @ ConnectError::TooOld { .. }))) => {
                ended = Err(error);
                break;
            }
            Some(Err(error)) => (error.what(), error.to_string()),
        };
        failures = if started.elapsed() > STABLE_AFTER { 0 } else { failures + 1 };
        let pause = backoff.wait(failures - failures.min(1), fastrand::f64());
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        warn!(reason, pause_ms, "{what} in {pause_ms} ms: {reason}");
        observer.reconnecting(&reason);
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            break;
        }
    }
    shared.tasks.close();
    if timeout(CLOSE_LIMIT, shared.tasks.wait()).await.is_err() {
        tracing::debug!("a closing connection is left to itself");
    }
    ended
}

/// Logs once for each broker what speaks against its compatibility.
fn report_broker(broker: &Product, reported: &mut Option<Product>, observer: &dyn Observer) {
    observer.met(broker);
    if reported.as_ref() == Some(broker) {
        return;
    }
    if let Compatibility::Doubtful(why) = broker.compatibility() {
        warn!(
            broker.product = broker.name(),
            broker.version = broker.version(),
            "the broker is {broker}, which this program does not know: {why}"
        );
    }
    *reported = Some(broker.clone());
}

async fn build(shared: &Shared) -> Result<Parts, BuildError> {
    // Creating quorum queues on a loaded cluster takes long.
    let limit = shared.settings.connect_timeout * 3;
    let building = async {
        // A changed password is in the file before the broker refuses the old one, or soon after. The limit covers a disk that hangs, too.
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

async fn close(parts: Parts) {
    let closing = future::join(parts.consume.close(200, "bye".into()), parts.publish.close(200, "bye".into()));
    if let Ok((consume, publish)) = timeout(CLOSE_LIMIT, closing).await
        && let Err(error) = consume.and(publish)
    {
        tracing::debug!(%error, "a connection did not close in time");
    }
}
