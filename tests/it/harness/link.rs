//! A network link that a test can cut, freeze and break in the middle of a message.

#[path = "link/carry.rs"]
mod carry;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use tokio::net::{TcpListener, TcpSocket};
use tokio::select;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::carry::Shared;
use super::ports;
use super::wait::{SOON, eventually, eventually_equals};

/// Which way bytes flow through a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the daemon to the service: requests, publishes.
    ToService,
    /// From the service to the daemon: responses, deliveries.
    ToDaemon,
}

/// How a connection ends that is broken after a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Both sides see a reset.
    Reset,
    /// Both sides see an orderly end of the stream.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    Frozen,
    Cut,
}

/// A TCP proxy on loopback in front of one service. It lives as long as its runtime or itself, whichever ends first.
pub(crate) struct Link {
    addr: SocketAddr,
    shared: Arc<Shared>,
    listening: watch::Receiver<bool>,
    acceptor: JoinHandle<()>,
}

impl Link {
    /// An open link to `target` (`host:port`).
    pub(crate) async fn to(target: impl Into<String>) -> Self {
        let addr = ports::reserve();
        let shared = Arc::new(Shared::new(target.into()));
        let (tell, listening) = watch::channel(false);
        let acceptor = tokio::spawn(accept(addr, Arc::clone(&shared), tell));
        let link = Self { addr, shared, listening, acceptor };
        link.wait_listening(true).await;
        link
    }

    /// Where to connect instead of the service.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// New connections lead to another service; those that are open stay where they are.
    pub(crate) fn lead_to(&self, target: impl Into<String>) {
        *self.shared.target.lock().unwrap_or_else(PoisonError::into_inner) = target.into();
    }

    /// Resets every connection and refuses new ones. On return it has happened.
    pub(crate) async fn cut(&self) {
        self.shared.mode.send_replace(Mode::Cut);
        self.wait_listening(false).await;
        eventually_equals("the connections of a cut link to be gone", SOON, 0, async || self.open()).await;
    }

    /// Accepts connections again, on the same address. On return it does.
    pub(crate) async fn restore(&self) {
        self.shared.mode.send_replace(Mode::Open);
        self.wait_listening(true).await;
    }

    /// From now on no byte passes either way, and no connection is closed: each side believes that the other is slow. New connections
    /// are accepted and reach nobody. What was passed on already may still be read by the receiver.
    pub(crate) fn freeze(&self) {
        self.shared.mode.send_replace(Mode::Frozen);
    }

    /// Lets the bytes held by `freeze` pass.
    pub(crate) fn thaw(&self) {
        self.shared.mode.send_replace(Mode::Open);
    }

    /// Lets `bytes` more bytes pass in `direction`, counted over all connections from now, then resets the connection that
    /// carried the last of them. It happens once.
    pub(crate) fn drop_after(&self, bytes: u64, direction: Direction) {
        self.shared.arm(direction, bytes, Ending::Reset);
    }

    /// As `drop_after`, but the connection ends in an orderly way: a reader that does not count sees a complete stream.
    pub(crate) fn close_after(&self, bytes: u64, direction: Direction) {
        self.shared.arm(direction, bytes, Ending::Close);
    }

    /// Whether a `drop_after` or `close_after` has not happened yet.
    pub(crate) fn armed(&self, direction: Direction) -> bool {
        self.shared.armed(direction)
    }

    /// Takes back a `drop_after` or `close_after` that has not happened. False when it has.
    pub(crate) fn disarm(&self, direction: Direction) -> bool {
        self.shared.disarm(direction)
    }

    /// The next answer whose `Content-Length` passes to the daemon in one piece announces more than comes. It happens once, unless the length
    /// begins with a nine.
    pub(crate) fn swell_length(&self) {
        self.shared.swelling.store(true, Ordering::SeqCst);
    }

    /// Whether `swell_length` has not happened yet.
    pub(crate) fn swells(&self) -> bool {
        self.shared.swelling.load(Ordering::SeqCst)
    }

    /// From now on each connection that brings these bytes to the daemon is reset before they pass. `None`: no more.
    pub(crate) fn poison(&self, bytes: Option<&[u8]>) {
        *self.shared.poison.lock().unwrap_or_else(PoisonError::into_inner) = bytes.map(<[u8]>::to_vec);
    }

    /// As `poison`, but the connection stays, and nothing more passes to the daemon.
    pub(crate) fn stall_at(&self, bytes: Option<&[u8]>) {
        self.shared.stalls.store(bytes.is_some(), Ordering::SeqCst);
        self.poison(bytes);
    }

    /// The next `times` that these bytes pass to the daemon, the last of them passes with one bit changed, as after a fault of memory on the way.
    pub(crate) fn damage(&self, bytes: &[u8], times: u64) {
        self.shared.damage(bytes, times);
    }

    /// From now on the broker behind this link says of this queue that it has neither messages nor consumers, as one does that reaches no leader of it. `None`:
    /// no more.
    pub(crate) fn hollow(&self, queue: Option<&str>) {
        self.shared.hollow(queue);
    }

    /// Connections that `poison` has ended, or `stall_at` stopped.
    pub(crate) fn poisoned(&self) -> u64 {
        self.shared.poisoned.load(Ordering::SeqCst)
    }

    /// From now on every `one_in`th new connection reaches `other` (`host:port`) instead of the service, as behind a balancer with another node. Those that
    /// are open stay.
    pub(crate) fn divert(&self, other: impl std::fmt::Display, one_in: u64) {
        self.shared.divert(Some((other.to_string(), one_in)));
    }

    /// Takes `divert` back.
    pub(crate) fn go_straight(&self) {
        self.shared.divert(None);
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> u64 {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Bytes passed on so far in `direction`.
    pub(crate) fn bytes(&self, direction: Direction) -> u64 {
        self.shared.flow(direction).bytes.load(Ordering::SeqCst)
    }

    async fn wait_listening(&self, expected: bool) {
        let mut listening = self.listening.clone();
        eventually(&format!("the link's listener to be {expected}"), SOON, async || {
            listening.wait_for(|now| *now == expected).await.map(|_| ()).map_err(|gone| gone.to_string())
        })
        .await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The connections' tasks see the change of mode, the acceptor needs no more than to be gone.
        self.shared.mode.send_replace(Mode::Cut);
        self.acceptor.abort();
    }
}

/// Listens whenever the link is not cut. A cut closes the listener, so that the kernel refuses connections, as it does for a service that is down.
async fn accept(addr: SocketAddr, shared: Arc<Shared>, tell: watch::Sender<bool>) {
    let mut mode = shared.mode.subscribe();
    loop {
        if mode.wait_for(|mode| *mode != Mode::Cut).await.is_err() {
            return;
        }
        let listener = listen(addr).unwrap_or_else(|problem| panic!("a link cannot listen on {addr}: {problem}"));
        tell.send_replace(true);
        loop {
            select! {
                biased;
                _ = mode.wait_for(|mode| *mode == Mode::Cut) => break,
                accepted = listener.accept() => {
                    if let Ok((client, _)) = accepted {
                        tokio::spawn(carry::carry(carry::Guard::new(&shared), client));
                    }
                }
            }
        }
        drop(listener);
        tell.send_replace(false);
    }
}

fn listen(addr: SocketAddr) -> std::io::Result<TcpListener> {
    const BACKLOG: u32 = 1024;

    let socket = TcpSocket::new_v4()?;
    // Connections of before the cut may linger in TIME_WAIT; without this the address would be taken for a minute.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Bytes that may still pass before a connection breaks, and how it breaks.
#[derive(Clone, Copy, Debug)]
struct Fuse {
    left: u64,
    ending: Ending,
}

/// One direction of a link, over all its connections.
#[derive(Default)]
struct Flow {
    bytes: AtomicU64,
    fuse: std::sync::Mutex<Option<Fuse>>,
}
