//! Values of TOML as `config` keeps them, and back.
//!
//! What no setting can be is kept as an unsigned number, which TOML does not have: `config` has no dates, and a table in the place of a value
//! would be merged with what is below it, and lose its origin.

use config::{Map, Value, ValueKind};
use toml::de::{DeTable, DeValue};
use toml::{Table, Value as Toml};

const UNSETTABLE: [&str; 3] = ["a table", "a date", "a number beyond 64 bits"];
const TABLE: ValueKind = ValueKind::U64(0);
const DATE: ValueKind = ValueKind::U64(1);
const TOO_LARGE: ValueKind = ValueKind::U64(2);

/// A table with everything in it, all from `origin`. Lists hold no lists: an inner one is not followed, so that no depth of nesting costs stack.
pub(super) fn table(table: &DeTable<'_>, origin: Option<&String>) -> Map<String, Value> {
    let entries = table.iter();
    entries.map(|(name, value)| (name.get_ref().to_string(), self::value(value.get_ref(), origin, true))).collect()
}

fn value(value: &DeValue<'_>, origin: Option<&String>, outer: bool) -> Value {
    let kind = match value {
        DeValue::String(text) => ValueKind::String(text.to_string()),
        DeValue::Integer(digits) => {
            i64::from_str_radix(digits.as_str(), digits.radix()).map_or(TOO_LARGE, ValueKind::I64)
        }
        DeValue::Float(digits) => digits.as_str().parse().map_or(TOO_LARGE, ValueKind::Float),
        DeValue::Boolean(flag) => ValueKind::Boolean(*flag),
        DeValue::Datetime(_) => DATE,
        DeValue::Array(items) => {
            let items = items.iter().filter(|_| outer);
            ValueKind::Array(items.map(|item| self::value(item.get_ref(), origin, false)).collect())
        }
        DeValue::Table(entries) if outer => ValueKind::Table(table(entries, origin)),
        DeValue::Table(_) => TABLE,
    };
    Value::new(origin, kind)
}

/// What is kept of a value that is a table and should be none.
pub(super) fn without_table(kind: ValueKind) -> ValueKind {
    if matches!(kind, ValueKind::Table(_)) { TABLE } else { kind }
}

/// What the types read. What no setting can be is a table that names it.
pub(super) fn toml(value: &Value) -> Toml {
    match &value.kind {
        ValueKind::String(text) => Toml::from(text.as_str()),
        ValueKind::Boolean(flag) => Toml::from(*flag),
        ValueKind::I64(number) => Toml::from(*number),
        ValueKind::Float(number) => Toml::from(*number),
        ValueKind::Array(items) => Toml::Array(items.iter().map(toml).collect()),
        kind => {
            let index = UNSETTABLE.iter().zip([TABLE, DATE, TOO_LARGE]).find(|(_, of)| of == kind);
            Toml::Table(Table::from_iter(index.map(|(name, _)| ((*name).to_owned(), Toml::from("")))))
        }
    }
}

/// Whether a value stands for what no setting can be.
pub(super) fn is_unsettable(value: &Toml) -> bool {
    value.as_table().is_some_and(|table| UNSETTABLE.into_iter().any(|name| table.contains_key(name)))
}

/// What a table stands for in the place of a value.
pub(super) fn unsettable(table: &Table) -> &'static str {
    UNSETTABLE.into_iter().find(|name| table.contains_key(*name)).unwrap_or(UNSETTABLE[0])
}
