//! Steps that did not reach a shared ledger. They are sent before anything else begins.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most steps that are made up for after an outage. With more jobs than that in its hands, no process would be well.
const MOST: usize = 4096;

/// A step that can be sent later.
pub(super) trait Step {
    /// Whether this one makes the other superfluous.
    fn replaces(&self, other: &Self) -> bool;
}

/// The steps that are owed, oldest first.
#[derive(Debug)]
pub(super) struct Owed<S>(Mutex<VecDeque<S>>);

impl<S: Step> Owed<S> {
    /// Tried again, a step is owed once.
    pub(super) fn add(&self, step: S) {
        let mut owed = self.steps();
        owed.retain(|other| !step.replaces(other));
        if owed.len() >= MOST {
            owed.pop_front();
        }
        owed.push_back(step);
    }

    pub(super) fn next(&self) -> Option<S> {
        self.steps().pop_front()
    }

    /// The first of which that holds.
    pub(super) fn first(&self, is: impl Fn(&S) -> bool) -> Option<S> {
        let mut steps = self.steps();
        let at = steps.iter().position(is)?;
        steps.remove(at)
    }

    /// It could not be sent now either, and is the next one again.
    pub(super) fn put_back(&self, step: S) {
        self.steps().push_front(step);
    }

    /// It could not be sent now either; others come first.
    pub(super) fn put_last(&self, step: S) {
        self.steps().push_back(step);
    }

    fn steps(&self) -> MutexGuard<'_, VecDeque<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Default for Owed<S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}
