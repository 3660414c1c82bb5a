//! The reference page, as Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::keys::variable;
use super::kind::Kind;
use super::kinds;
use super::manual::{Group, Manual, Section};

const HEAD: &str = "# Settings\n\n<!-- Generated from config/default.toml and src/settings: `make generate` writes it anew, and a test tells when it is stale. -->\n\n\
     In the words of [config/default.toml](../config/default.toml), which is \"this file\" below.\n\n";

/// The page: every key with its meaning, kind, default and variable.
pub fn reference() -> String {
    let (manual, kinds) = (Manual::read(), kinds());
    let mut page = HEAD.to_owned();
    paragraph(&mut page, &manual.preamble);
    for Section { name, groups } in &manual.sections {
        // Writing to a string does not fail.
        let _infallible = writeln!(page, "\n## `[{name}]`");
        for group in groups {
            page.push('\n');
            paragraph(&mut page, &group.words);
            page.push_str(if group.words.is_empty() { "" } else { "\n" });
            table(&mut page, name, group, &kinds);
        }
    }
    page
}

fn table(page: &mut String, section: &str, group: &Group<'_>, kinds: &BTreeMap<String, Kind>) {
    page.push_str("| key | value | default | variable |\n|---|---|---|---|\n");
    for (key, default) in &group.entries {
        let key = format!("{section}.{key}");
        let kind = kinds.get(&key).map(ToString::to_string).unwrap_or_default();
        let row = format!("| `{key}` | {kind} | `{default}` | `{}` |", variable(&key));
        page.push_str(&row);
        page.push('\n');
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
