//! Credentials: found once, kept while they are good, replaced while they still are.
//!
//! One search at a time, in a task of its own: it ends whatever becomes of the job that began it, and jobs with credentials that are good do not wait
//! for it. A search begins when there are none, shortly before they expire, when a file of the chain has changed, and when the store refuses them.

mod chain;
mod files;

use crate::settings;
use antispoof_core::failure::{Code, Failure};
use aws_credential_types::Credentials as Keys;
use aws_smithy_runtime_api::client::identity::Identity;
use chain::{Chain, SEARCH_LIMIT, Source};
use files::Seen;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// Searched for anew so long before they expire, or after three quarters of a shorter life.
const AHEAD: Duration = Duration::from_mins(5);

/// The chain is not asked more often than this for the same reason: behind it are services with limits of their own.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// The files are not looked at more often than this.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// A search that fails in the background is logged at most this often.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// Longest wait of a job for a search, unless it has less time for the whole object.
const MOST_PATIENCE: Duration = Duration::from_secs(10);

/// The credentials of the store.
pub(super) struct Credentials {
    keeper: Arc<Keeper>,
    patience: Duration,
}

/// Credentials, and which of those that were found they are.
#[derive(Clone, Debug)]
pub(super) struct Current {
    pub(super) identity: Identity,
    generation: u64,
}

/// What came of having credentials replaced that the store refused.
pub(super) enum Renewal {
    /// There are others.
    Others(Current),
    /// The chain gives the same again, or has been asked a moment ago.
    Same,
    /// The chain has none.
    None(String),
}

struct Keeper {
    source: Box<dyn Source>,
    state: RwLock<State>,
    turn: Arc<Semaphore>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// When the last search began.
    asked: Option<Instant>,
    /// Why it found nothing, if it did not.
    failed: Option<String>,
    /// When the files were last looked at.
    looked: Option<Instant>,
    /// How they were when the last search began.
    seen: Seen,
    warned: Option<Instant>,
    generations: u64,
}

#[derive(Clone)]
struct Held {
    keys: Keys,
    current: Current,
    good_until: Option<SystemTime>,
    replace_from: Option<SystemTime>,
}

// === impl Credentials ===

impl Credentials {
    /// Nothing is searched for yet.
    pub(super) fn new(settings: &settings::S3) -> Self {
        // The pipeline gives an object s3.timeout and s3.read_timeout; before that is over, the credentials are to be blamed by name.
        let patience = MOST_PATIENCE.min((settings.timeout + settings.read_timeout) / 2);
        Self::of(Box::new(Chain::new(settings)), patience)
    }

    fn of(source: Box<dyn Source>, patience: Duration) -> Self {
        let keeper = Keeper { source, state: RwLock::default(), turn: Arc::new(Semaphore::new(1)) };
        Self { keeper: Arc::new(keeper), patience }
    }

    /// Credentials that are good as far as is known. Waits only when there are none.
    pub(super) async fn get(&self) -> Result<Current, Failure> {
        if let Some(held) = self.keeper.good() {
            self.keeper.clone().keep_good(&held);
            return Ok(held.current);
        }
        match self.search(None).await {
            Ok(Some(current)) => Ok(current),
            Ok(None) => Err(missing("the chain gives credentials that have expired")),
            Err(why) => Err(missing(&why)),
        }
    }

    /// Searches again because the store does not accept these: the files and processes behind them may have others.
    pub(super) async fn renew(&self, refused: &Current) -> Renewal {
        match self.search(Some(refused.generation)).await {
            Ok(Some(current)) => Renewal::Others(current),
            Ok(None) => Renewal::Same,
            Err(why) => Renewal::None(why),
        }
    }

    async fn search(&self, refused: Option<u64>) -> Result<Option<Current>, String> {
        let searching = self.keeper.clone().search(refused);
        let patience = self.patience;
        timeout(patience, searching)
            .await
            .unwrap_or_else(|_| Err(format!("{} gave no answer within {patience:?}", self.keeper.source.name())))
    }
}

// === impl Keeper ===

impl Keeper {
    fn good(&self) -> Option<Held> {
        let held = self.state.read().unwrap_or_else(PoisonError::into_inner).held.clone()?;
        held.good_until.is_none_or(|until| SystemTime::now() < until).then_some(held)
    }

    /// Another than the refused one, if there is.
    fn other(&self, refused: Option<u64>) -> Option<Current> {
        let held = self.good()?;
        (Some(held.current.generation) != refused).then_some(held.current)
    }

    /// Begins a search in the background when it is time for one. Costs the job that calls it nothing.
    fn keep_good(self: Arc<Self>, held: &Held) {
        let old = held.replace_from.is_some_and(|from| from <= SystemTime::now());
        {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            let look = state.looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
            let ask = old && state.asked.is_none_or(|at| at.elapsed() >= ASK_EVERY);
            if !look && !ask {
                return;
            }
        }
        // A search that is under way has the turn.
        let Ok(turn) = self.turn.clone().try_acquire_owned() else { return };
        tokio::spawn(async move {
            if self.changed().await || (old && self.may_ask()) {
                self.ask(turn).await;
            }
        });
    }

    /// True when a file of the chain is not as it was when the last search began.
    async fn changed(&self) -> bool {
        let seen = self.source.look().await;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.looked = Some(Instant::now());
        state.asked.is_some() && state.seen != seen
    }

    fn may_ask(&self) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.asked.is_none_or(|at| at.elapsed() >= ASK_EVERY)
    }

    /// Waits for a search, its own or one that is under way. `None` when there are no others than the refused ones.
    async fn search(self: Arc<Self>, refused: Option<u64>) -> Result<Option<Current>, String> {
        let turn = self.turn.clone().acquire_owned().await.map_err(|_| "the daemon is stopping".to_owned())?;
        if let Some(other) = self.other(refused) {
            return Ok(Some(other));
        }
        if !self.may_ask() && !self.changed().await {
            let failed = self.state.read().unwrap_or_else(PoisonError::into_inner).failed.clone();
            return failed.map_or(Ok(None), Err);
        }
        // The job that waits may be gone before the search ends; what it finds is for all.
        let keeper = self.clone();
        let searching = tokio::spawn(async move { keeper.ask(turn).await });
        searching.await.map_err(|_| "the search broke off".to_owned())?;
        match self.other(refused) {
            Some(other) => Ok(Some(other)),
            None => self.state.read().unwrap_or_else(PoisonError::into_inner).failed.clone().map_or(Ok(None), Err),
        }
    }

    async fn ask(&self, _turn: OwnedSemaphorePermit) {
        // Before the search: what changes meanwhile is a change.
        let seen = self.source.look().await;
        {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            (state.asked, state.seen) = (Some(Instant::now()), seen);
        }
        let found = timeout(SEARCH_LIMIT, self.source.search())
            .await
            .unwrap_or_else(|_| Err(format!("{} gave no answer within {SEARCH_LIMIT:?}", self.source.name())));
        self.state.write().unwrap_or_else(PoisonError::into_inner).enter(found, SystemTime::now());
    }
}

// === impl State ===

impl State {
    fn enter(&mut self, found: Result<Keys, String>, now: SystemTime) {
        let keys = match found {
            Ok(keys) => keys,
            Err(why) => {
                self.warn(&why);
                self.failed = Some(why);
                return;
            }
        };
        self.failed = None;
        self.warned = None;
        let is_new = self.held.as_ref().is_none_or(|held| held.keys != keys);
        if is_new {
            if self.held.is_some() {
                tracing::info!("the credentials for the store have been replaced");
            }
            self.generations += 1;
        }
        let (good_until, replace_from) = match keys.expiry() {
            None => (None, None),
            // The chain does not mind that they have expired, and this clock may be wrong: the store decides, for a while.
            Some(at) if at <= now => (Some(now + ASK_EVERY), Some(now)),
            Some(at) => {
                let life = at.duration_since(now).unwrap_or_default();
                (Some(at), Some(at - AHEAD.min(life / 4)))
            }
        };
        let identity = Identity::from(keys.clone());
        let current = Current { identity, generation: self.generations };
        self.held = Some(Held { keys, current, good_until, replace_from });
    }

    /// While there are credentials that are good, this line is all that a failed search leaves.
    fn warn(&mut self, why: &str) {
        let silent = self.warned.is_some_and(|at| at.elapsed() < WARN_EVERY);
        if self.held.is_some() && !silent {
            self.warned = Some(Instant::now());
            tracing::warn!(why, "no fresh credentials for the store, those in hand are used while they last: {why}");
        }
    }
}

fn missing(why: &str) -> Failure {
    let remedy = if why == chain::NOWHERE {
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role (IRSA, Pod Identity, instance metadata)"
    } else {
        "mend the file, process or service that they come from"
    };
    Failure::new(Code::StoreUnauthorized, format!("no AWS credentials: {why}; {remedy}"))
}

#[cfg(test)]
mod fixed;
#[cfg(test)]
mod tests;
