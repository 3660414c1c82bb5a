//! What a link does with one connection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::select;
use tokio::sync::watch;

use super::{Direction, Ending, Flow, Fuse, Mode};

/// Small enough that a freeze in the middle of a body holds most of it.
const BUFFER: usize = 16 * 1024;

/// What a link and its connections know in common.
pub(super) struct Shared {
    pub(super) target: Mutex<String>,
    detour: Mutex<Option<Detour>>,
    pub(super) mode: watch::Sender<Mode>,
    pub(super) accepted: AtomicU64,
    pub(super) open: AtomicU64,
    pub(super) swelling: AtomicBool,
    /// No connection lives through this on its way to the daemon, or, where it stalls, passes anything more.
    pub(super) poison: Mutex<Option<Vec<u8>>>,
    pub(super) stalls: AtomicBool,
    pub(super) poisoned: AtomicU64,
    damage: Mutex<Option<Damage>>,
    /// How the answer begins that says how much is in the queue which is said to be empty.
    hollow: Mutex<Option<Vec<u8>>>,
    to_service: Flow,
    to_daemon: Flow,
}

/// What is changed on its way to the daemon.
struct Damage {
    bytes: Vec<u8>,
    times: u64,
}

/// Where some of the new connections go instead.
struct Detour {
    target: String,
    one_in: u64,
    connections: u64,
}

impl Shared {
    pub(super) fn new(target: String) -> Self {
        Self {
            target: Mutex::new(target),
            detour: Mutex::new(None),
            mode: watch::Sender::new(Mode::Open),
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            swelling: AtomicBool::new(false),
            poison: Mutex::new(None),
            stalls: AtomicBool::new(false),
            poisoned: AtomicU64::new(0),
            damage: Mutex::new(None),
            hollow: Mutex::new(None),
            to_service: Flow::default(),
            to_daemon: Flow::default(),
        }
    }

    pub(super) fn flow(&self, direction: Direction) -> &Flow {
        match direction {
            Direction::ToService => &self.to_service,
            Direction::ToDaemon => &self.to_daemon,
        }
    }

    pub(super) fn divert(&self, detour: Option<(String, u64)>) {
        let detour = detour.map(|(target, one_in)| Detour { target, one_in, connections: 0 });
        *self.detour.lock().unwrap_or_else(PoisonError::into_inner) = detour;
    }

    /// Where the next connection goes. The first after `divert` takes the detour.
    fn next_target(&self) -> String {
        let mut detour = self.detour.lock().unwrap_or_else(PoisonError::into_inner);
        let target = self.target.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(detour) = detour.as_mut() else { return target };
        let number = detour.connections;
        detour.connections += 1;
        if number.is_multiple_of(detour.one_in) { detour.target.clone() } else { target }
    }

    /// Whether the poison is in what passes, `tail` being the end of what passed before. `tail` becomes the end of both.
    fn kills(&self, tail: &mut Vec<u8>, bytes: &[u8]) -> bool {
        let poison = self.poison.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(poison) = poison else { return false };
        tail.extend_from_slice(bytes);
        let found = tail.windows(poison.len()).any(|window| window == poison);
        tail.drain(..tail.len().saturating_sub(poison.len() - 1));
        self.poisoned.fetch_add(found.into(), Ordering::SeqCst);
        found
    }

    pub(super) fn damage(&self, bytes: &[u8], times: u64) {
        let damage = Damage { bytes: bytes.to_vec(), times };
        *self.damage.lock().unwrap_or_else(PoisonError::into_inner) = Some(damage);
    }

    /// Changes what is to be changed in what passes, `tail` being the end of what came before.
    fn spoil(&self, tail: &mut Vec<u8>, bytes: &mut [u8]) {
        let mut damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Damage { bytes: wanted, times }) = damage.as_mut() else { return };
        let before = tail.len();
        tail.extend_from_slice(bytes);
        for (at, window) in tail.windows(wanted.len()).enumerate() {
            let last = (at + wanted.len() - 1).checked_sub(before).and_then(|last| bytes.get_mut(last));
            if let Some(last) = last.filter(|_| *times > 0 && window == wanted) {
                *last ^= 1;
                *times -= 1;
            }
        }
        tail.drain(..tail.len().saturating_sub(wanted.len() - 1));
    }

    pub(super) fn hollow(&self, queue: Option<&str>) {
        /// `queue.declare-ok`; the name of the queue follows, and then the counts of messages and consumers, four bytes each.
        const DECLARED: [u8; 4] = [0, 50, 0, 11];

        let answer = |queue: &str| {
            let length = u8::try_from(queue.len()).expect("a short name");
            [&DECLARED[..], &[length], queue.as_bytes()].concat()
        };
        *self.hollow.lock().unwrap_or_else(PoisonError::into_inner) = queue.map(answer);
    }

    /// Sets both counts to 0 in each such answer. A broker writes an answer in one piece.
    fn empty(&self, bytes: &mut [u8]) {
        let hollow = self.hollow.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(answer) = hollow.as_ref() else { return };
        let windows = bytes.windows(answer.len()).enumerate();
        let counts: Vec<_> = windows.filter(|(_, window)| window == answer).map(|(at, _)| at + answer.len()).collect();
        for counts in counts {
            if let Some(counts) = bytes.get_mut(counts..counts + 8) {
                counts.fill(0);
            }
        }
    }

    pub(super) fn arm(&self, direction: Direction, left: u64, ending: Ending) {
        *self.flow(direction).fuse() = Some(Fuse { left, ending });
    }

    pub(super) fn armed(&self, direction: Direction) -> bool {
        self.flow(direction).fuse().is_some()
    }

    pub(super) fn disarm(&self, direction: Direction) -> bool {
        self.flow(direction).fuse().take().is_some()
    }
}

impl Flow {
    fn fuse(&self) -> MutexGuard<'_, Option<Fuse>> {
        self.fuse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes leave to pass `len` bytes on: how many may pass, and how the connection ends after them if it does.
    fn take_leave(&self, len: usize) -> (usize, Option<Ending>) {
        let mut fuse = self.fuse();
        let Some(Fuse { left, ending }) = *fuse else {
            return (len, None);
        };
        let wanted = len as u64;
        if wanted < left {
            *fuse = Some(Fuse { left: left - wanted, ending });
            return (len, None);
        }
        *fuse = None;
        (usize::try_from(left).expect("not above the length of a buffer"), Some(ending))
    }
}

/// Counts a connection for as long as its task lives.
pub(super) struct Guard(Arc<Shared>);

impl Guard {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        shared.open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Carries bytes both ways until both sides are done, one of them fails, a fuse burns or the link is cut.
pub(super) async fn carry(guard: Guard, mut client: TcpStream) {
    let shared = &guard.0;
    let mut mode = shared.mode.subscribe();
    let server = select! {
        biased;
        _ = mode.wait_for(|mode| *mode == Mode::Cut) => None,
        server = reach(shared) => server,
    };
    let Some(mut server) = server else {
        return reset(&client);
    };
    // A proxy that waits for full segments would turn every small frame into a delay.
    let prompt = client.set_nodelay(true).is_ok() && server.set_nodelay(true).is_ok();

    let ending = if prompt {
        let (client_reads, client_writes) = client.split();
        let (server_reads, server_writes) = server.split();
        let both = async {
            tokio::try_join!(
                pump(shared, Direction::ToService, client_reads, server_writes),
                pump(shared, Direction::ToDaemon, server_reads, client_writes),
            )
        };
        select! {
            biased;
            _ = mode.wait_for(|mode| *mode == Mode::Cut) => Ending::Reset,
            done = both => done.err().unwrap_or(Ending::Close),
        }
    } else {
        Ending::Reset
    };
    if ending == Ending::Reset {
        reset(&client);
        reset(&server);
    }
}

/// A connection to the service, once the link is not frozen. None when the service refuses.
async fn reach(shared: &Shared) -> Option<TcpStream> {
    thawed(&mut shared.mode.subscribe()).await;
    TcpStream::connect(shared.next_target()).await.ok()
}

/// Passes bytes one way. Ok at the end of the stream, which is passed on too.
async fn pump(
    shared: &Shared,
    direction: Direction,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
) -> Result<(), Ending> {
    let flow = shared.flow(direction);
    let mut mode = shared.mode.subscribe();
    let mut buffer = vec![0; BUFFER];
    let (mut tail, mut before) = (Vec::new(), Vec::new());
    loop {
        let len = from.read(&mut buffer).await.map_err(|_| Ending::Reset)?;
        // Looked at after the read: what arrives while the link is frozen must not pass, the end of the stream included.
        thawed(&mut mode).await;
        if len == 0 {
            return to.shutdown().await.map_err(|_| Ending::Reset);
        }
        if direction == Direction::ToDaemon && shared.swelling.load(Ordering::SeqCst) && swell(&mut buffer[..len]) {
            shared.swelling.store(false, Ordering::SeqCst);
        }
        if direction == Direction::ToDaemon {
            shared.spoil(&mut before, &mut buffer[..len]);
            shared.empty(&mut buffer[..len]);
        }
        if direction == Direction::ToDaemon && shared.kills(&mut tail, &buffer[..len]) {
            if shared.stalls.load(Ordering::SeqCst) {
                // Until the other side gives the connection up.
                std::future::pending::<()>().await;
            }
            return Err(Ending::Reset);
        }
        let (len, ending) = flow.take_leave(len);
        to.write_all(&buffer[..len]).await.map_err(|_| Ending::Reset)?;
        flow.bytes.fetch_add(len as u64, Ordering::SeqCst);
        if let Some(ending) = ending {
            return Err(ending);
        }
    }
}

/// Raises the first digit of a `Content-Length`. False where there is none that can be raised.
fn swell(bytes: &mut [u8]) -> bool {
    const NAME: &[u8] = b"\ncontent-length: ";

    let found = bytes.windows(NAME.len()).position(|window| window.eq_ignore_ascii_case(NAME));
    let digit = found.and_then(|at| bytes.get_mut(at + NAME.len()));
    match digit {
        Some(digit @ b'1'..=b'8') => {
            *digit += 1;
            true
        }
        _ => false,
    }
}

async fn thawed(mode: &mut watch::Receiver<Mode>) {
    // The sender lives in what the caller borrows, so this cannot fail; a cut ends the caller from outside.
    let _open = mode.wait_for(|mode| *mode != Mode::Frozen).await;
}

/// Makes the kernel send a reset when the stream is dropped.
fn reset(stream: &TcpStream) {
    // Fails on a stream that is closed already, which is what was wanted.
    stream.set_zero_linger().ok();
}
