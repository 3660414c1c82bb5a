//! The JSON Schema of a settings file: for editors, and for who writes such files by program.

use serde_json::{Map, Value, json};

use super::api::{STATUS_CODES, SUCCESS_CODES};
use super::keys::DEFAULT_TOML;
use super::kind::Kind;
use super::kinds;
use super::manual::{Manual, Section};
use super::units::{plain, plain_size};

/// A number with a unit; which units there are is for the loader to say.
const DURATION: &str = r"^\s*[0-9][0-9.]*\s*[A-Za-z].*$";
const DURATION_OR_EMPTY: &str = r"^\s*([0-9][0-9.]*\s*[A-Za-z].*)?$";
const SIZE: &str = r"^\s*[0-9][0-9.]*\s*[A-Za-z]*\s*$";

/// Draft 2020-12. What it refuses, the program refuses, too; what it takes, the program may still refuse.
pub fn schema() -> Value {
    let defaults: toml::Table = DEFAULT_TOML.parse().unwrap_or_default();
    let kinds = kinds();
    let mut sections = Map::new();
    for Section { name, groups } in &Manual::read().sections {
        let (head, table) = match name.split_once('.') {
            Some((head, table)) => (head, Some(table)),
            None => (*name, None),
        };
        let mut properties = Map::new();
        for group in groups {
            let words = group.words.join(" ");
            for (key, _) in &group.entries {
                let Some(kind) = kinds.get(&format!("{name}.{key}")) else { continue };
                let mut property = of(kind);
                if !words.is_empty() && table.is_none() {
                    property.insert("description".to_owned(), words.clone().into());
                }
                if let Some(default) = defaults.get(head).and_then(|section| section.get(key)) {
                    property.insert("default".to_owned(), json!(default));
                }
                properties.insert((*key).to_owned(), property.into());
            }
        }
        match table {
            None => drop(sections.insert(head.to_owned(), closed(&properties))),
            Some(table) => {
                let words = groups.iter().map(|group| group.words.join(" ")).collect::<Vec<_>>().join(" ");
                sections[head]["properties"][table] = statuses(&words);
            }
        }
    }
    let mut root = closed(&sections);
    root["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    root["title"] = "Settings of antispoofd".into();
    root["description"] = "A settings file; `antispoofd check` knows more than this schema.".into();
    root
}

/// `[api.statuses]`, whose keys are not a list but two ranges.
fn statuses(words: &str) -> Value {
    json!({
        "type": "object",
        "description": words,
        "additionalProperties": false,
        "patternProperties": { "^2[0-9]{2}$": { "enum": SUCCESS_CODES }, "^[45][0-9]{2}$": { "enum": STATUS_CODES } },
    })
}

fn closed(properties: &Map<String, Value>) -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn of(kind: &Kind) -> Map<String, Value> {
    let schema = match kind {
        Kind::Text | Kind::Path | Kind::Status => json!({ "type": "string" }),
        Kind::Secret => json!({ "type": "string", "writeOnly": true }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Int(bounds) => json!({ "type": "integer", "minimum": bounds.start(), "maximum": bounds.end() }),
        Kind::Number(bounds) => json!({ "type": "number", "minimum": bounds.start(), "maximum": bounds.end() }),
        Kind::Duration { bounds, or_empty } => json!({
            "type": "string",
            "pattern": if *or_empty { DURATION_OR_EMPTY } else { DURATION },
            "$comment": format!("{} to {}", plain(*bounds.start()), plain(*bounds.end())),
        }),
        Kind::Size(bounds) => json!({
            "type": ["integer", "string"],
            "minimum": bounds.start(),
            "maximum": bounds.end(),
            "pattern": SIZE,
            "$comment": format!("{} to {}", plain_size(*bounds.start()), plain_size(*bounds.end())),
        }),
        Kind::Choice(choices) => json!({ "enum": choices }),
        Kind::List => json!({ "type": "array", "items": { "type": "string" } }),
    };
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}
