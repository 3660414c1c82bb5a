//! The keys there are: those of the compiled-in default, which is the only list of them.

use std::collections::BTreeMap;

use config::{Map, Value, ValueKind};
use toml::Spanned;
use toml::de::DeTable;

use super::invalid::nearest;
use super::root::Settings;
use super::statuses::status;
use super::toml_values;

/// The compiled-in defaults.
pub const DEFAULT_TOML: &str = include_str!("../../config/default.toml");

/// The one table that a section has in it.
pub(super) const STATUSES: &str = "api.statuses";

/// The one key that is a value or a table, and what is in the table.
pub(super) const CONCURRENCY: &str = "worker.concurrency";
const BOUNDS: [&str; 2] = ["min", "max"];

pub(super) struct Keys {
    /// With their defaults.
    all: BTreeMap<String, Value>,
    /// Whether it is a URL, which may hold no secret.
    secrets: BTreeMap<String, bool>,
}

impl Keys {
    pub(super) fn known() -> Self {
        let mut all = BTreeMap::new();
        let defaults = DeTable::parse(DEFAULT_TOML).map(Spanned::into_inner).unwrap_or_default();
        for (section, value) in toml_values::table(&defaults, None) {
            flatten(section, value, &mut all);
        }
        // A secret is one by its type, whose schema says so.
        let (mut secrets, schema) = (BTreeMap::new(), Settings::schema());
        for (section, fields) in schema["properties"].as_object().into_iter().flatten() {
            for (field, schema) in fields["properties"].as_object().into_iter().flatten() {
                if schema.get("writeOnly").is_some() {
                    secrets.insert(format!("{section}.{field}"), schema.get("$comment").is_some());
                }
            }
        }
        Self { all, secrets }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.all.keys().map(String::as_str)
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        let status_of = |key: &str| status(key.strip_prefix(STATUSES)?.strip_prefix('.')?);
        self.all.contains_key(key) || status_of(key).is_some() || is_bound(key)
    }

    pub(super) fn defaults(&self) -> &BTreeMap<String, Value> {
        &self.all
    }

    pub(super) fn is_section(&self, name: &str) -> bool {
        self.sections().any(|section| section == name)
    }

    pub(super) fn is_secret(&self, key: &str) -> bool {
        self.secrets.contains_key(key)
    }

    /// Whether every value of `key` is a secret.
    pub(super) fn is_credential(&self, key: &str) -> bool {
        self.secrets.get(key) == Some(&false)
    }

    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.keys().map(String::as_str)
    }

    /// What a document sets, by dotted key; and what is no setting, or not in the place of one.
    pub(super) fn sort(&self, root: Map<String, Value>) -> (Map<String, Value>, Vec<(String, Value)>) {
        let (mut known, mut misplaced) = (Map::new(), Vec::new());
        let mut open = vec![(String::new(), root)];
        while let Some((table, entries)) = open.pop() {
            for (name, mut value) in entries {
                let key = if table.is_empty() { name.clone() } else { format!("{table}.{name}") };
                let is_table =
                    if table.is_empty() { self.is_section(&name) } else { key == STATUSES || key == CONCURRENCY };
                match std::mem::take(&mut value.kind) {
                    ValueKind::Table(entries) if is_table => open.push((key, entries)),
                    kind => {
                        value.kind = toml_values::without_table(kind);
                        if !table.is_empty() && !name.contains('.') && self.contains(&key) {
                            known.insert(key, value);
                        } else {
                            misplaced.push((key, value));
                        }
                    }
                }
            }
        }
        (known, misplaced)
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

fn flatten(key: String, value: Value, all: &mut BTreeMap<String, Value>) {
    match value.kind {
        ValueKind::Table(entries) => {
            for (name, value) in entries {
                flatten(format!("{key}.{name}"), value, all);
            }
        }
        _ => drop(all.insert(key, value)),
    }
}

/// Whether this is one of the two bounds that stand in the place of a number.
pub(super) fn is_bound(key: &str) -> bool {
    let bound = |key: &str| Some(BOUNDS.contains(&key.strip_prefix(CONCURRENCY)?.strip_prefix('.')?));
    bound(key) == Some(true)
}

/// The companion of a secret.
pub(super) fn file_key(secret: &str) -> String {
    format!("{secret}_file")
}

/// The variable that sets a key.
pub(super) fn variable(key: &str) -> String {
    format!("ANTISPOOFD__{}", key.to_uppercase().replace('.', "__"))
}
