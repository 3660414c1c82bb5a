//! Whether a store enforces the conditions of writes. All that a shared ledger promises hangs on it, and some stores do not: they let two writers win, or
//! take the header for nothing.

use crate::ledger::refused::Refused;
use crate::s3::{Condition, Objects, Put, Stored, Trouble};
use bytes::Bytes;
use futures_util::future::join_all;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// So many write the same object at the same time, so often.
const WRITERS: usize = 16;
const ROUNDS: usize = 4;

/// So many changes of one object are read by so many at the same time.
const CHANGES: usize = 16;
const READERS: usize = 8;

/// A probe that failed is not repeated sooner.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a store cannot hold a ledger, or why that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It does not enforce them, or mixes versions: nothing that is done to the daemon's other settings helps.
    #[error("{}; {}", named(place, fault), Self::REMEDY)]
    Store {
        /// Which.
        place: String,
        /// What it does.
        fault: String,
    },
    /// It could not be asked.
    #[error("the ledger in {0}")]
    Trouble(Trouble),
}

/// That a store was probed, and is fit; or why that is not known yet.
#[derive(Debug)]
pub(super) struct Proof {
    passed: AtomicBool,
    /// One probe at a time.
    turn: Semaphore,
    failed: Mutex<Option<(Instant, Unfit)>>,
}

impl Default for Proof {
    fn default() -> Self {
        Self { passed: AtomicBool::new(false), turn: Semaphore::new(1), failed: Mutex::default() }
    }
}

impl Proof {
    /// Waits for the first probe. One that failed is not repeated for a while, and nothing waits while another one is under way.
    pub(super) async fn get(&self, objects: &Objects, prefix: &str) -> Result<(), Unfit> {
        if self.passed.load(Ordering::Acquire) {
            return Ok(());
        }
        let failed = self.failed();
        let turn = match (self.turn.try_acquire(), failed) {
            (Ok(turn), _) => Some(turn),
            (Err(_), Some((_, unfit))) => return Err(unfit),
            // The semaphore is never closed.
            (Err(_), None) => self.turn.acquire().await.ok(),
        };
        if self.passed.load(Ordering::Acquire) {
            return Ok(());
        }
        if let Some((at, unfit)) = self.failed()
            && at.elapsed() < PAUSE
        {
            return Err(unfit);
        }
        let ended = Box::pin(probe(objects, prefix)).await;
        match &ended {
            Ok(()) => self.passed.store(true, Ordering::Release),
            Err(unfit) => {
                let failed = Some((Instant::now(), unfit.clone()));
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
            }
        }
        drop(turn);
        ended
    }

    fn failed(&self) -> Option<(Instant, Unfit)> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Unfit {
    /// What to do about a store that is unfit.
    pub const REMEDY: &str =
        "name a store in s3.endpoint_url that docs/ledger-backends.md lists, or set another ledger.backend";

    pub(super) fn refused(self) -> Refused {
        match self {
            Self::Store { place, fault } => {
                Refused { what: named(&place, &fault), remedy: Self::REMEDY.to_owned(), passes: false }
            }
            Self::Trouble(Trouble { what, remedy, passes, .. }) => {
                Refused { what: format!("the ledger in {what}"), remedy, passes }
            }
        }
    }
}

fn named(place: &str, fault: &str) -> String {
    format!("the ledger in {place}: this store {fault}, so that a job could be paid for twice")
}

/// Tries every request that a job needs, and the conditions under a race, on objects that no job has. Leaves nothing behind where it may delete.
pub(super) async fn probe(objects: &Objects, prefix: &str) -> Result<(), Unfit> {
    let names: Vec<String> = (0..=ROUNDS).map(|_| format!("{prefix}/probe/{:032x}", fastrand::u128(..))).collect();
    let ended = try_all(objects, &names).await;
    if matches!(ended, Err(Unfit::Trouble(_))) {
        // Of a store that does not answer, nothing more is asked. What is left goes with the lifecycle rule.
        return ended;
    }
    let removals = join_all(names.iter().map(|name| objects.delete(name))).await;
    if let Some(Err(error)) = removals.iter().find(|removal| removal.is_err()) {
        tracing::debug!(%error, "a probe of the ledger's store stays there");
    }
    ended
}

async fn try_all(objects: &Objects, names: &[String]) -> Result<(), Unfit> {
    let Some((read, raced)) = names.split_first() else { return Ok(()) };
    let racing = async {
        for name in raced {
            round(objects, name).await?;
        }
        Ok(())
    };
    let (versions, raced) = tokio::join!(versions(objects, read), racing);
    versions.and(raced)
}

async fn round(objects: &Objects, name: &str) -> Result<(), Unfit> {
    let unfit = |fault: String| Err(Unfit::Store { place: objects.place(), fault });
    if objects.get(name).await?.is_some() {
        return unfit("has an object of a name that was made up a moment ago".to_owned());
    }
    if objects.now_ms().is_none() {
        return unfit("does not say in its answers what time it is (Date)".to_owned());
    }
    let first = race(objects, name, Condition::Absent, "made").await?;
    let first = match first.as_slice() {
        [etag] => etag,
        all => {
            return unfit(format!("lets {} of {WRITERS} writers make the same object (If-None-Match: *)", all.len()));
        }
    };
    let second = race(objects, name, Condition::Unchanged(first), "changed").await?;
    let second = match second.as_slice() {
        [etag] => etag,
        all => return unfit(format!("lets {} of {WRITERS} writers change the same object (If-Match)", all.len())),
    };
    for (condition, header) in
        [(Condition::Unchanged(first), "If-Match with an ETag of before"), (Condition::Absent, "If-None-Match: *")]
    {
        if let Put::Written(_) = objects.put(name, Bytes::from_static(b"late"), condition).await? {
            return unfit(format!("overwrites what it should not ({header})"));
        }
    }
    match objects.get(name).await? {
        Some(stored) if stored.body.starts_with(b"changed") && stored.etag == *second => Ok(()),
        _ => unfit("does not give back what was written last".to_owned()),
    }
}

/// Reads an object while it changes. A store that gives the `ETag` of a version with the content of an earlier one has a worker change a state that it has
/// not seen. (An older tag than the content has its condition refused, and does no harm.)
async fn versions(objects: &Objects, name: &str) -> Result<(), Unfit> {
    let done = AtomicBool::new(false);
    let writing = async {
        let mut written: Vec<String> = Vec::new();
        let ended = loop {
            let condition = written.last().map_or(Condition::Absent, |etag| Condition::Unchanged(etag));
            let content = written.len().to_string();
            match objects.put(name, Bytes::from(content.clone()), condition).await {
                Ok(Put::Written(etag)) => written.push(etag),
                // The answer may have been lost: the object says.
                Ok(Put::Refused) => match objects.get(name).await {
                    Ok(Some(stored)) if stored.body == content.as_bytes() => written.push(stored.etag),
                    Ok(_) => break Err(Trouble::refusing(&objects.place())),
                    Err(trouble) => break Err(trouble),
                },
                Err(trouble) => break Err(trouble),
            }
            if written.len() == CHANGES {
                break Ok(());
            }
        };
        done.store(true, Ordering::Relaxed);
        ended.map(|()| written)
    };
    let reading = async || {
        let mut seen = Vec::new();
        while !done.load(Ordering::Relaxed) {
            seen.extend(objects.get(name).await?);
        }
        Ok::<_, Trouble>(seen)
    };
    let (written, seen) = tokio::join!(writing, join_all((0..READERS).map(|_| reading())));
    let written = written?;
    let seen: Vec<Vec<Stored>> = seen.into_iter().collect::<Result<_, _>>()?;
    let is_safe = |seen: &Stored| {
        let content = std::str::from_utf8(&seen.body).ok().and_then(|text| text.parse::<usize>().ok());
        let tag = written.iter().position(|etag| *etag == seen.etag);
        content.zip(tag).is_some_and(|(content, tag)| tag <= content)
    };
    if seen.iter().flatten().all(is_safe) {
        return Ok(());
    }
    let fault = "gives the ETag of one version with the content of an earlier one, where an object changes".to_owned();
    Err(Unfit::Store { place: objects.place(), fault })
}

/// The `ETag`s of those who were let in, at least one. Where none was told so, an answer was lost, and the object says whose; or the store is in trouble.
async fn race(objects: &Objects, name: &str, condition: Condition<'_>, what: &str) -> Result<Vec<String>, Trouble> {
    let writers = (0..WRITERS).map(|n| objects.put(name, Bytes::from(format!("{what} by {n}")), condition));
    let mut written = Vec::new();
    for put in join_all(writers).await {
        match put {
            Ok(Put::Written(etag)) => written.push(etag),
            Ok(Put::Refused) => {}
            Err(trouble) => return Err(trouble),
        }
    }
    if written.is_empty() {
        match objects.get(name).await? {
            Some(stored) if stored.body.starts_with(what.as_bytes()) => written.push(stored.etag),
            _ => return Err(Trouble::refusing(&objects.place())),
        }
    }
    Ok(written)
}

impl From<Trouble> for Unfit {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}
