//! One connection that all jobs share: made when needed, given up after an error, made again.

use antispoof_core::ports::LedgerError;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, IntoConnectionInfo as _, RedisError, ScriptInvocation,
    ServerErrorKind,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// After a connection could not be made, the next is tried after this; steps in between fail at once.
const PAUSE: Duration = Duration::from_secs(1);

/// The URL is none that the client can use. What is wrong is said without repeating it: it may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("use ledger.url: {0}")]
pub struct UrlError(String);

#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    /// Host and port, for messages.
    server: String,
    patience: Duration,
    slot: Mutex<Slot>,
    /// Connections made so far; the one in the slot has this number.
    made: AtomicU64,
}

#[derive(Default)]
struct Slot {
    connection: Option<MultiplexedConnection>,
    failed: Option<(Instant, String)>,
}

impl Link {
    pub(super) fn new(url: &str, patience: Duration) -> Result<Self, UrlError> {
        let wrong = |error: &RedisError| UrlError(error.to_string());
        let info = url.into_connection_info().map_err(|error| wrong(&error))?;
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let server = info.addr().to_string();
        let client = Client::open(info).map_err(|error| wrong(&error))?;
        Ok(Self { client, server, patience, slot: Mutex::default(), made: AtomicU64::new(0) })
    }

    /// One script, one answer. Scripts can be repeated without harm, so a connection that has broken costs one more try and no error.
    pub(super) async fn ask<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, LedgerError> {
        let tries = async {
            let error = match self.ask_once(script).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if worth_another(&error) { self.ask_once(script).await } else { Err(error) }
        };
        match timeout(self.patience, tries).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if !error.is_timeout() => Err(self.error(&error.to_string())),
            Ok(Err(_)) | Err(_) => {
                // Nothing says that it is still alive.
                self.drop_connection(self.made.load(Ordering::Relaxed)).await;
                Err(self.error(&format!("no answer within {:?}", self.patience)))
            }
        }
    }

    async fn ask_once<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, RedisError> {
        let (mut connection, number) = self.connection().await?;
        let answer = script.invoke_async(&mut connection).await;
        if let Err(error) = &answer
            && is_over(error)
        {
            self.drop_connection(number).await;
        }
        answer
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64), RedisError> {
        let mut slot = self.slot.lock().await;
        if let Some(connection) = &slot.connection {
            return Ok((connection.clone(), self.made.load(Ordering::Relaxed)));
        }
        if let Some((at, why)) = &slot.failed
            && at.elapsed() < PAUSE
        {
            return Err(RedisError::from((ErrorKind::Io, "not connected", why.clone())));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.patience))
            // The limit of the step is ours.
            .set_response_timeout(None);
        // Noted beforehand: whoever waits for this may be told to stop.
        slot.failed = Some((Instant::now(), "the server does not answer".to_owned()));
        match self.client.get_multiplexed_async_connection_with_config(&config).await {
            Ok(connection) => {
                slot.failed = None;
                slot.connection = Some(connection.clone());
                let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
                tracing::info!("connected to the ledger at {}", self.server);
                Ok((connection, number))
            }
            Err(error) => {
                if !error.is_timeout() {
                    slot.failed = Some((Instant::now(), error.to_string()));
                }
                Err(error)
            }
        }
    }

    /// Gives up the connection with this number, unless somebody has been faster.
    async fn drop_connection(&self, number: u64) {
        let mut slot = self.slot.lock().await;
        if self.made.load(Ordering::Relaxed) == number {
            slot.connection = None;
        }
    }

    /// As after a connection could not be made.
    #[cfg(test)]
    pub(super) async fn cut(&self) {
        *self.slot.lock().await = Slot { connection: None, failed: Some((Instant::now(), "cut".to_owned())) };
    }

    #[cfg(test)]
    pub(super) async fn mend(&self) {
        self.slot.lock().await.failed = None;
    }

    fn error(&self, why: &str) -> LedgerError {
        LedgerError(format!("the ledger at {}: {why}", self.server))
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("connected", &self.connection.is_some()).finish_non_exhaustive()
    }
}

/// The connection is gone, or leads to a server that is not (or no longer) the one that may be written to.
fn is_over(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(
            ServerErrorKind::ReadOnly
            | ServerErrorKind::MasterDown
            | ServerErrorKind::BusyLoading
            | ServerErrorKind::ClusterDown,
        ) => true,
        _ => error.is_io_error() || error.is_connection_dropped() || error.is_unrecoverable_error(),
    }
}

fn worth_another(error: &RedisError) -> bool {
    // Scripts can be flushed in the moment between loading one and running it.
    error.is_connection_dropped()
        || matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::NoScript))
}
