//! The one thread that touches the file. What has to be written gathers for a moment and goes together: a commit costs hundreds of
//! microseconds of processor time however much is in it.

mod order;
mod thread;

pub(super) use order::Opener;

use super::open::{OpenError, open};
use super::store::{Step, StepResult};
use crate::ledger::clock::Clock;
use antispoof_core::ports::LedgerError;
use order::{Answers, Order, ended};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;
use thread::Thread;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Most steps that wait; a disk that stands still must not fill the memory.
const BACKLOG: usize = 16 * 1024;

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    orders: Sender<Order>,
    backlog: Arc<AtomicUsize>,
    ended: CancellationToken,
}

impl Writer {
    /// Starts the thread and waits until it has the file.
    pub(super) async fn start(path: PathBuf, ttl: Duration, clock: Clock) -> Result<Self, OpenError> {
        let at = path.clone();
        Self::with_opener(path, Box::new(move |check| open(&at, check)), ttl, clock).await
    }

    pub(super) async fn with_opener(
        path: PathBuf,
        open: Opener,
        ttl: Duration,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let (orders, receiver) = mpsc::channel();
        let backlog = Arc::<AtomicUsize>::default();
        let (opened, is_open) = oneshot::channel();
        let (answers, batches) = unbounded_channel();
        let ended = CancellationToken::new();
        // It ends with the thread, whose answers it hands out.
        tokio::spawn(hand_out(batches, ended.clone().drop_guard()));
        let failed = |source| OpenError::Io { path: path.clone(), source };
        let thread = Thread::new(path.clone(), open, ttl, clock, receiver, answers, backlog.clone());
        std::thread::Builder::new().name("ledger".to_owned()).spawn(move || thread.run(opened)).map_err(failed)?;
        match is_open.await {
            Ok(result) => result.map(|()| Self { orders, backlog, ended }),
            Err(_) => Err(failed(std::io::Error::other("the ledger's thread ended"))),
        }
    }

    /// A step, and its answer.
    pub(super) async fn ask(&self, step: Step) -> Result<StepResult, LedgerError> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Ask(step, answer))?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }

    /// A step without an answer.
    pub(super) fn send(&self, step: Step) -> Result<(), LedgerError> {
        self.order(Order::Tell(step))
    }

    /// Ends when the thread has, or the task that hands out its answers.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Writes what waits and lets the file go.
    pub(super) async fn close(&self) {
        let (closed, is_closed) = oneshot::channel();
        if self.orders.send(Order::Close(closed)).is_ok() {
            // An error means that it has ended, which is what is wanted.
            drop(is_closed.await);
        }
    }

    fn order(&self, order: Order) -> Result<(), LedgerError> {
        if self.backlog.fetch_add(1, Ordering::Relaxed) >= BACKLOG {
            self.backlog.fetch_sub(1, Ordering::Relaxed);
            return Err(LedgerError("the disk of the ledger does not keep up".to_owned()));
        }
        self.orders.send(order).map_err(|_| ended())
    }
}

/// Gives each who asked the answer, on the runtime's own thread.
async fn hand_out(mut batches: UnboundedReceiver<Answers>, _ended: DropGuard) {
    while let Some(batch) = batches.recv().await {
        for (answer, said) in batch {
            // The task may have stopped waiting; the step has been taken all the same.
            drop(answer.send(said));
        }
    }
}
