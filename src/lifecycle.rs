//! Signals and the two ways to stop. Soft: begin nothing new, let what was sent finish. Hard: now.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The tokens that everything long-lived listens to. The soft one is a child of the hard one: stopping hard is also stopping.
#[derive(Clone, Debug)]
pub struct Stop {
    hard: CancellationToken,
    soft: CancellationToken,
    closing: CancellationToken,
}

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// Nothing asked for yet.
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

impl Signals {
    /// Installs the handlers; from here on the signals no longer kill the process.
    pub fn install() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The first signal stops softly, the second hard. Runs until then.
    pub async fn drive(mut self, stop: Stop) {
        let name = self.next().await;
        // First the deed, then the word: a log that cannot be written must not keep the process alive.
        stop.soft.cancel();
        info!(signal = name, "{name}: draining, a second signal ends it now");
        let name = self.next().await;
        stop.hard.cancel();
        warn!(signal = name, "{name} again: stopping now, what is in flight is delivered again");
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
