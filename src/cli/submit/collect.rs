//! `--wait`: which jobs have ended, and how.

use super::super::exit::Exit;
use super::super::problem::Problem;
use super::super::progress::Progress;
use super::super::stdout::print;
use super::super::stop::Stop;
use super::super::table;
use super::super::terminal::say;
use super::super::view::View;
use crate::amqp::{Tail, ToolError};
use anyhow::anyhow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

/// So many of the jobs without an event are named.
const NAMED: usize = 20;

/// Reads the events of all jobs and keeps those of its own.
pub(super) struct Collector {
    tail: Tail,
    book: Rc<Book>,
}

/// The jobs of this run. Shared by those who publish, each of whom enters a job before it is out.
pub(super) struct Book {
    json: bool,
    pages: RefCell<Pages>,
}

#[derive(Default)]
struct Pages {
    /// By the job's id: its number in the request, and whether its event is there.
    jobs: HashMap<String, (usize, bool)>,
    ended: usize,
    /// Those of them without a verdict.
    failed: usize,
    /// What the table is made of; empty with JSON.
    views: Vec<(usize, View)>,
    counts: BTreeMap<String, usize>,
}

/// What has come, and why no more is waited for.
pub(super) struct Collected {
    book: Rc<Book>,
    why: Why,
}

enum Why {
    Complete,
    Late(Duration),
    Interrupted,
    /// Publishing failed, which says enough.
    GivenUp,
    Failed(Problem),
}

impl Collector {
    pub(super) fn new(tail: Tail, json: bool) -> Self {
        Self { tail, book: Rc::new(Book { json, pages: RefCell::default() }) }
    }

    pub(super) fn book(&self) -> Rc<Book> {
        Rc::clone(&self.book)
    }

    /// Waits for the next event of whatever job, and enters it.
    pub(super) async fn take_in(&mut self) -> Result<(), Problem> {
        match self.tail.next().await {
            Ok(body) => self.book.enter(&body),
            Err(error) => Err(lost(error)),
        }
    }

    /// Waits for all events that are still to come.
    pub(super) async fn rest(mut self, limit: Duration, stop: &mut Stop, progress: &Progress) -> Collected {
        // Without a deadline when the limit is beyond what a clock can say.
        let late = async {
            match tokio::time::Instant::now().checked_add(limit) {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let mut late = std::pin::pin!(late);
        progress.waiting(self.book.progress().1 as u64);
        let why = loop {
            let (ended, jobs) = self.book.progress();
            progress.ended(ended as u64);
            if ended == jobs {
                break Why::Complete;
            }
            tokio::select! {
                biased;
                () = stop.asked() => break Why::Interrupted,
                entered = self.take_in() => if let Err(problem) = entered { break Why::Failed(problem) },
                () = &mut late => break Why::Late(limit),
            }
        };
        Collected { book: self.book, why }
    }

    /// What has come until now.
    pub(super) fn so_far(self) -> Collected {
        Collected { book: self.book, why: Why::GivenUp }
    }
}

impl Book {
    /// A job is about to be published. One that is named twice has one event.
    pub(super) fn expect(&self, id: &str, number: usize) {
        self.pages.borrow_mut().jobs.entry(id.to_owned()).or_insert((number, false));
    }

    /// It could not be published.
    pub(super) fn forget(&self, id: &str) {
        let jobs = &mut self.pages.borrow_mut().jobs;
        if jobs.get(id).is_some_and(|(_, ended)| !ended) {
            jobs.remove(id);
        }
    }

    /// Enters an event, if it is the first of one of our jobs.
    fn enter(&self, body: &[u8]) -> Result<(), Problem> {
        let Some(view) = View::read(body) else { return Ok(()) };
        {
            let Pages { jobs, ended, failed, views, counts } = &mut *self.pages.borrow_mut();
            let Some((number, known)) = jobs.get_mut(&view.job).filter(|(_, known)| !known) else { return Ok(()) };
            *known = true;
            *ended += 1;
            *failed += usize::from(view.failed);
            *counts.entry(view.outcome.clone()).or_default() += 1;
            if !self.json {
                views.push((*number, view));
                return Ok(());
            }
        }
        print(&String::from_utf8_lossy(body).replace(['\n', '\r'], " "))
    }

    fn progress(&self) -> (usize, usize) {
        let pages = self.pages.borrow();
        (pages.ended, pages.jobs.len())
    }
}

impl Collected {
    /// All events in the order of the jobs; empty without any.
    pub(super) fn table(&self) -> String {
        let mut views = std::mem::take(&mut self.book.pages.borrow_mut().views);
        if views.is_empty() {
            return String::new();
        }
        views.sort_by_key(|(number, _)| *number);
        let views: Vec<View> = views.into_iter().map(|(_, view)| view).collect();
        table::render(&views) + "\n"
    }

    /// How many ended how.
    pub(super) fn summary(&self) -> String {
        let (ended, jobs) = self.book.progress();
        let pages = self.book.pages.borrow();
        let counts = table::counts(pages.counts.iter().map(|(outcome, count)| (outcome.as_str(), *count)));
        let of = if ended == jobs { jobs.to_string() } else { format!("{ended} of {jobs}") };
        let noun = noun(jobs);
        if counts.is_empty() { format!("{of} {noun} ended") } else { format!("{of} {noun} ended: {counts}") }
    }

    /// Good when every job has a verdict, whichever.
    pub(super) fn end(self) -> Result<Exit, Problem> {
        let (ended, jobs) = self.book.progress();
        let missing = format!("{} of {jobs} jobs: {}", jobs - ended, self.missing());
        match self.why {
            Why::Complete => match self.book.pages.borrow().failed {
                0 => Ok(Exit::Ok),
                failed => {
                    say(&format!("{failed} of {jobs} {} ended without a verdict", noun(jobs)));
                    Ok(Exit::Failed)
                }
            },
            Why::Late(limit) => Err(Problem::failed(anyhow!(
                "no event within {} for {missing}",
                humantime::format_duration(limit)
            ))
            .hint("is a worker running? they may also wait in a delay queue; antispoofd watch shows what still comes")),
            Why::Interrupted => Err(Problem::failed(anyhow!("interrupted, no event yet for {missing}"))),
            Why::GivenUp => Ok(Exit::Failed),
            Why::Failed(problem) => Err(problem),
        }
    }

    /// The ids of the first jobs without an event.
    fn missing(&self) -> String {
        let pages = self.book.pages.borrow();
        let mut missing: Vec<_> = pages.jobs.iter().filter(|(_, (_, ended))| !ended).collect();
        missing.sort_by_key(|(_, (number, _))| *number);
        let more = missing.len().saturating_sub(NAMED);
        let named: Vec<&str> = missing.iter().take(NAMED).map(|(id, _)| id.as_str()).collect();
        let named = named.join(", ");
        if more > 0 { format!("{named} and {more} more") } else { named }
    }
}

fn noun(jobs: usize) -> &'static str {
    if jobs == 1 { "job" } else { "jobs" }
}

/// The queue went with the connection: events published from here on are lost to this command.
fn lost(error: ToolError) -> Problem {
    Problem::unreachable(error)
        .context("wait for the events")
        .hint("the jobs that were published are not lost, but their events can no longer be seen from here")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(job: &str, code: &str) -> Vec<u8> {
        format!(r#"{{"data":{{"job_id":"{job}","failure":{{"code":"{code}"}}}}}}"#).into_bytes()
    }

    fn event(job: &str, outcome: &str) -> Vec<u8> {
        format!(r#"{{"data":{{"job_id":"{job}","outcome":"{outcome}","image":{{"bucket":"b","key":"{job}"}}}}}}"#)
            .into_bytes()
    }

    fn collected(book: &Rc<Book>, why: Why) -> Collected {
        Collected { book: Rc::clone(book), why }
    }

    #[test]
    fn only_the_first_event_of_an_own_job_counts() {
        let book = Rc::new(Book { json: false, pages: RefCell::default() });
        for (number, id) in ["a", "b", "a", "c"].into_iter().enumerate() {
            book.expect(id, number);
        }
        book.forget("c");
        for (job, outcome) in [("b", "spoof"), ("stranger", "live"), ("b", "live")] {
            book.enter(&event(job, outcome)).unwrap();
        }
        assert_eq!(book.progress(), (1, 2));
        assert_eq!(collected(&book, Why::Interrupted).summary(), "1 of 2 jobs ended: 1 spoof");
        assert_eq!(collected(&book, Why::Interrupted).missing(), "a");
        book.enter(&event("a", "live")).unwrap();
        let all = collected(&book, Why::Complete);
        assert_eq!(all.summary(), "2 jobs ended: 1 live, 1 spoof");
        let table = all.table();
        assert!(table.find("\na ").unwrap() < table.find("\nb ").unwrap(), "in the order of the jobs:\n{table}");
        assert!(matches!(all.end(), Ok(Exit::Ok)));
    }

    #[test]
    fn a_job_without_a_verdict_is_a_failure_of_the_command() {
        let book = Rc::new(Book { json: false, pages: RefCell::default() });
        for (number, id) in ["a", "b"].into_iter().enumerate() {
            book.expect(id, number);
        }
        book.enter(&event("a", "spoof")).unwrap();
        book.enter(&failure("b", "object_empty")).unwrap();
        let all = collected(&book, Why::Complete);
        assert_eq!(all.summary(), "2 jobs ended: 1 object_empty, 1 spoof");
        assert!(matches!(all.end(), Ok(Exit::Failed)));
    }

    #[test]
    fn of_many_missing_jobs_the_first_are_named() {
        let book = Rc::new(Book { json: true, pages: RefCell::default() });
        for number in 0..25 {
            book.expect(&format!("j{number}"), number);
        }
        let missing = collected(&book, Why::Late(Duration::from_secs(1))).missing();
        assert!(missing.starts_with("j0, j1, ") && missing.ends_with("j19 and 5 more"), "{missing}");
    }
}
