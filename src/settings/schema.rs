//! The JSON Schema of a settings file: for editors, and for programs that write such files.

use serde_json::{Value, json};

use super::keys::DEFAULT_TOML;
use super::manual::{Manual, Section};
use super::root::Settings;

/// Draft 2020-12: the types' schema with the words and the defaults of `config/default.toml`. What it refuses, the program refuses, too;
/// what it takes, the program may still refuse.
pub fn schema() -> Value {
    let defaults: toml::Table = DEFAULT_TOML.parse().unwrap_or_default();
    let types = Settings::schema();
    let mut root = json!({
        "$schema": types["$schema"],
        "title": "Settings of antispoofd",
        "description": "A settings file; `antispoofd check` knows more than this schema.",
        "type": "object",
        "additionalProperties": false,
        "properties": types["properties"],
    });
    for Section { name, groups } in &Manual::read().sections {
        if let Some((section, table)) = name.split_once('.') {
            let words: Vec<String> = groups.iter().map(|group| group.words.join(" ")).collect();
            root["properties"][section]["properties"][table]["description"] = words.join(" ").into();
            continue;
        }
        for group in groups {
            for (key, _) in &group.entries {
                let property = &mut root["properties"][name]["properties"][key];
                property["description"] = group.words.join(" ").into();
                property["default"] = json!(defaults[*name][*key]);
            }
        }
    }
    root
}
