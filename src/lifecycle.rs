//! Signals, the two ways to stop, and the tasks that must not end before. Soft: begin nothing new, let what was sent finish. Hard: now.

mod tasks;

/// `future` until a token is cancelled. The token's own `run_until_cancelled` takes a future by value and has room for it twice: those of a job's
/// way are long, and what they take is taken for each job in flight.
macro_rules! until_cancelled {
    ($token:expr, $future:expr) => {{
        let future = std::pin::pin!($future);
        $token.run_until_cancelled(future).await
    }};
}
pub(crate) use until_cancelled;

pub use tasks::{How, Task, Tasks, UnexpectedEnd};

use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// A signal this soon after the first is the same one: `timeout` and some supervisors send it to the process and to its group.
const ECHO: Duration = Duration::from_millis(100);

/// The tokens that everything long-lived listens to. The soft one is a child of the hard one: stopping hard is also stopping.
#[derive(Clone, Debug)]
pub struct Stop {
    hard: CancellationToken,
    soft: CancellationToken,
    closing: CancellationToken,
}

/// SIGTERM, SIGINT and SIGQUIT stop. SIGHUP neither stops nor kills: most daemons take it for "read your settings again", and what sends it (a log
/// rotation, the sidecar of a secret, a terminal that closes) does not mean that what is in flight is to be thrown away.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
}

/// SIGUSR1 asks for a more detailed log, SIGUSR2 for the configured one.
#[derive(Debug)]
pub struct DetailSignals {
    more: Signal,
    configured: Signal,
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// Nothing is to stop yet.
    pub fn new() -> Self {
        let hard = CancellationToken::new();
        let soft = hard.child_token();
        Self { hard, soft, closing: CancellationToken::new() }
    }

    /// Every job has found its place: connections and ports close.
    pub fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Begin nothing new.
    pub fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// End now.
    pub fn hard(&self) -> &CancellationToken {
        &self.hard
    }
}

impl DetailSignals {
    /// Installs the handlers; from here on the signals no longer kill the process.
    pub fn install() -> std::io::Result<Self> {
        Ok(Self { more: signal(SignalKind::user_defined1())?, configured: signal(SignalKind::user_defined2())? })
    }

    /// The next one: true asks for more.
    pub async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.more.recv() => true,
            _ = self.configured.recv() => false,
        }
    }
}

impl Signals {
    /// Installs the handlers; from here on the signals no longer kill the process.
    pub fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The first signal stops softly, the second hard, later ones do nothing. Does not end.
    pub async fn drive(mut self, stop: Stop) {
        let name = self.next().await;
        // Before the log line: a log that cannot be written must not keep the process alive.
        stop.soft.cancel();
        info!(signal = name, "{name}: draining, a second signal ends it now");
        let first = Instant::now();
        let name = loop {
            let name = self.next().await;
            if first.elapsed() >= ECHO {
                break name;
            }
        };
        stop.hard.cancel();
        warn!(signal = name, "{name} again: stopping now, what is in flight is delivered again");
        loop {
            self.next().await;
        }
    }

    async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.quit.recv() => return "SIGQUIT",
                _ = self.hang_up.recv() => {
                    info!(signal = "SIGHUP", "SIGHUP: goes on; settings are read at the start only, the files of secrets whenever they change");
                }
            }
        }
    }
}
