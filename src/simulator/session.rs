//! What is known of one connection, by those who serve it and by the wire below them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use http::Version;
use tokio::sync::watch;
use tokio::time::Instant;

use super::state::State;

/// A connection.
pub(super) struct Session {
    state: Arc<State>,
    to_be_reset: AtomicBool,
    stopped: AtomicBool,
    moving: AtomicWaker,
    http2: AtomicBool,
    requests: AtomicU32,
    busy: AtomicUsize,
    /// Since when it has no request; none while it has one.
    idle_since: watch::Sender<Option<Instant>>,
}

/// A request of the connection, until its answer is handed over.
pub(super) struct Busy(Arc<Session>);

/// Nothing will be answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum CutOff {
    /// The connection is to be closed, or its client has left.
    #[error("answer the request")]
    Reset,
    /// Over HTTP/2, the server's library tells the client this reason.
    #[error("take the request")]
    Refused(#[source] h2::Error),
}

// === impl Session ===

impl Session {
    pub(super) fn new(state: Arc<State>) -> Self {
        Self {
            state,
            to_be_reset: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            moving: AtomicWaker::new(),
            http2: AtomicBool::new(false),
            requests: AtomicU32::new(0),
            busy: AtomicUsize::new(0),
            idle_since: watch::Sender::new(Some(Instant::now())),
        }
    }

    /// A request has arrived.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> Busy {
        self.http2.store(version >= Version::HTTP_2, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.busy.fetch_add(1, Ordering::AcqRel);
        self.idle_since.send_replace(None);
        Busy(Arc::clone(self))
    }

    pub(super) fn has_spoken(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    pub(super) fn speaks_http2(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
    }

    /// Whether the request that is being answered is the last one of the connection. (Over HTTP/2 the wire sees to it.)
    pub(super) fn is_at_its_last(&self) -> bool {
        let most = self.max_requests();
        most > 0 && self.requests.load(Ordering::Relaxed) >= most
    }

    pub(super) fn max_requests(&self) -> u32 {
        self.state.max_requests()
    }

    /// Over HTTP/2, GOAWAY names the last request.
    pub(super) fn told_to_go_away(&self) {
        self.state.counters.count_fault("goaway");
    }

    /// The connection is to end with a reset, and the error makes the server end it now. Over HTTP/2 the error alone resets
    /// the one stream, and the others go on.
    pub(super) fn reset(&self, version: Version) -> CutOff {
        if version < Version::HTTP_2 {
            self.to_be_reset.store(true, Ordering::Relaxed);
        }
        CutOff::Reset
    }

    pub(super) fn is_to_be_reset(&self) -> bool {
        self.to_be_reset.load(Ordering::Relaxed)
    }

    /// Stops the connection and waits until it may go on.
    pub(super) async fn hang(&self) {
        let _going_on = GoesOn(self);
        self.stopped.store(true, Ordering::Release);
        self.state.hang_is_over().await;
    }

    /// Pending while the connection is stopped. Reader and writer are polled by one task, so one waker is enough.
    pub(super) fn poll_moving(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.stopped.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        self.moving.register(cx.waker());
        // It may have gone on between the look and the registration.
        if self.stopped.load(Ordering::Acquire) { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Returns when the connection has had no request for as long as the settings allow.
    pub(super) async fn idle(&self) {
        let mut since = self.idle_since.subscribe();
        let mut limit = self.state.idle_timeout();
        loop {
            let deadline =
                since.borrow_and_update().zip(*limit.borrow_and_update()).map(|(since, limit)| since + limit);
            let passed = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = passed => return,
                // Their senders live as long as this session.
                _ = since.changed() => {}
                _ = limit.changed() => {}
            }
        }
    }
}

struct GoesOn<'a>(&'a Session);

impl Drop for GoesOn<'_> {
    fn drop(&mut self) {
        self.0.stopped.store(false, Ordering::Release);
        self.0.moving.wake();
    }
}

// === impl Busy ===

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle_since.send_replace(Some(Instant::now()));
        }
    }
}
