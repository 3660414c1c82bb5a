//! The reference page, as Markdown: the words of the manual with what the schema says of each value.

use std::fmt::Write as _;

use serde_json::Value;

use super::keys::variable;
use super::manual::{Group, Manual, Section};
use super::schema::schema;

const HEAD: &str = "# Settings\n\n<!-- Generated from config/default.toml and src/settings: `make generate` writes it anew, and a test tells when it is stale. -->\n\n\
     In the words of [config/default.toml](../config/default.toml), which is \"this file\" below.\n\n";

/// The page: every key with its meaning, kind, default and variable.
pub fn reference() -> String {
    let (manual, schema) = (Manual::read(), schema());
    let mut page = HEAD.to_owned();
    paragraph(&mut page, &manual.preamble);
    for Section { name, groups } in &manual.sections {
        // Writing to a string does not fail.
        let _infallible = writeln!(page, "\n## `[{name}]`");
        for group in groups {
            page.push('\n');
            paragraph(&mut page, &group.words);
            page.push_str(if group.words.is_empty() { "" } else { "\n" });
            table(&mut page, name, group, &schema["properties"][name]["properties"]);
        }
    }
    page
}

fn table(page: &mut String, section: &str, group: &Group<'_>, properties: &Value) {
    page.push_str("| key | value | default | variable |\n|---|---|---|---|\n");
    for (key, default) in &group.entries {
        let kind = properties.get(key).map_or_else(|| "meaning of a status".to_owned(), kind);
        let key = format!("{section}.{key}");
        let row = format!("| `{key}` | {kind} | `{default}` | `{}` |", variable(&key));
        page.push_str(&row);
        page.push('\n');
    }
}

/// What a value is, in the words of a table.
fn kind(property: &Value) -> String {
    if let Some(choices) = property["enum"].as_array() {
        let quoted: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
        return quoted.join(", ");
    }
    let bound = |name: &str| property[name].as_f64().unwrap_or_default();
    let (comment, pattern) = (property["$comment"].as_str(), property["pattern"].as_str());
    if property.get("properties").is_some() {
        let most = bound("maximum");
        return format!("whole number, {} to {most}, or a table of two, `min` and `max`", bound("minimum"));
    }
    match (property["type"].as_str(), comment, pattern) {
        _ if property.get("writeOnly").is_some() => "text, secret".to_owned(),
        (Some("boolean"), _, _) => "`true` or `false`".to_owned(),
        (Some("integer"), _, _) => format!("whole number, {} to {}", bound("minimum"), bound("maximum")),
        (Some("number"), _, _) => format!("number, {} to {}", bound("minimum"), bound("maximum")),
        (Some("array"), _, _) => "list of texts".to_owned(),
        (Some("string"), Some(bounds), Some(pattern)) => {
            format!("duration, {bounds}{}", if pattern.ends_with(")?$") { ", or empty" } else { "" })
        }
        (None, Some(bounds), _) => format!("size, {bounds}"),
        (_, Some(kind), None) => kind.to_owned(),
        _ => "text".to_owned(),
    }
}

/// Lines of a comment as they stand, with what Markdown would take for its own made harmless.
fn paragraph(page: &mut String, lines: &[&str]) {
    for line in lines {
        let mut code = false;
        for c in line.chars() {
            code ^= c == '`';
            if !code && (c == '<' || c == '*') {
                page.push('\\');
            }
            page.push(c);
        }
        page.push('\n');
    }
}
