//! The one owner of recovery. Any error, any end of a stream, any lost confirm or refused ack ends the session; a new one is built
//! with jittered backoff, for ever.

use super::connect::{ConnectError, Role, connect};
use super::inbox::JobLease;
use super::life::{Life, Parts};
use super::session::Met;
use super::slow_start::SlowStart;
use super::topology::{self, TopologyError};
use super::version::{Product, Standing};
use super::{Observer, Shared};
use antispoof_core::retry::Backoff;
use futures_util::future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A session that lived so long was a good one: the next starts again with the shortest pause.
const GOOD_LIFE: Duration = Duration::from_secs(30);
/// What ends one session after the other at its delivery is out of the way after twenty: with pauses of half a second, in ten seconds.
const AFTER_A_CUT: u32 = 2;
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
    let mut start = SlowStart::over(prefetch);
    while !stop.is_cancelled() {
        let started = Instant::now();
        let (what, reason) = match stop.run_until_cancelled(build(&shared)).await {
            None => break,
            Some(Ok(parts)) => {
                tell(parts.consume.broker(), &mut told, &*observer);
                let life = Life::new(&shared, &parts, &leases, &observer, &stop);
                let reason = life.run(&mut start).await;
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
                if start.singly() {
                    // The broker is there, and jobs wait behind the one that may have ended the session.
                    failures = failures.min(AFTER_A_CUT);
                }
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

async fn close(parts: Parts) {
    let goodbye = future::join(parts.consume.close(200, "bye".into()), parts.publish.close(200, "bye".into()));
    if let Ok((consume, publish)) = timeout(CLOSE_LIMIT, goodbye).await
        && let Err(error) = consume.and(publish)
    {
        tracing::debug!(%error, "a connection did not close politely");
    }
}
