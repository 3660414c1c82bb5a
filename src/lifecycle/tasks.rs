//! Long-lived tasks by name. One that ends before it is meant to is logged and stops the worker softly: a worker without its admin port, its signals or its
//! connection to the broker looks alive and is not.

use super::Stop;
use futures_util::FutureExt as _;
use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

/// The long-lived tasks of a worker. Clones share them.
#[derive(Clone, Debug)]
pub struct Tasks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    stop: Stop,
    tracker: TaskTracker,
    running: Mutex<Vec<&'static str>>,
    first: OnceLock<UnexpectedEnd>,
}

/// A task that was started.
#[derive(Debug)]
pub struct Task<T>(JoinHandle<Option<T>>);

/// A long-lived task ended although nothing had stopped it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task \"{task}\" {how} while the worker was running")]
pub struct UnexpectedEnd {
    /// The name that it was started with.
    pub task: &'static str,
    /// How it ended.
    pub how: How,
}

/// How a task can end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// Its future completed.
    Returned,
    /// It panicked with this message.
    Panicked(String),
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Returned => f.write_str("returned"),
            Self::Panicked(message) => write!(f, "panicked ({message})"),
        }
    }
}

impl Tasks {
    /// No tasks yet. An unexpected end cancels the soft token of `stop`.
    pub fn new(stop: Stop) -> Self {
        let (tracker, running, first) = (TaskTracker::new(), Mutex::default(), OnceLock::new());
        Self(Arc::new(Shared { stop, tracker, running, first }))
    }

    /// Starts a task that is meant to run until `until` is cancelled. A return before that is an unexpected end; a panic always is.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        until: &CancellationToken,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        let (shared, until) = (self.0.clone(), until.clone());
        shared.running().push(name);
        Task(self.0.tracker.spawn(async move {
            let ended = AssertUnwindSafe(future).catch_unwind().await;
            match &ended {
                Ok(_) if until.is_cancelled() => {}
                Ok(_) => shared.unexpected(name, How::Returned),
                Err(panic) => shared.unexpected(name, How::Panicked(message(&**panic))),
            }
            shared.over(name);
            ended.ok()
        }))
    }

    /// As [`Self::spawn`], for a future that does not end by itself: it is dropped when `until` is cancelled.
    pub fn spawn_until<T: Send + 'static>(
        &self,
        name: &'static str,
        until: &CancellationToken,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Task<Option<T>> {
        self.spawn(name, until, until.clone().run_until_cancelled_owned(future))
    }

    /// Starts a task that ends when its work is done. Only a panic is an unexpected end.
    pub fn spawn_once(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let until = CancellationToken::new();
        until.cancel();
        self.spawn(name, &until, future);
    }

    /// The first unexpected end, if there was one.
    pub fn unexpected_end(&self) -> Option<&UnexpectedEnd> {
        self.0.first.get()
    }

    /// Waits until every task has ended, for at most `limit`, and logs the names of those that have not.
    pub async fn wait(&self, limit: Duration) {
        self.0.tracker.close();
        if timeout(limit, self.0.tracker.wait()).await.is_err() {
            let running = self.0.running().join(", ");
            warn!(tasks = running, "these tasks have not ended within {limit:?}: {running}");
        }
    }
}

impl<T> Task<T> {
    /// Waits for the end of the task. `None` when it panicked.
    pub async fn join(self) -> Option<T> {
        self.0.await.ok().flatten()
    }
}

impl Shared {
    fn unexpected(&self, task: &'static str, how: How) {
        let end = UnexpectedEnd { task, how };
        // Before the log line: a log that cannot be written must not keep the process alive.
        self.stop.soft().cancel();
        error!(task, "{end}: draining, the process ends with exit code 1");
        self.first.get_or_init(|| end);
    }

    fn over(&self, name: &'static str) {
        let mut running = self.running();
        if let Some(at) = running.iter().position(|task| *task == name) {
            running.swap_remove(at);
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Vec<&'static str>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::logs::captured::log_of;

    async fn unexpected<F>(future: F) -> (Tasks, Stop, String)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = Stop::new();
        let tasks = Tasks::new(stop.clone());
        let log = log_of(async {
            tasks.spawn("doomed", stop.closing(), future);
            stop.soft().cancelled().await;
            tasks.wait(Duration::from_secs(10)).await;
        });
        let log = log.await;
        (tasks, stop, log)
    }

    #[tokio::test]
    async fn a_task_that_returns_early_stops_the_worker_and_is_named() {
        let (tasks, stop, log) = unexpected(async {}).await;
        assert!(stop.soft().is_cancelled() && !stop.hard().is_cancelled(), "softly");
        assert_eq!(tasks.unexpected_end(), Some(&UnexpectedEnd { task: "doomed", how: How::Returned }));
        assert!(
            log.contains("ERROR") && log.contains("the task \"doomed\" returned while the worker was running"),
            "{log}"
        );
    }

    #[tokio::test]
    async fn a_task_that_panics_stops_the_worker_and_is_named() {
        let (tasks, stop, log) = unexpected(async { panic!("of {}", 7) }).await;
        assert!(stop.soft().is_cancelled() && !stop.hard().is_cancelled(), "softly");
        let end = tasks.unexpected_end().expect("noticed");
        assert_eq!((end.task, &end.how), ("doomed", &How::Panicked("of 7".to_owned())));
        assert!(log.contains("the task \"doomed\" panicked (of 7) while the worker was running"), "{log}");
    }

    #[tokio::test]
    async fn tasks_that_end_when_they_are_meant_to_say_nothing() {
        let stop = Stop::new();
        let tasks = Tasks::new(stop.clone());
        let log = log_of(async {
            tasks.spawn("patient", stop.closing(), stop.closing().clone().cancelled_owned());
            let endless = tasks.spawn_until("endless", stop.closing(), std::future::pending::<()>());
            tasks.spawn_once("brief", async {});
            stop.closing().cancel();
            assert_eq!(endless.join().await, Some(None));
            tasks.wait(Duration::from_secs(10)).await;
        });
        assert_eq!(log.await, "");
        assert!(tasks.unexpected_end().is_none() && !stop.soft().is_cancelled());
    }

    #[tokio::test]
    async fn a_panic_counts_while_the_worker_stops_and_in_a_brief_task() {
        let stop = Stop::new();
        let tasks = Tasks::new(stop.clone());
        stop.closing().cancel();
        let late = tasks.spawn("late", stop.closing(), async { panic!("late") });
        assert_eq!(late.join().await, None::<()>);
        tasks.spawn_once("brief", async { panic!("brief") });
        tasks.wait(Duration::from_secs(10)).await;
        assert_eq!(tasks.unexpected_end().map(|end| end.task), Some("late"), "the first");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_is_named_and_not_waited_for() {
        let stop = Stop::new();
        let tasks = Tasks::new(stop.clone());
        tasks.spawn("stubborn", stop.closing(), std::future::pending::<()>());
        tasks.spawn_once("brief", async {});
        let log = log_of(tasks.wait(Duration::from_secs(5))).await;
        assert!(log.contains("these tasks have not ended within 5s: stubborn"), "{log}");
    }
}
