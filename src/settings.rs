//! Settings: from files, environment and flags to values that need no further check.
//!
//! [`load`] lays the sources over each other, reads every section and looks at how the values fit together. It stops at nothing: all that
//! is wrong is in [`Problems`], each with its place. What comes out holds by construction what the fields' docs say. The manual of the
//! keys is `config/default.toml`, which is also the only list of them.

use std::collections::BTreeMap;

mod admin;
mod amqp;
mod api;
mod authorities;
mod cross_check;
mod effective;
mod findings;
mod http_url;
mod image;
mod inline_schema;
mod invalid;
mod keys;
mod layers;
mod ledger;
mod log;
mod manual;
mod origin;
mod problem;
mod reference;
mod retry;
mod root;
mod row;
mod s3;
mod schema;
mod secrets;
mod sources;
mod spans;
mod statuses;
mod toml_values;
mod traces;
mod units;
mod unknown_keys;
mod values;
mod whole_file;
mod worker;

#[cfg(test)]
mod tests;

pub use admin::Admin;
pub use amqp::{Amqp, TopologyMode};
pub use api::{Api, ApiAuth};
pub use image::{Image, OrientationPolicy};
pub use keys::DEFAULT_TOML;
pub use ledger::{Ledger, LedgerBackend};
pub use log::{Log, LogFormat, ObjectKeys};
pub use origin::Origin;
pub use problem::{Problem, Problems};
pub use reference::reference;
pub use retry::{Delay, Retry};
pub use root::Settings;
pub use row::Row;
pub use s3::S3;
pub use schema::schema;
pub use secrets::jwt;
pub use secrets::rotating::{RotatingSecret, follow};
pub use secrets::urls::{AmqpUrl, RedisUrl};
pub use sources::{Needs, Sources};
pub use statuses::{STATUS_CODES, SUCCESS_CODES};
pub use traces::{Batch, Sampler, Traces};
pub use worker::{Concurrency, Worker};

use effective::{read_secrets, rows, tables};
use findings::{Finding, Findings};
use keys::Keys;
use layers::{Document, Layers};
use origin::Place;

/// Settings, and where they came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// What deserves a look, but stops nothing.
    pub warnings: Vec<Problem>,
    /// Where each dotted key was set. A secret that was read from a file has that file's origin.
    pub origins: BTreeMap<String, Origin>,
    rows: Vec<Row>,
}

/// The settings for [`Needs::Worker`], or all that is wrong with them.
pub fn load(sources: Sources) -> Result<Loaded, Problems> {
    load_for(Needs::Worker, sources)
}

/// The settings for what `needs` says, or all that is wrong with them.
pub fn load_for(needs: Needs, sources: Sources) -> Result<Loaded, Problems> {
    let Sources { files, env, overrides, now } = sources;
    let keys = Keys::known();
    let files: Vec<Document> = files.into_iter().map(Document::read).collect();
    let mut layers = Layers::read(&files, &env, &overrides, &keys);
    let mut findings = Findings::new(needs, &env, now, layers.incomplete);
    read_secrets(&mut layers, &mut findings);
    let (values, defaults) = (tables(&layers, &layers.values), tables(&layers, keys.defaults()));
    let mut settings = Settings::read(values, &defaults, &mut findings);
    settings.validate(&mut findings);
    let rows = rows(&settings, &layers);
    let valid = |key: &str| findings.valid(&[key]);

    let (mut problems, mut warnings) = (layers.problems.clone(), layers.warnings.clone());
    for finding in in_order(&findings.found) {
        let problem = problem(finding, &layers);
        if finding.warning { &mut warnings } else { &mut problems }.push(problem);
    }
    if !problems.is_empty() {
        let log_format = (valid("log.format") && !layers.incomplete).then_some(settings.log.format);
        let read = rows.into_iter().filter(|row| valid(&row.key)).collect();
        return Err(Problems { found: problems, warnings, incomplete: layers.incomplete, read, log_format });
    }
    let origins = rows.iter().map(|row| (row.key.clone(), row.origin.clone())).collect();
    Ok(Loaded { settings, warnings, origins, rows })
}

/// As the manual has the sections.
fn in_order(found: &[Finding]) -> Vec<&Finding> {
    let mut found: Vec<&Finding> = found.iter().collect();
    found.sort_by_key(|finding| {
        let section = finding.keys[0].split('.').next().unwrap_or_default();
        DEFAULT_TOML.find(&format!("\n[{section}]"))
    });
    found
}

/// A finding with the places that it is about.
fn problem(finding: &Finding, layers: &Layers<'_>) -> Problem {
    let invalid = &finding.invalid;
    let item = invalid.part.as_ref().and_then(|part| part.parse().ok());
    let mut places = finding.keys.iter().map(|key| layers.place(key, item));
    let mut first = places.next().unwrap_or_else(|| Place::new("", Origin::Default));
    if let Some(name) = finding.variable {
        first = Place::new(first.key, Origin::Env { name: name.to_owned() });
    }
    let made = if finding.warning { Problem::warning } else { Problem::error };
    places.fold(made(first, invalid.what.as_str(), invalid.remedy.as_str()), Problem::and)
}

impl Loaded {
    /// Every key with its effective value as TOML and its origin, in the order of the keys; secrets are masked.
    pub fn redacted(&self) -> &[Row] {
        &self.rows
    }
}
