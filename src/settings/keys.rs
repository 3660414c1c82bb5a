//! The keys there are: those of the compiled-in default, which is the only list of them.

use std::collections::BTreeSet;

use super::file::Document;

/// The compiled-in defaults.
pub const DEFAULT_TOML: &str = include_str!("../../config/default.toml");

const STATUSES: &str = "api.statuses";

pub(super) struct Keys {
    all: BTreeSet<String>,
}

impl Keys {
    pub(super) fn known() -> Self {
        let mut all = BTreeSet::new();
        for (section, entries) in Document::parse(DEFAULT_TOML).root() {
            for (key, value) in entries.get_ref().as_table().into_iter().flatten() {
                let key = format!("{}.{}", section.get_ref(), key.get_ref());
                match value.get_ref().as_table() {
                    Some(table) => all.extend(table.keys().map(|leaf| format!("{key}.{}", leaf.get_ref()))),
                    None => {
                        all.insert(key);
                    }
                }
            }
        }
        Self { all }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(String::as_str)
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.all.contains(key) || status_of(key).is_some()
    }

    pub(super) fn is_section(&self, name: &str) -> bool {
        self.sections().any(|section| section == name)
    }

    /// Whether `key` is a table of its own inside its section.
    pub(super) fn is_table(key: &str) -> bool {
        key == STATUSES
    }

    /// A secret is what has a companion `x_file`.
    pub(super) fn is_secret(&self, key: &str) -> bool {
        self.all.contains(key) && self.all.contains(&file_key(key))
    }

    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.iter().filter(|key| self.is_secret(key))
    }

    /// The key that was probably meant: a misspelling, or the right word in the wrong section.
    pub(super) fn nearest(&self, wrong: &str) -> Option<&str> {
        let leaf = wrong.rsplit('.').next();
        nearest(wrong, self.iter()).or_else(|| self.iter().find(|key| key.rsplit('.').next() == leaf))
    }

    pub(super) fn nearest_section(&self, wrong: &str) -> Option<&str> {
        nearest(wrong, self.sections())
    }

    fn sections(&self) -> impl Iterator<Item = &str> {
        self.iter().filter_map(|key| key.split('.').next())
    }
}

/// The status of a key of `[api.statuses]`.
pub(super) fn status_of(key: &str) -> Option<u16> {
    let digits = key.strip_prefix(STATUSES)?.strip_prefix('.')?;
    // Three digits and nothing else: "+429" and "0429" would be second names of the same status.
    let status: u16 = if digits.len() == 3 { digits.parse().ok()? } else { return None };
    matches!(status, 200..=299 | 400..=599).then_some(status)
}

/// The companion of a secret.
pub(super) fn file_key(secret: &str) -> String {
    format!("{secret}_file")
}

/// The variable that sets a key.
pub(super) fn variable(key: &str) -> String {
    format!("ANTISPOOFD__{}", key.to_uppercase().replace('.', "__"))
}

/// The candidate that `wrong` is most likely a misspelling of, if any is near enough to be worth saying.
pub(super) fn nearest<'a>(wrong: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let far = match wrong.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        6..=9 => 2,
        // A wrong text of any length must not cost its square in time.
        10..=80 => 3,
        _ => return None,
    };
    candidates
        .map(|candidate| (strsim::osa_distance(wrong, candidate), candidate))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
