//! `antispoofd config`: what can be set, and what is.

use super::exit::Exit;
use super::problem::{Problem, warn};
use super::stdout::print;
use super::terminal::plain;
use crate::settings::{self, Loaded, Problems, Row};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Print the settings in effect, their schema, or their reference
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = super::examples::CONFIG)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum What {
    /// Print every setting as `run` would have it, with where it was set
    ///
    /// As TOML, with the origin of each value behind it; secrets are masked. Where `run` would not start, ends with 78 and says all that is wrong on
    /// stderr; what has no problem of its own is printed all the same.
    #[command(after_help = super::examples::CONFIG)]
    Print {
        /// Print one JSON object: by key, the value and its origin
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema (draft 2020-12) of a settings file
    #[command(after_help = super::examples::CONFIG)]
    Schema,
    /// Print the reference of all settings, as Markdown
    #[command(after_help = super::examples::CONFIG)]
    Reference,
}

/// `load` is asked only where the settings themselves are wanted.
pub(super) fn run(args: ConfigArgs, load: impl FnOnce() -> Result<Loaded, Problems>) -> Result<Exit, Problem> {
    let page = match args.what {
        What::Print { json } => return print_settings(json, load()),
        What::Schema => format!("{:#}", settings::schema()),
        What::Reference => settings::reference(),
    };
    print(page.trim_end())?;
    Ok(Exit::Ok)
}

fn print_settings(json: bool, loaded: Result<Loaded, Problems>) -> Result<Exit, Problem> {
    let rows = match &loaded {
        Ok(loaded) => loaded.redacted(),
        Err(problems) => problems.read(),
    };
    let page = if json { format!("{:#}", as_json(rows)) } else { as_toml(rows) };
    print(page.trim_end())?;
    loaded.map_err(Problem::settings)?.warnings.iter().for_each(warn);
    Ok(Exit::Ok)
}

fn as_json(rows: &[Row]) -> Value {
    let rows =
        rows.iter().map(|row| (row.key.clone(), json!({ "value": row.json(), "origin": row.origin.to_string() })));
    Value::Object(rows.collect::<Map<_, _>>())
}

fn as_toml(rows: &[Row]) -> String {
    // A table within a section has to come after the section's own keys, and its name sorts so.
    let mut sections = BTreeMap::<&str, Vec<(&str, &Row)>>::new();
    for row in rows {
        let (section, key) = row.key.rsplit_once('.').unwrap_or(("", &row.key));
        sections.entry(section).or_default().push((key, row));
    }
    let sections = sections.into_iter().map(|(section, rows)| {
        let lines = rows.into_iter().map(|(key, row)| {
            let origin = plain(&row.origin.to_string());
            format!("{key} = {}  # {origin}\n", row.value)
        });
        format!("[{section}]\n{}", lines.collect::<String>())
    });
    sections.collect::<Vec<_>>().join("\n")
}
