//! A local stand-in for the vendor's detect-spoof endpoint, as documented and no more lenient, with faults that can be asked for.
//!
//! It reads the body as a stream, so its memory does not grow with the image, and answers from the image's SHA-256: the same
//! bytes always get the same answer. It counts what the vendor would have billed ([`Stats`]). What it knows of the vendor is
//! what the vendor documents; status codes for the cases that are not documented are those of a strict implementation.
//!
//! Beside the endpoint, `/_sim/` has `GET stats` (`?images=false` leaves the images out), `POST reset`, `GET` and `PUT config`
//! ([`Change`]), and `GET health`. Everything speaks HTTP/1.1, and HTTP/2 to clients that begin with it; over HTTP/2 the
//! resets and breaks are those of the one stream. How it treats connections ([`Config::max_requests`], [`Config::idle_timeout`],
//! [`RefusalManner`], [`Fault::HangConnection`]) is what real servers were seen to do.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use antispoofd::simulator::{Auth, Options, Simulator};
//! use tokio_util::sync::CancellationToken;
//!
//! let simulator = Simulator::bind(([127, 0, 0, 1], 0).into(), Options::new(Auth::Open)).await?;
//! let (url, handle) = (simulator.url(), simulator.handle());
//! let stop = CancellationToken::new();
//! tokio::spawn(simulator.run(stop.clone()));
//! // … call `url`, look at `handle.stats()` …
//! stop.cancel();
//! # Ok(())
//! # }
//! ```

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

mod admin;
mod auth;
mod backoff;
mod body;
mod call;
mod change;
mod config;
mod encoding;
mod fault;
mod faults;
mod goaway;
mod latency;
mod rate;
mod refusal;
mod reply;
mod server;
mod session;
mod state;
mod stats;
mod verdict;
mod wire;

pub use auth::Auth;
pub use backoff::{
    RateHeaders, RateHeadersError, RetryAfterForm, RetryAfterFormError, RetryStatuses, RetryStatusesError,
};
pub use call::DETECT_SPOOF;
pub use change::Change;
pub use config::{Config, RefusalManner, RefusalMannerError, WaitError, parse_wait};
pub use fault::{Fault, FaultKindError};
pub use faults::{Faults, FaultsError};
pub use latency::{Latency, LatencyError};
pub use rate::{RateLimit, RateLimitError};
pub use stats::{ImageCount, Stats};
pub use verdict::{VerdictRule, VerdictRuleError};

/// Reads a request body in these pieces as the endpoint does: the SHA-256 of the image in it, or the status and the reason of the refusal.
pub fn read_body<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<[u8; 32], (u16, String)> {
    let mut scanner = body::Scanner::new();
    pieces.into_iter().for_each(|piece| scanner.push(piece));
    scanner.finish().map_err(|refusal| (refusal.status.as_u16(), refusal.message.into_owned()))
}

/// What is settled when the simulator starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// The behaviour to start with.
    pub config: Config,
    /// Where the dice begin. The same seed and the same order of requests give the same faults and latencies.
    pub seed: u64,
    /// Bytes of a request body, base64 and all, above which it is answered with 413.
    pub max_body: u64,
    /// Time for the headers of a request, and between two requests of a connection.
    pub header_timeout: Duration,
    /// Time without a byte of a body after which it is answered with 408.
    pub body_idle: Duration,
    /// Time for what is in flight when the simulator is stopped.
    pub drain: Duration,
}

/// A simulator that has its port, and begins to answer when [`run`](Self::run).
pub struct Simulator {
    listener: TcpListener,
    address: SocketAddr,
    options: Options,
    state: Arc<state::State>,
}

/// A way to look into a simulator and to change it while it runs.
#[derive(Clone)]
pub struct Handle {
    state: Arc<state::State>,
}

// === impl Options ===

impl Options {
    /// Answers at once, never fails, takes bodies of up to 20 MiB.
    pub fn new(auth: Auth) -> Self {
        Self {
            config: Config::new(auth),
            seed: 0,
            max_body: 20 * 1024 * 1024,
            header_timeout: Duration::from_mins(1),
            body_idle: Duration::from_secs(30),
            drain: Duration::from_secs(5),
        }
    }
}

// === impl Simulator ===

impl Simulator {
    /// Takes the port (0: any). Clients can connect from here on; they are served once it runs.
    pub async fn bind(address: SocketAddr, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = state::State::new(options.config.clone(), options.seed, options.max_body, options.body_idle);
        Ok(Self { listener, address, options, state: Arc::new(state) })
    }

    /// The address it has, with the port that was chosen.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:9470`
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The whole URL of the endpoint.
    pub fn url(&self) -> String {
        format!("http://{}{DETECT_SPOOF}", self.address)
    }

    /// Can be had before and used after it runs.
    pub fn handle(&self) -> Handle {
        Handle { state: Arc::clone(&self.state) }
    }

    /// Serves until `stop` is cancelled, then finishes what is in flight, for at most [`Options::drain`]. Calls that hang on
    /// purpose are let go at once.
    pub async fn run(self, stop: CancellationToken) {
        let Options { header_timeout, drain, .. } = self.options;
        server::serve(self.listener, self.state, header_timeout, drain, stop).await;
    }
}

// === impl Handle ===

impl Handle {
    /// The counters with one entry per image.
    pub fn stats(&self) -> Stats {
        self.state.counters.stats(true)
    }

    /// The counters without the images: cheap, whatever has been sent.
    pub fn totals(&self) -> Stats {
        self.state.counters.stats(false)
    }

    /// Returns the totals as soon as they meet `condition`. It waits without a limit of its own.
    pub async fn wait_until(&self, condition: impl Fn(&Stats) -> bool) -> Stats {
        self.state.counters.wait_until(condition).await
    }

    /// Sets the counters back; what is open or in flight stays counted.
    pub fn reset(&self) {
        self.state.counters.reset();
    }

    /// Changes the behaviour for every decision from here on, all at once.
    pub fn configure(&self, change: Change) {
        self.state.configure(change, Instant::now());
    }
}
