//! Connections that are open, and which of them a request may go on.
//!
//! ```text
//!   take ──> Lease ──> answered, read to its end ──> idle (HTTP/1.1) or still shared (HTTP/2)
//!              └────── no answer, an error, 5xx, 429, a body left unread ──> closed, or no longer shared
//! ```
//!
//! A connection that is idle may be closed by its server at any moment; a request that is written in that moment is lost, and whether it was
//! processed cannot be known. So an idle connection is used again only while it is younger than any limit that the server has announced
//! (`Keep-Alive: timeout`) or shown: once it has closed one of age *a*, none older than *a*/2 is used. A restart closes connections that were idle for
//! a moment, too: less than a second is no limit of a server that has answered on a connection that had been idle for longer.

use super::connect::{Made, Peer};
use super::request::RequestBody;
use super::wire::Written;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

/// Requests at a time on one HTTP/2 connection: the least that a server should allow (RFC 9113, 6.5.2). More go on another.
const MOST_STREAMS: usize = 100;

/// What a server has shown of its limit is forgotten after this: a restart closes connections of any age, and is no limit.
const REMEMBERED: Duration = Duration::from_mins(10);

/// No server is known whose limit is shorter.
const SHORTEST_LIMIT: Duration = Duration::from_secs(1);

/// With `s3.allow_any_bucket` a producer chooses the hosts: the memory of them is bounded.
const MOST_ORIGINS: usize = 1024;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

pub(super) struct Pool<B: RequestBody> {
    state: Mutex<State<B>>,
    idle_timeout: Duration,
    /// A connection has ended since the idle ones were looked at.
    one_ended: Arc<AtomicBool>,
}

struct State<B: RequestBody> {
    origins: HashMap<Arc<str>, Origin<B>>,
    /// Whether a task closes what has been idle for too long.
    swept: bool,
}

struct Origin<B: RequestBody> {
    idle: Vec<Idle<B>>,
    shared: Vec<Arc<Shared<B>>>,
    learned: Option<Learned>,
    /// The longest time that a connection had been idle when the server answered on it again.
    served_after: Duration,
    /// Makes connections one after the other, unless `concurrent`.
    turn: Arc<Semaphore>,
    /// Known to speak HTTP/1.1, or the last connection could not be made.
    concurrent: bool,
}

/// What a server has shown: idle connections older than this are not to be relied on.
#[derive(Clone, Copy)]
struct Learned {
    limit: Duration,
    at: Instant,
}

/// An HTTP/1.1 connection, for one request at a time.
struct Exclusive<B: RequestBody> {
    sender: http1::SendRequest<B>,
    running: Running,
    written: Arc<Written>,
    peer: Peer,
}

struct Idle<B: RequestBody> {
    connection: Exclusive<B>,
    since: Instant,
    /// What the server announced, and our own limit.
    limit: Duration,
}

/// An HTTP/2 connection.
struct Shared<B: RequestBody> {
    sender: http2::SendRequest<B>,
    ended: Arc<OnceLock<Instant>>,
    /// Requests on it failed: it takes no more. Those that are on it go on.
    retired: AtomicBool,
    load: Mutex<Load>,
}

/// How many requests are on a connection, and since when it has been that many.
struct Load {
    streams: usize,
    since: Instant,
}

/// The task that drives an HTTP/1.1 connection; it ends with this.
struct Running {
    task: AbortHandle,
    ended: Arc<OnceLock<Instant>>,
}

enum Held<B: RequestBody> {
    Exclusive(Exclusive<B>),
    Shared(Arc<Shared<B>>),
}

/// The right to send one request on a connection.
pub(super) struct Lease<B: RequestBody> {
    pool: Arc<Pool<B>>,
    origin: Arc<str>,
    held: Option<Held<B>>,
    /// For how long the connection had been idle when it was taken.
    idled: Option<Duration>,
    /// For how long the server keeps it, where it says.
    keeps: Option<Duration>,
    answered: bool,
    serves: bool,
}

// === impl Pool ===

impl<B: RequestBody> Pool<B> {
    pub(super) fn new(idle_timeout: Duration) -> Self {
        let state = Mutex::new(State { origins: HashMap::new(), swept: false });
        Self { state, idle_timeout, one_ended: Arc::default() }
    }

    /// A connection that is open and may be used. The youngest first, so that the others grow old enough to be closed.
    pub(super) fn take(self: &Arc<Self>, origin: &Arc<str>) -> Option<Lease<B>> {
        let now = Instant::now();
        let mut state = self.state();
        // There is one for each job in flight, as a rule all open: they are gone over only where one has ended.
        if self.one_ended.swap(false, Ordering::AcqRel) {
            state.origins.values_mut().for_each(|known| known.tidy(now, self.idle_timeout));
        }
        let known = state.origins.get_mut(origin)?;
        known.shared.retain(|shared| shared.is_of_use_at(now, self.idle_timeout));
        if let Some(shared) = known.shared.iter().find(|shared| shared.load().streams < MOST_STREAMS) {
            shared.load().streams += 1;
            let shared = shared.clone();
            drop(state);
            return Some(self.lease(origin, Held::Shared(shared), None));
        }
        let learned = known.learned(now);
        while let Some(idle) = known.idle.pop() {
            if idle.is_usable(now, learned) && idle.connection.sender.is_ready() {
                drop(state);
                return Some(self.lease(origin, Held::Exclusive(idle.connection), Some(now - idle.since)));
            }
        }
        None
    }

    /// Waits for the right to make a connection that others may share. `None` where nothing is to be waited for.
    pub(super) async fn turn(&self, origin: &Arc<str>, may_be_shared: bool) -> Option<OwnedSemaphorePermit> {
        if !may_be_shared {
            return None;
        }
        let turn = {
            let mut state = self.state();
            let known = state.origin(origin);
            if known.concurrent {
                return None;
            }
            known.turn.clone()
        };
        let turn = turn.acquire_owned().await.ok()?;
        // Meanwhile a connection may have failed, or shown that none is shared: then waiting in line is of no use.
        (!self.state().origin(origin).concurrent).then_some(turn)
    }

    /// A connection was made, with HTTP/2 or not; or it could not be made.
    pub(super) fn made(&self, origin: &Arc<str>, http2: Option<bool>) {
        self.state().origin(origin).concurrent = http2 != Some(true);
    }

    /// Takes on a new connection, for a first request.
    pub(super) fn hold(self: &Arc<Self>, origin: &Arc<str>, made: Made<B>) -> Lease<B> {
        let ended = Arc::new(OnceLock::new());
        match made {
            Made::Http1 { sender, running, written, peer } => {
                let running = Running { task: drive(running, ended.clone(), self.one_ended.clone()), ended };
                self.lease(origin, Held::Exclusive(Exclusive { sender, running, written, peer }), None)
            }
            Made::Http2 { sender, running } => {
                drive(running, ended.clone(), self.one_ended.clone());
                let shared = Arc::new(Shared {
                    sender,
                    ended,
                    retired: AtomicBool::new(false),
                    load: Mutex::new(Load { streams: 1, since: Instant::now() }),
                });
                self.state().origin(origin).shared.push(shared.clone());
                self.lease(origin, Held::Shared(shared), None)
            }
        }
    }

    fn lease(self: &Arc<Self>, origin: &Arc<str>, held: Held<B>, idled: Option<Duration>) -> Lease<B> {
        let (pool, origin) = (self.clone(), origin.clone());
        Lease { pool, origin, held: Some(held), idled, keeps: None, answered: false, serves: false }
    }

    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes back a connection that has served, after it `had_idled` for a while if it was not new.
    fn keep(
        self: &Arc<Self>,
        origin: &Arc<str>,
        connection: Exclusive<B>,
        limit: Option<Duration>,
        had_idled: Option<Duration>,
    ) {
        let now = Instant::now();
        let limit = limit.unwrap_or(self.idle_timeout).min(self.idle_timeout);
        let mut state = self.state();
        let known = state.origin(origin);
        known.served_after = known.served_after.max(had_idled.unwrap_or_default());
        known.idle.push(Idle { connection, since: now, limit });
        drop(state);
        self.watch();
    }

    /// Sees to it that what is idle now is closed in time.
    fn watch(self: &Arc<Self>) {
        if std::mem::replace(&mut self.state().swept, true) {
            return;
        }
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(next) = pool.upgrade().and_then(|pool| pool.sweep()) {
                sleep_until(next).await;
            }
        });
    }

    /// Closes what has been idle for too long, and says when to come again.
    fn sweep(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.state();
        let mut next = None;
        for known in state.origins.values_mut() {
            known.tidy(now, self.idle_timeout);
            let ends = known.idle.iter().map(|idle| idle.since + idle.limit);
            let shared = known.shared.iter().filter_map(|shared| Some(shared.idle_since()? + self.idle_timeout));
            next = next.into_iter().chain(ends).chain(shared).min();
        }
        state.swept = next.is_some();
        next.map(|next| next.max(now + Duration::from_millis(10)))
    }
}

impl<B: RequestBody> State<B> {
    fn origin(&mut self, origin: &Arc<str>) -> &mut Origin<B> {
        if self.origins.len() >= MOST_ORIGINS && !self.origins.contains_key(origin) {
            self.origins.retain(|_, known| !(known.idle.is_empty() && known.shared.is_empty()));
        }
        self.origins.entry(origin.clone()).or_insert_with(|| Origin {
            idle: Vec::new(),
            shared: Vec::new(),
            learned: None,
            served_after: Duration::ZERO,
            turn: Arc::new(Semaphore::new(1)),
            concurrent: false,
        })
    }
}

impl<B: RequestBody> Origin<B> {
    /// Learns from connections that were closed while idle, and drops what is not to be used.
    fn tidy(&mut self, now: Instant, idle_timeout: Duration) {
        for idle in &self.idle {
            if let Some(&ended) = idle.connection.running.ended.get() {
                learn(&mut self.learned, ended.saturating_duration_since(idle.since), self.served_after, now);
            }
        }
        let learned = self.learned(now);
        self.idle.retain(|idle| idle.is_usable(now, learned));
        self.shared.retain(|shared| shared.is_of_use_at(now, idle_timeout));
    }

    fn learned(&self, now: Instant) -> Option<Duration> {
        self.learned.filter(|learned| now - learned.at < REMEMBERED).map(|learned| learned.limit)
    }
}

impl<B: RequestBody> Idle<B> {
    fn is_usable(&self, now: Instant, learned: Option<Duration>) -> bool {
        let limit = learned.map_or(self.limit, |learned| learned.min(self.limit));
        !self.connection.sender.is_closed() && now - self.since < limit
    }
}

/// The server has closed a connection that had been idle for so long.
fn learn(learned: &mut Option<Learned>, age: Duration, served_after: Duration, now: Instant) {
    if age < SHORTEST_LIMIT.min(served_after) {
        return;
    }
    let limit = age / 2;
    let shorter = learned.is_none_or(|known| limit < known.limit || now - known.at >= REMEMBERED);
    if shorter {
        *learned = Some(Learned { limit, at: now });
    }
}

fn drive<F>(connection: F, ended: Arc<OnceLock<Instant>>, one_ended: Arc<AtomicBool>) -> AbortHandle
where
    F: Future<Output = hyper::Result<()>> + Send + 'static,
{
    tokio::spawn(async move {
        // Who has a request on it hears of its end in better words.
        if let Err(error) = connection.await {
            tracing::trace!(%error, "a connection ended");
        }
        ended.get_or_init(Instant::now);
        one_ended.store(true, Ordering::Release);
    })
    .abort_handle()
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<B: RequestBody> Shared<B> {
    fn load(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when there is no request on it, if there is none.
    fn idle_since(&self) -> Option<Instant> {
        let load = self.load();
        (load.streams == 0).then_some(load.since)
    }

    fn is_of_use_at(&self, now: Instant, idle_timeout: Duration) -> bool {
        self.ended.get().is_none()
            && !self.sender.is_closed()
            && !self.retired.load(Ordering::Relaxed)
            && self.idle_since().is_none_or(|since| now - since < idle_timeout)
    }
}

// === impl Lease ===

impl<B: RequestBody> Lease<B> {
    pub(super) fn is_http2(&self) -> bool {
        matches!(self.held, Some(Held::Shared(_)))
    }

    /// What is at the other end.
    pub(super) fn peer(&self) -> &Peer {
        if let Some(Held::Exclusive(connection)) = &self.held { &connection.peer } else { &Peer::Server }
    }

    /// True when it is proved that the server has not had the whole request: some of it has not left this process. (Of an HTTP/2 connection, which others use, too, that
    /// cannot be said.)
    pub(super) fn request_incomplete(&self) -> bool {
        matches!(&self.held, Some(Held::Exclusive(connection)) if connection.written.is_short())
    }

    /// The connection broke before an answer: if it had been idle, that may be why.
    pub(super) fn broke_before_answer(&mut self) {
        if let Some(age) = self.idled {
            let now = Instant::now();
            let mut state = self.pool.state();
            let known = state.origin(&self.origin);
            learn(&mut known.learned, age, known.served_after, now);
        }
    }

    /// The head of the answer is there. `serves` is false when the connection is to be left.
    pub(super) fn answered(&mut self, headers: &HeaderMap, serves: bool) {
        self.answered = true;
        self.serves = serves;
        self.keeps = headers.get(KEEP_ALIVE).and_then(announced);
    }
}

impl<B: RequestBody> Lease<B>
where
    B: RequestBody,
{
    pub(super) async fn send(&mut self, request: Request<B>) -> Result<Response<Incoming>, TrySendError<Request<B>>> {
        match &mut self.held {
            Some(Held::Exclusive(connection)) => connection.sender.try_send_request(request).await,
            Some(Held::Shared(shared)) => shared.sender.clone().try_send_request(request).await,
            None => unreachable!("a lease is held until it is dropped or done"),
        }
    }
}

impl<B: RequestBody> Lease<B> {
    /// The answer has been read to its end.
    pub(super) fn done(mut self) {
        if !self.serves {
            return;
        }
        if let Some(Held::Exclusive(_)) = &self.held
            && let Some(Held::Exclusive(connection)) = self.held.take()
        {
            self.pool.keep(&self.origin, connection, self.keeps, self.idled);
        }
    }
}

impl<B: RequestBody> Drop for Lease<B> {
    /// What is still held is left: an HTTP/1.1 connection is closed, one that others use is not used by new requests unless it has served.
    fn drop(&mut self) {
        if let Some(Held::Shared(shared)) = self.held.take() {
            if !(self.answered && self.serves) {
                shared.retired.store(true, Ordering::Relaxed);
            }
            let mut load = shared.load();
            load.streams -= 1;
            load.since = Instant::now();
            drop(load);
            self.pool.watch();
        }
    }
}

/// Below the limit that the server announces: what is sent at its end may arrive after it.
fn announced(value: &HeaderValue) -> Option<Duration> {
    let seconds = value.to_str().ok()?.split(',').find_map(|item| item.trim().strip_prefix("timeout="))?;
    let limit = Duration::from_secs(seconds.trim().parse().ok()?);
    Some(limit.saturating_sub(Duration::from_secs(1)).max(limit / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_shows_no_limit_and_a_server_that_closes_at_once_does() {
        let now = Instant::now();
        let limit = |age, served_after| {
            let mut learned = None;
            learn(&mut learned, Duration::from_millis(age), Duration::from_millis(served_after), now);
            learned.map(|learned| learned.limit.as_millis())
        };
        assert_eq!(limit(5, 0), Some(2), "it has never answered twice");
        assert_eq!(limit(5, 40), None, "it has answered after longer");
        assert_eq!(limit(50, 40), Some(25));
        assert_eq!(limit(5_000, 60_000), Some(2_500), "it may have been configured anew");
    }
}
