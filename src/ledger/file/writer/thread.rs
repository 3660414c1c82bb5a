//! What the thread does.

use super::order::{Answer, Answers, Opener, Order, ended};
use crate::ledger::clock::Clock;
use crate::ledger::file::open::OpenError;
use crate::ledger::file::store::{Broken, Step, StepResult, Store};
use antispoof_core::ports::LedgerError;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// Most steps in one transaction.
const BATCH: usize = 1024;

/// A commit begins so long after the last one, or later. After a pause the first step does not wait; a call takes far longer than this.
const WINDOW: Duration = Duration::from_millis(10);

/// How often void entries are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The thread that has the file.
pub(super) struct Thread {
    path: PathBuf,
    open: Opener,
    store: Option<Store>,
    ttl: Duration,
    clock: Clock,
    orders: Receiver<Order>,
    answers: UnboundedSender<Answers>,
    backlog: Arc<AtomicUsize>,
    /// Steps of which at least one writes, in their order.
    gathered: Vec<(Step, Option<Answer>)>,
    /// What they are about.
    keys: HashSet<String>,
    committed: Option<Instant>,
    swept: Instant,
}

impl Thread {
    /// A thread that has yet to open its file.
    pub(super) fn new(
        path: PathBuf,
        open: Opener,
        ttl: Duration,
        clock: Clock,
        orders: Receiver<Order>,
        answers: UnboundedSender<Answers>,
        backlog: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            path,
            open,
            store: None,
            ttl,
            clock,
            orders,
            answers,
            backlog,
            gathered: Vec::new(),
            keys: HashSet::new(),
            committed: None,
            swept: Instant::now(),
        }
    }

    pub(super) fn run(mut self, opened: oneshot::Sender<Result<(), OpenError>>) {
        let started = Instant::now();
        match self.opened(true) {
            Ok(store) => self.store = Some(store),
            Err(error) => return drop(opened.send(Err(error))),
        }
        tracing::info!(
            "the ledger {} is open and whole, looked through in {:?}",
            self.path.display(),
            started.elapsed()
        );
        if opened.send(Ok(())).is_err() {
            return;
        }
        loop {
            let order = match self.orders.recv_timeout(self.patience()) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let idle = order.is_none() && self.gathered.is_empty();
            if let Some(closed) = self.sort(order) {
                self.commit();
                self.finish();
                // An error means that the wait was given up: it is closed all the same.
                closed.send(()).ok();
                return;
            }
            if idle || self.is_due() {
                self.commit();
            }
            if self.swept.elapsed() >= SWEEP_EVERY {
                self.swept = Instant::now();
                let now = self.clock.now_ms();
                if let Err(error) = self.guarded("remove what is void", |store| store.sweep(now)) {
                    tracing::warn!(%error, "{error}");
                }
            }
        }
        self.commit();
        self.finish();
    }

    /// How long to wait for the next order.
    fn patience(&self) -> Duration {
        match (self.gathered.is_empty(), self.committed) {
            (true, _) => SWEEP_EVERY,
            (false, None) => Duration::ZERO,
            (false, Some(committed)) => WINDOW.saturating_sub(committed.elapsed()),
        }
    }

    fn is_due(&self) -> bool {
        self.gathered.len() >= BATCH
            || (!self.gathered.is_empty() && self.committed.is_none_or(|committed| committed.elapsed() >= WINDOW))
    }

    /// Takes all that has come: what only looks is answered, what writes is gathered. Returns who wants the file closed.
    fn sort(&mut self, first: Option<Order>) -> Option<oneshot::Sender<()>> {
        let mut looks = Vec::new();
        let mut close = None;
        let mut taken = 0;
        let mut next = first;
        while let Some(order) = next.take() {
            taken += 1;
            match order {
                // A look must see what was said before it.
                Order::Ask(step, answer) if step.only_looks() && !self.keys.contains(step.key()) => {
                    looks.push((step, answer));
                }
                Order::Ask(step, answer) => self.gather(step, Some(answer)),
                Order::Tell(step) if !self.keys.contains(step.key()) => {
                    // Looks that came before it must not see it.
                    self.look(std::mem::take(&mut looks));
                    self.note(&step);
                }
                Order::Tell(step) => self.gather(step, None),
                Order::Close(closed) => {
                    close = Some(closed);
                    break;
                }
            }
            if taken < BATCH {
                next = self.orders.try_recv().ok();
            }
        }
        self.backlog.fetch_sub(taken - usize::from(close.is_some()), Ordering::Relaxed);
        self.look(looks);
        close
    }

    fn gather(&mut self, step: Step, answer: Option<Answer>) {
        self.keys.insert(step.key().to_owned());
        self.gathered.push((step, answer));
    }

    fn look(&mut self, looks: Vec<(Step, Answer)>) {
        if looks.is_empty() {
            return;
        }
        let now = self.clock.now_ms();
        let steps = looks.iter().map(|(step, _)| step);
        let answers = self.guarded("look", |store| store.look(steps, now));
        self.answer(looks.into_iter().map(|(_, answer)| Some(answer)), answers);
    }

    fn note(&mut self, step: &Step) {
        let now = self.clock.now_ms();
        if let Err(error) = self.guarded("note a step", |store| store.note(step, now)) {
            tracing::warn!(%error, "{error}");
        }
    }

    /// Writes what was gathered, and the steps without an answer.
    fn commit(&mut self) {
        self.keys.clear();
        let now = self.clock.now_ms();
        let gathered = std::mem::take(&mut self.gathered);
        let steps = gathered.iter().map(|(step, _)| step);
        let answers = self.guarded("take a step", |store| store.write(steps, now));
        if !gathered.is_empty() {
            // From its end: what waited for it begins to gather now.
            self.committed = Some(Instant::now());
        }
        self.answer(gathered.into_iter().map(|(_, answer)| answer), answers);
        if let Err(error) = self.guarded("move the journal", |store| store.tidy(now)) {
            tracing::warn!(%error, "{error}");
        }
    }

    fn answer(
        &self,
        answers: impl Iterator<Item = Option<Answer>>,
        said: Result<Vec<Result<StepResult, LedgerError>>, LedgerError>,
    ) {
        let mut said = said.map(Vec::into_iter);
        let batch: Answers = answers
            .map(|answer| match &mut said {
                Ok(said) => (answer, said.next().unwrap_or_else(|| Err(ended()))),
                Err(error) => (answer, Err(error.clone())),
            })
            .filter_map(|(answer, said)| Some((answer?, said)))
            .collect();
        if !batch.is_empty() && self.answers.send(batch).is_err() {
            tracing::debug!("the ledger's answers are not received any more");
        }
    }

    fn finish(&mut self) {
        let now = self.clock.now_ms();
        if let Err(error) = self.guarded("move the journal", |store| store.settle(now)) {
            tracing::warn!(%error, "{error}");
        }
        self.store = None;
    }

    fn opened(&self, check: bool) -> Result<Store, OpenError> {
        let database = (self.open)(check)?;
        let damaged = |why: String| OpenError::Damaged { path: self.path.clone(), why };
        match catch_unwind(AssertUnwindSafe(|| Store::open(database, self.ttl))) {
            Ok(store) => store.map_err(|error| damaged(error.to_string())),
            Err(_) => Err(damaged("reading its journal failed".to_owned())),
        }
    }

    /// Runs something on the open database. After an error it is opened anew: until then redb refuses to write, also when there is space again.
    fn guarded<T>(&mut self, what: &str, act: impl FnOnce(&mut Store) -> Result<T, Broken>) -> Result<T, LedgerError> {
        let failed = |why: &str| LedgerError(format!("{what} in the ledger {}: {why}", self.path.display()));
        let store = match &mut self.store {
            Some(store) => store,
            None => match self.opened(false) {
                Ok(store) => self.store.insert(store),
                Err(error) => return Err(LedgerError(error.to_string())),
            },
        };
        let error = match catch_unwind(AssertUnwindSafe(|| act(store))) {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => failed(&error.to_string()),
            Err(_) => failed("the database panicked"),
        };
        // Closing tries to write, too; a file that is damaged can make it panic.
        let broken = self.store.take();
        if catch_unwind(AssertUnwindSafe(|| drop(broken))).is_err() {
            tracing::error!("the ledger {} could not be closed after an error", self.path.display());
        }
        Err(error)
    }
}
