//! What is wrong with the values, before it is looked up where they were set.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::invalid::InvalidValue;
use super::sources::Needs;

/// One thing that is wrong, or worth a warning.
pub(super) struct Finding {
    pub(super) warning: bool,
    /// The key that is wrong, then those that have a part in it.
    pub(super) keys: Vec<String>,
    /// The variable that it came from, where that is none of ours.
    pub(super) variable: Option<&'static str>,
    pub(super) invalid: InvalidValue,
}

/// Collects findings. What does not fit together is noted only for values that have no problem of their own.
pub(super) struct Findings<'a> {
    pub(super) needs: Needs,
    pub(super) env: &'a BTreeMap<String, String>,
    /// The time, where a token is to be held against it.
    pub(super) now: Option<SystemTime>,
    /// A settings file could not be read, so that it is not known how the values fit together.
    pub(super) incomplete: bool,
    pub(super) found: Vec<Finding>,
    refused: BTreeSet<String>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(
        needs: Needs,
        env: &'a BTreeMap<String, String>,
        now: Option<SystemTime>,
        incomplete: bool,
    ) -> Self {
        Self { needs, env, now, incomplete, found: Vec::new(), refused: BTreeSet::new() }
    }

    /// Whether none of these keys has a problem.
    pub(super) fn valid(&self, keys: &[&str]) -> bool {
        keys.iter().all(|key| !self.refused.contains(*key))
    }

    /// Notes that a value cannot be used. `keys` are the value's, then those that have a part in it.
    pub(super) fn invalid(&mut self, keys: &[&str], invalid: InvalidValue) {
        self.refused.extend(keys.first().map(|key| (*key).to_owned()));
        self.put(false, keys, None, invalid);
    }

    /// Notes that the first key cannot be used, or does not go together with the others.
    pub(super) fn error(&mut self, keys: &[&str], what: impl Into<String>, remedy: impl Into<String>) {
        if self.comparable(keys) {
            self.invalid(keys, InvalidValue::new(what, remedy));
        }
    }

    /// Notes that the first key must be set, unless one of these keys could not be read.
    pub(super) fn missing(&mut self, keys: &[&str], what: impl Into<String>, remedy: impl Into<String>) {
        if self.comparable(keys) {
            self.invalid(&keys[..1], InvalidValue::new(what, remedy));
        }
    }

    /// Warns of the first key, which may have been compared with the others.
    pub(super) fn warn(&mut self, keys: &[&str], what: impl Into<String>, remedy: impl Into<String>) {
        if self.comparable(keys) {
            self.put(true, &keys[..1], None, InvalidValue::new(what, remedy));
        }
    }

    /// Notes that a variable which stands for `key`, and is none of ours, cannot be used.
    pub(super) fn variable(&mut self, name: &'static str, key: &str, invalid: InvalidValue) {
        self.put(false, &[key], Some(name), invalid);
    }

    /// Warns of a variable that stands for no key of ours.
    pub(super) fn warn_of_variable(&mut self, name: &'static str, what: impl Into<String>, remedy: impl Into<String>) {
        self.put(true, &[name], Some(name), InvalidValue::new(what, remedy));
    }

    fn comparable(&self, keys: &[&str]) -> bool {
        self.valid(keys) && (keys.len() == 1 || !self.incomplete)
    }

    fn put(&mut self, warning: bool, keys: &[&str], variable: Option<&'static str>, invalid: InvalidValue) {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        self.found.push(Finding { warning, keys, variable, invalid });
    }
}
