//! One connection that all jobs share: made when needed, given up after an error, made again.

use super::fault::Fault;
use crate::settings::RedisUrl;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, IntoConnectionInfo as _, RedisConnectionInfo, RedisError,
    ScriptInvocation,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
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
    /// Where the URL can change: looked at for each connection.
    url: Option<RedisUrl>,
    target: RwLock<Arc<Target>>,
    patience: Duration,
    slot: Mutex<Slot>,
    /// Connections made so far; the one in the slot has this number.
    made: AtomicU64,
}

/// Where a URL leads, and who we are there.
struct Target {
    client: Client,
    /// Said by us: of a refusal, the client would keep the server's words for itself.
    login: RedisConnectionInfo,
    /// Host and port, for messages.
    server: String,
    /// Of the URL.
    generation: u64,
}

#[derive(Default)]
struct Slot {
    connection: Option<MultiplexedConnection>,
    /// Of the URL that the connection was made with.
    generation: u64,
    failed: Option<(Instant, Fault)>,
}

impl Target {
    fn new(url: &str, generation: u64) -> Result<Self, UrlError> {
        let wrong = |error: &RedisError| UrlError(error.to_string());
        let info = url.into_connection_info().map_err(|error| wrong(&error))?;
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let login = info.redis_settings().clone();
        let server = info.addr().to_string();
        let info = info.set_redis_settings(RedisConnectionInfo::default().set_skip_set_lib_name());
        let client = Client::open(info).map_err(|error| wrong(&error))?;
        Ok(Self { client, login, server, generation })
    }

    async fn connect(&self, limit: Duration) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limit))
            // The limit of the step is ours.
            .set_response_timeout(None);
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        if let Some(password) = self.login.password() {
            let mut auth = redis::cmd("AUTH");
            if let Some(user) = self.login.username() {
                auth.arg(user);
            }
            auth.arg(password).exec_async(&mut connection).await?;
        }
        if self.login.db() != 0 {
            redis::cmd("SELECT").arg(self.login.db()).exec_async(&mut connection).await?;
        }
        Ok(connection)
    }
}

impl Link {
    pub(super) fn new(url: &str, patience: Duration) -> Result<Self, UrlError> {
        let target = RwLock::new(Arc::new(Target::new(url, 0)?));
        Ok(Self { url: None, target, patience, slot: Mutex::default(), made: AtomicU64::new(0) })
    }

    pub(super) fn following(self, url: RedisUrl) -> Self {
        Self { url: Some(url), ..self }
    }

    /// One script, one answer. Scripts can be repeated without harm, so a connection that has broken costs one more try and no error.
    pub(super) async fn ask<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, Fault> {
        self.within_patience(async {
            let fault = match self.ask_once(script).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            if fault.again { self.ask_once(script).await } else { Err(fault) }
        })
        .await
    }

    /// A script that must not run twice. After an error it may have run.
    pub(super) async fn ask_no_more_than_once<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, Fault> {
        self.within_patience(self.ask_once(script)).await
    }

    /// A command that is no step.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Fault> {
        self.within_patience(async {
            let (mut connection, number) = self.connection().await?;
            let answer = command.query_async(&mut connection).await;
            self.checked(answer, number).await
        })
        .await
    }

    async fn within_patience<T>(&self, asking: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        // Boxed: the client's futures are long, and a job waits for something else most of the time.
        if let Ok(answer) = timeout(self.patience, Box::pin(asking)).await {
            return answer;
        }
        // Nothing says that it is still alive.
        self.drop_connection(self.made.load(Ordering::Relaxed)).await;
        Err(Fault::silence(self.patience))
    }

    async fn ask_once<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, Fault> {
        let (mut connection, number) = self.connection().await?;
        let answer = script.invoke_async(&mut connection).await;
        self.checked(answer, number).await
    }

    async fn checked<T>(&self, answer: Result<T, RedisError>, number: u64) -> Result<T, Fault> {
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => {
                let fault = Fault::of(&error);
                if fault.over {
                    self.drop_connection(number).await;
                }
                Err(fault)
            }
        }
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64), Fault> {
        let mut slot = self.slot.lock().await;
        // What is on its way on a connection with the URL of before comes to its end there.
        if self.url.as_ref().is_some_and(|url| url.secret().generation() != slot.generation) {
            *slot = Slot::default();
        }
        if let Some(connection) = &slot.connection {
            return Ok((connection.clone(), self.made.load(Ordering::Relaxed)));
        }
        if let Some((at, fault)) = &slot.failed
            && at.elapsed() < PAUSE
        {
            return Err(fault.clone());
        }
        // Noted beforehand: the task that waits for this may be cancelled.
        slot.failed = Some((Instant::now(), Fault::silence(self.patience)));
        let (target, generation) = self.renewed().await;
        slot.generation = generation;
        match target.connect(self.patience).await {
            Ok(connection) => {
                slot.failed = None;
                slot.connection = Some(connection.clone());
                let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
                tracing::info!("connected to the ledger at {}", target.server);
                Ok((connection, number))
            }
            Err(error) => {
                let fault = if error.is_timeout() { Fault::silence(self.patience) } else { Fault::of(&error) };
                slot.failed = Some((Instant::now(), fault.clone()));
                Err(fault)
            }
        }
    }

    /// Where to connect to now: a password that has been changed is in the file before the server refuses the old one, or soon after.
    async fn renewed(&self) -> (Arc<Target>, u64) {
        let held = self.target();
        let Some(url) = &self.url else { return (held, 0) };
        let secret = url.secret().clone();
        // A file can be on a disk that hangs; the step then ends without it.
        tokio::task::spawn_blocking(move || secret.reread()).await.ok();
        // In this order: a change in between is met at the next step.
        let generation = url.secret().generation();
        if generation == held.generation {
            return (held, generation);
        }
        let target = match Target::new(url.current().expose(), generation) {
            Ok(target) => {
                let target = Arc::new(target);
                *self.target.write().unwrap_or_else(PoisonError::into_inner) = target.clone();
                target
            }
            Err(error) => {
                tracing::warn!(%error, "{error}; the one before it stays in use");
                held
            }
        };
        (target, generation)
    }

    fn target(&self) -> Arc<Target> {
        self.target.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives up the connection with this number, unless another task already has.
    async fn drop_connection(&self, number: u64) {
        let mut slot = self.slot.lock().await;
        if self.made.load(Ordering::Relaxed) == number {
            slot.connection = None;
        }
    }

    /// As after a connection could not be made.
    #[cfg(test)]
    pub(super) async fn cut(&self) {
        self.drop_connection(self.made.load(Ordering::Relaxed)).await;
        self.slot.lock().await.failed = Some((Instant::now(), Fault::silence(self.patience)));
    }

    #[cfg(test)]
    pub(super) async fn mend(&self) {
        self.slot.lock().await.failed = None;
    }

    /// Host and port.
    pub(super) fn server(&self) -> String {
        self.target().server.clone()
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("server", &self.server).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("connected", &self.connection.is_some()).finish_non_exhaustive()
    }
}
