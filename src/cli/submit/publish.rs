//! Items become published jobs, so many at a time, and are printed in the order of the request.

use super::super::problem::{NO_TOPOLOGY, Problem};
use super::super::progress::Progress;
use super::super::stdout::print;
use super::super::stop::Stop;
use super::collect::{Book, Collector};
use super::feed::{Item, Items, Work};
use super::request::{Ready, Request, RequestError, Shape};
use super::skipped::Skipped;
use super::topology::{PAUSE, Topology};
use crate::amqp::{Names, Outbox, Receipt, job_message};
use crate::s3::Tools;
use antispoof_core::ports::PublishError;
use anyhow::anyhow;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

pub(super) struct Publisher<'a> {
    pub(super) outbox: &'a Outbox,
    pub(super) tools: &'a Tools,
    pub(super) names: &'a Names,
    pub(super) topology: Topology,
    pub(super) shape: &'a Shape,
    pub(super) concurrency: u16,
    pub(super) json: bool,
    pub(super) progress: &'a Progress,
}

/// What became of the items: how many jobs are out, which of them cannot be jobs, and why it was not all, if it was not.
pub(super) struct Published {
    pub(super) count: u64,
    pub(super) skipped: Skipped,
    pub(super) problem: Option<Problem>,
}

/// What became of an item.
enum Done {
    Published(Ready),
    Skipped { place: String, why: RequestError },
}

impl Publisher<'_> {
    /// Publishes until there is no more, something fails, or a signal comes; what is under way then is finished, unless a second signal
    /// comes.
    pub(super) async fn run(
        &self,
        mut items: Items,
        mut collector: Option<&mut Collector>,
        stop: &mut Stop,
    ) -> Published {
        let book = collector.as_ref().map(|collector| collector.book());
        let mut published = Published { count: 0, skipped: Skipped::default(), problem: None };
        let mut under_way = FuturesOrdered::new();
        let mut more = true;
        let mut taken = 0;
        while more || !under_way.is_empty() {
            let room = more && under_way.len() < usize::from(self.concurrency);
            let outcome = tokio::select! {
                biased;
                () = stop.asked() => {
                    if !more && published.problem.is_some() {
                        return published;
                    }
                    Err(Problem::failed(anyhow!("interrupted before all jobs were published")))
                }
                Some(done) = under_way.next() => self.print_done(done, book.is_some(), &mut published),
                event = next(&mut collector) => event,
                item = items.recv(), if room => match item {
                    Some(Ok(item)) => {
                        under_way.push_back(self.submit(item, taken, book.as_deref()));
                        taken += 1;
                        Ok(())
                    }
                    Some(Err(problem)) => Err(problem),
                    None => {
                        more = false;
                        Ok(())
                    }
                },
            };
            if let Err(problem) = outcome {
                more = false;
                // The feed stops when its receiver is dropped.
                items.close();
                published.problem.get_or_insert(problem);
            }
        }
        published
    }

    async fn submit(&self, item: Item, number: usize, book: Option<&Book>) -> Result<Done, Problem> {
        let Item { place, work } = item;
        let at = |problem: Problem| problem.context(place.clone());
        let request = match work {
            Work::Publish(request) => request,
            Work::Skip(why) => return Ok(Done::Skipped { place, why }),
            Work::Upload { path, to } => {
                let etag = self.tools.upload(&path, &to.bucket, &to.key).await.map_err(|error| at(error.into()))?;
                Request::pinned(to, etag)
            }
        };
        let ready = match self.shape.ready(request, OffsetDateTime::now_utc()) {
            Ok(ready) => ready,
            Err(why) => return Ok(Done::Skipped { place, why }),
        };
        // Before the job is out: its event may be faster than the confirm.
        if let Some(book) = book {
            book.expect(&ready.id, number);
        }
        match self.publish(&ready).await {
            Ok(_receipt) => Ok(Done::Published(ready)),
            Err(error) => {
                if let Some(book) = book {
                    book.forget(&ready.id);
                }
                let unbound = matches!(error, PublishError::Unroutable { .. });
                Err(at(Problem::unreachable(error).maybe_hint(unbound.then_some(NO_TOPOLOGY))))
            }
        }
    }

    /// Once; but where the queue has only just been declared, until it is bound, too.
    async fn publish(&self, ready: &Ready) -> Result<Receipt, PublishError> {
        let jobs = &self.names.jobs;
        loop {
            let published = self.outbox.publish(jobs, jobs, &ready.body, job_message(&ready.id)).await;
            match (&published, self.topology) {
                (Err(PublishError::Unroutable { .. }), Topology::Appeared(until)) if Instant::now() < until => {
                    sleep(PAUSE).await;
                }
                _ => return published,
            }
        }
    }

    /// Counts and prints a job that is out. With `--wait` its event is printed instead.
    fn print_done(&self, done: Result<Done, Problem>, waiting: bool, published: &mut Published) -> Result<(), Problem> {
        let ready = match done? {
            Done::Published(ready) => ready,
            Done::Skipped { place, why } => {
                published.skipped.add(&place, &why);
                return Ok(());
            }
        };
        published.count += 1;
        self.progress.published(published.count);
        // A stdout that is closed is not written to again.
        if waiting || published.problem.as_ref().is_some_and(Problem::is_closed) {
            return Ok(());
        }
        let line = if self.json {
            let (bucket, key) = ready.object.split_once('/').unwrap_or_default();
            serde_json::json!({ "id": ready.id, "bucket": bucket, "key": key }).to_string()
        } else {
            format!("{}\ts3://{}", ready.id, ready.object)
        };
        self.progress.aside(|| print(&line))
    }
}

/// Takes the next event in; pending for ever without `--wait`.
async fn next(collector: &mut Option<&mut Collector>) -> Result<(), Problem> {
    match collector {
        Some(collector) => collector.take_in().await,
        None => std::future::pending().await,
    }
}
