//! The kinds of values that keys have.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::{Reader, Wrong, nearest_to, quoted};
use crate::settings::entry::Value;
use crate::settings::keys::status_of;
use crate::settings::kind::Kind;
use crate::settings::units::{parse_duration, parse_size, plain, plain_size};

impl Reader<'_> {
    pub(in crate::settings) fn text<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> T {
        self.reads(key, Kind::Text);
        self.read(key, |value| match value.text() {
            Some(text) => parse(text.trim()),
            None => Err(Wrong::kind(value, "a string in double quotes")),
        })
    }

    pub(in crate::settings) fn flag(&mut self, key: &str) -> bool {
        self.reads(key, Kind::Flag);
        self.read(key, |value| match value {
            Value::Bool(flag) => Ok(*flag),
            Value::Raw(text) if text.trim() == "true" => Ok(true),
            Value::Raw(text) if text.trim() == "false" => Ok(false),
            _ => Err(Wrong::new(
                format!("is {}, not a boolean", described(value)),
                "write true or false, without quotes",
            )),
        })
    }

    /// A whole number. The bounds must fit `T`.
    pub(in crate::settings) fn int<T: TryFrom<i64>>(&mut self, key: &str, bounds: RangeInclusive<i64>) -> T {
        let (low, high) = (*bounds.start(), *bounds.end());
        self.reads(key, Kind::Int(bounds.clone()));
        self.read(key, |value| {
            let number = match value {
                Value::Int(number) => Some(*number),
                Value::Raw(text) => text.trim().replace('_', "").parse().ok(),
                _ => None,
            };
            let remedy = format!("write a whole number from {low} to {high}");
            match number {
                None => Err(Wrong::new(format!("is {}, not a whole number", described(value)), remedy)),
                Some(n) => T::try_from(n)
                    .ok()
                    .filter(|_| bounds.contains(&n))
                    .ok_or_else(|| Wrong::new(format!("{n} is out of bounds"), remedy)),
            }
        })
    }

    pub(in crate::settings) fn number(&mut self, key: &str, bounds: RangeInclusive<f64>) -> f64 {
        self.reads(key, Kind::Number(bounds.clone()));
        self.read(key, |value| {
            #[expect(clippy::cast_precision_loss, reason = "the bounds of every such key are far below 2^53")]
            let number = match value {
                Value::Int(number) => Some(*number as f64),
                Value::Float(number) => Some(*number),
                Value::Raw(text) => text.trim().parse().ok(),
                _ => None,
            };
            let remedy = format!("write a number from {} to {}", bounds.start(), bounds.end());
            match number {
                None => Err(Wrong::new(format!("is {}, not a number", described(value)), remedy)),
                Some(n) if bounds.contains(&n) => Ok(n),
                Some(n) => Err(Wrong::new(format!("{n} is out of bounds"), remedy)),
            }
        })
    }

    pub(in crate::settings) fn duration(&mut self, key: &str, bounds: RangeInclusive<Duration>) -> Duration {
        self.reads(key, Kind::Duration { bounds: bounds.clone(), or_empty: false });
        self.read(key, |value| duration_within(value, &bounds))
    }

    /// A duration that need not be set.
    pub(in crate::settings) fn maybe_duration(
        &mut self,
        key: &str,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        self.reads(key, Kind::Duration { bounds: bounds.clone(), or_empty: true });
        self.read(key, |value| if value.is_empty() { Ok(None) } else { duration_within(value, &bounds).map(Some) })
    }

    /// A number of bytes.
    pub(in crate::settings) fn size(&mut self, key: &str, bounds: RangeInclusive<u64>) -> u64 {
        self.reads(key, Kind::Size(bounds.clone()));
        self.read(key, |value| {
            let parsed = match value {
                Value::Int(number) => u64::try_from(*number).ok(),
                _ => value.text().and_then(parse_size),
            };
            let form =
                "write a number with its unit in double quotes, as \"512KiB\" or \"10MiB\", or a number of bytes";
            match parsed {
                None => Err(Wrong::new(format!("is {}, not a size", described(value)), form)),
                Some(size) if bounds.contains(&size) => Ok(size),
                Some(size) => Err(Wrong::new(
                    format!("{} is out of bounds", plain_size(size)),
                    format!("write a size from {} to {}", plain_size(*bounds.start()), plain_size(*bounds.end())),
                )),
            }
        })
    }

    pub(in crate::settings) fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> T {
        let choice = self.text(key, |text| {
            let chosen = choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
            chosen.ok_or_else(|| {
                let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
                Wrong::new(
                    format!("{} is not a choice", quoted(text)),
                    format!("{}write one of {}", nearest_to(text, &names), names.join(", ")),
                )
            })
        });
        self.reads(key, Kind::Choice(choices.iter().map(|(name, _)| (*name).to_owned()).collect()));
        choice
    }

    /// A list of strings, each checked by `parse`; in variables and flags separated by commas. Every wrong item is noted.
    pub(in crate::settings) fn list<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> Vec<T> {
        self.reads(key, Kind::List);
        let items = self.read(key, |value| match value {
            Value::List(items) => Ok(items.iter().map(|item| item.value.clone()).collect()),
            Value::Raw(text) if text.trim().is_empty() => Ok(Vec::new()),
            Value::Raw(text) => Ok(text.split(',').map(|item| Value::Text(item.to_owned())).collect()),
            _ => Err(Wrong::new(
                format!("is {}, not a list", value.kind()),
                "write a list in brackets, as [\"a\", \"b\"]",
            )),
        });
        let mut parsed = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let result = match item {
                Value::Text(text) => parse(text.trim()),
                other => Err(Wrong::kind(other, "a string in double quotes")),
            };
            match (result, self.top.get(key)) {
                (Ok(item), _) => parsed.push(item),
                (Err(wrong), Some(entry)) => self.note(entry, wrong.item(index)),
                (Err(_), None) => {}
            }
        }
        parsed
    }

    pub(in crate::settings) fn path(&mut self, key: &str) -> Option<PathBuf> {
        let path = self.text(key, |text| Ok((!text.is_empty()).then(|| PathBuf::from(text))));
        self.reads(key, Kind::Path);
        path
    }

    /// The statuses of `[api.statuses]`, each checked by `parse`.
    pub(in crate::settings) fn statuses<T>(
        &mut self,
        parse: impl Fn(u16, &str) -> Result<T, Wrong> + Copy,
    ) -> BTreeMap<u16, T> {
        let set: Vec<(u16, String)> = self.top.keys().filter_map(|key| Some((status_of(key)?, key.clone()))).collect();
        let mut statuses = BTreeMap::new();
        for (status, key) in set {
            self.reads(&key, Kind::Status);
            let entry = &self.top[&key];
            let value = match entry.value.text() {
                Some(text) => parse(status, text.trim()),
                None => Err(Wrong::kind(&entry.value, "a string in double quotes")),
            };
            match value {
                Ok(value) => drop(statuses.insert(status, value)),
                Err(wrong) => self.note(entry, wrong),
            }
        }
        statuses
    }
}

fn duration_within(value: &Value, bounds: &RangeInclusive<Duration>) -> Result<Duration, Wrong> {
    let form = "write a number with its unit in double quotes, as \"250ms\", \"30s\", \"10m\" or \"1h\"";
    match value.text().and_then(parse_duration) {
        None => Err(Wrong::new(format!("is {}, not a duration", described(value)), form)),
        Some(duration) if bounds.contains(&duration) => Ok(duration),
        Some(duration) => Err(Wrong::new(
            format!("{} is out of bounds", plain(duration)),
            format!("write a duration from {} to {}", plain(*bounds.start()), plain(*bounds.end())),
        )),
    }
}

fn described(value: &Value) -> String {
    match value {
        Value::Text(text) | Value::Raw(text) if text.trim().is_empty() => "empty".to_owned(),
        Value::Text(text) | Value::Raw(text) => quoted(text),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::List(_) | Value::Other(_) => value.kind().to_owned(),
    }
}
