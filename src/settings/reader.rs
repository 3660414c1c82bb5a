//! Reads typed values out of the merged layers, and notes what is wrong with them instead of stopping at the first.

mod secrets;
mod typed;

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::entry::{Entry, Layer, Value};
use super::keys::nearest;
use super::kind::Kind;
use super::origin::{Origin, Place};
use super::problem::Problem;

pub(super) use secrets::Found;

/// What the sections are read from. A key that cannot be read is noted and gives its default, so that all the others are
/// still looked at; nobody sees such a value, since a noted problem makes the load fail.
pub(super) struct Reader<'a> {
    top: &'a Layer,
    default: &'a Layer,
    pub(super) env: &'a BTreeMap<String, String>,
    /// The time, where it is to be looked at.
    pub(super) now: Option<SystemTime>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    /// Keys with a problem: no check that needs them makes sense.
    unsound: BTreeSet<String>,
    /// The keys that have been read, and what they were read as.
    kinds: BTreeMap<String, Kind>,
    /// A file could not be read, so nobody knows what is missing or how the values fit together.
    incomplete: bool,
    /// Where the secrets came from that were read from files or from another variable.
    secret_places: BTreeMap<String, Place>,
}

/// Why a value is not one, and what would be; of a list maybe only one item is meant.
pub(super) struct Wrong {
    what: String,
    remedy: String,
    item: Option<usize>,
}

// === impl Wrong ===

impl Wrong {
    pub(super) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into(), item: None }
    }

    /// What is wrong, as it follows the name of a key.
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    pub(super) fn at(self, place: Place) -> Problem {
        Problem::error(place, self.what, self.remedy)
    }

    pub(super) fn item(self, index: usize) -> Self {
        Self { item: Some(index), ..self }
    }

    fn kind(value: &Value, wanted: &str) -> Self {
        Self::new(format!("is {}, not {wanted}", value.kind()), format!("write {wanted}"))
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub(super) fn new(top: &'a Layer, default: &'a Layer, env: &'a BTreeMap<String, String>, incomplete: bool) -> Self {
        Self {
            incomplete,
            top,
            default,
            env,
            now: None,
            problems: Vec::new(),
            warnings: Vec::new(),
            unsound: BTreeSet::new(),
            kinds: BTreeMap::new(),
            secret_places: BTreeMap::new(),
        }
    }

    pub(super) fn at(self, now: Option<SystemTime>) -> Self {
        Self { now, ..self }
    }

    /// The value of `key` as `parse` sees it. What kind of value that is, is for the caller to say.
    fn read<T>(&mut self, key: &str, parse: impl Fn(&Value) -> Result<T, Wrong>) -> T {
        if let Some(entry) = self.top.get(key) {
            match parse(&entry.value) {
                Ok(value) => return value,
                Err(wrong) => self.note(entry, wrong),
            }
        }
        let default = self.default.get(key).map(|entry| parse(&entry.value));
        match default {
            Some(Ok(value)) => value,
            Some(Err(wrong)) => panic!("the compiled-in default of {key} {}", wrong.what),
            None => panic!("config/default.toml lacks {key}"),
        }
    }

    /// Whether none of these keys has a problem, so that they can be compared.
    pub(super) fn sound(&self, keys: &[&str]) -> bool {
        keys.iter().all(|key| !self.unsound.contains(*key))
    }

    /// Where `key` was set.
    pub(super) fn place(&self, key: &str) -> Place {
        match self.secret_places.get(key).or_else(|| self.top.get(key).map(|entry| &entry.place)) {
            Some(place) => place.clone(),
            None => Place::new(key, Origin::Default),
        }
    }

    /// Notes that `key`, which can be read, cannot be used.
    pub(super) fn error(&mut self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        let problem = Problem::error(self.place(key), what, remedy);
        self.unsound.insert(key.to_owned());
        self.problems.push(problem);
    }

    /// Notes that `key` does not go together with `others`.
    pub(super) fn error_with(
        &mut self,
        key: &str,
        others: &[&str],
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.unsound.insert(key.to_owned());
        if self.incomplete {
            return;
        }
        let problem = Problem::error(self.place(key), what, remedy);
        self.problems.push(others.iter().fold(problem, |problem, other| problem.and(self.place(other))));
    }

    /// Notes that `key` must be set.
    pub(super) fn required(&mut self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.error_with(key, &[], what, remedy);
    }

    /// Notes what is wrong with a secret, at its place.
    pub(super) fn blame(&mut self, found: &Found, wrong: Wrong) {
        self.unsound.insert(found.place.key.clone());
        self.problems.push(Problem::error(found.place.clone(), wrong.what, wrong.remedy));
    }

    /// A variable that is none of ours and stands for `key` where it is set. None: not set, or wrong, which is noted.
    pub(super) fn variable<T>(&mut self, name: &str, key: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        let text = self.env.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(wrong) => {
                let place = Place::new(key, Origin::Env { name: name.to_owned() });
                self.problems.push(Problem::error(place, wrong.what, wrong.remedy));
                None
            }
        }
    }

    /// What `key` is when nobody sets it: in place of a value whose problem has been noted.
    pub(super) fn default_of<T>(&self, key: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> T {
        match self.default.get(key).and_then(|entry| entry.value.text()).map(parse) {
            Some(Ok(value)) => value,
            _ => panic!("config/default.toml has no valid {key}"),
        }
    }

    pub(super) fn warn(&mut self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.warnings.push(Problem::warning(self.place(key), what, remedy));
    }

    fn note(&mut self, entry: &Entry, wrong: Wrong) {
        let place = match (&entry.value, wrong.item) {
            (Value::List(items), Some(index)) => items.get(index).map_or(&entry.place, |item| &item.place),
            _ => &entry.place,
        };
        self.unsound.insert(entry.place.key.clone());
        self.problems.push(Problem::error(place.clone(), wrong.what, wrong.remedy));
    }

    /// Says what `key` is read as; the last word counts.
    fn reads(&mut self, key: &str, kind: Kind) {
        self.kinds.insert(key.to_owned(), kind);
    }

    pub(super) fn into_kinds(self) -> BTreeMap<String, Kind> {
        self.kinds
    }

    pub(super) fn into_found(self) -> (Vec<Problem>, Vec<Problem>) {
        (self.problems, self.warnings)
    }
}

/// A value of a key that is no secret, as a message shows it.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    if text.chars().count() <= LONGEST {
        return format!("{text:?}");
    }
    format!("{:?} (cut)", text.chars().take(LONGEST).collect::<String>())
}

/// The start of a remedy: what was probably meant, if anything is near.
pub(super) fn nearest_to(text: &str, choices: &[&str]) -> String {
    nearest(text, choices.iter().copied()).map(|near| format!("did you mean {near}? ")).unwrap_or_default()
}
