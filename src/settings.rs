//! Settings: from files, environment and flags to values that need no further check.
//!
//! [`load`] puts the layers over each other, reads every section and looks at how the values fit together. It stops at nothing: all that
//! is wrong is in [`Problems`], each with its place. What comes out holds by construction what the fields' docs say. The manual of the
//! keys is `config/default.toml`, which is also the only list of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

mod admin;
mod ambient;
mod amqp;
mod api;
mod authorities;
mod entry;
mod file;
mod fit;
mod image;
pub mod jwt;
mod keys;
mod kind;
mod ledger;
mod log;
mod manual;
mod origin;
mod problem;
mod reader;
mod reference;
mod retry;
mod rotating;
mod rows;
mod s3;
mod schema;
mod secret_file;
mod source_line;
mod stack;
mod units;
mod urls;
mod whole_file;
mod worker;

#[cfg(test)]
mod tests;

pub use admin::Admin;
pub use amqp::{Amqp, TopologyMode};
pub use api::{Api, ApiAuth, InDoubtPolicy, STATUS_CODES, SUCCESS_CODES};
pub use image::{DigestKind, Image, OrientationPolicy};
pub use keys::DEFAULT_TOML;
pub use ledger::{Ledger, LedgerBackend, LedgerErrorPolicy, LedgerReuse};
pub use log::{Log, LogFormat, ObjectKeys};
pub use origin::Origin;
pub use problem::{Problem, Problems};
pub use reference::reference;
pub use retry::{Delay, Retry};
pub use rotating::{RotatingSecret, follow};
pub use rows::Row;
pub use s3::S3;
pub use schema::schema;
pub use urls::{AmqpUrl, RedisUrl};
pub use worker::Worker;

use keys::Keys;
use kind::Kind;
use reader::Reader;
use stack::Stack;

/// Read where `--config` and `ANTISPOOFD_CONFIG` name no file, if it exists.
const SYSTEM_FILE: &str = "/etc/antispoofd/antispoofd.toml";

/// Everything that can be set. Only [`load`] makes one; its `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The broker.
    pub amqp: Amqp,
    /// The process.
    pub worker: Worker,
    /// Where the images are.
    pub s3: S3,
    /// What is looked at before a call is paid for.
    pub image: Image,
    /// The paid endpoint.
    pub api: Api,
    /// When a job is tried again.
    pub retry: Retry,
    /// What has been judged already.
    pub ledger: Ledger,
    /// The port for probes and metrics.
    pub admin: Admin,
    /// What is logged, and how.
    pub log: Log,
}

/// What the settings are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The daemon: everything must be there.
    Worker,
    /// Commands that speak to the broker and the bucket only (`submit`, `watch`, `topology`, …): the API's credentials are neither
    /// required nor read, and an empty allow-list of buckets is fine.
    Client,
    /// The command that makes a token: the API's credentials must be there, and an empty allow-list of buckets is fine.
    Token,
}

/// Where the layers come from. Has no `Debug`: the environment holds secrets.
#[derive(Clone, Default)]
pub struct Sources {
    /// Settings files; a later one wins.
    pub files: Vec<PathBuf>,
    /// The environment. Read are `ANTISPOOFD__*`, the fallbacks `VIDEOSDK_API_KEY` and `VIDEOSDK_SECRET`, `HOSTNAME`, the
    /// default of `worker.instance`, and `RUST_LOG`.
    pub env: BTreeMap<String, String>,
    /// `--set` flags: dotted key and value, written as in the environment.
    pub overrides: Vec<(String, String)>,
    /// The time that a ready-made token is held against. Without one it is not.
    pub now: Option<SystemTime>,
}

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
    let default = file::defaults(DEFAULT_TOML, &keys);
    let (mut problems, mut warnings, mut incomplete) = (Vec::new(), Vec::new(), false);

    let mut stack = Stack::new(&keys, &default);
    for path in &files {
        let contents = file::read(path, &keys);
        incomplete |= contents.broken;
        problems.extend(contents.problems);
        stack.put(contents.layer, &mut problems);
    }
    let environment = ambient::environment(&env, &keys, &mut problems, &mut warnings);
    stack.put(environment, &mut problems);
    let flags = ambient::flags(&overrides, &keys, &mut problems, &mut warnings);
    stack.put(flags, &mut problems);
    let top = stack.into_top();

    let mut reader = Reader::new(&top, &default, &env, incomplete).at(now);
    let settings = Settings::read(&mut reader, needs);
    let rows = rows::rows(&settings, &reader, &keys, &top, &default);
    let format = (reader.sound(&["log.format"]) && !incomplete).then_some(settings.log.format);
    let sound: Vec<bool> = rows.iter().map(|row| reader.sound(&[&row.key])).collect();
    let (found, warned) = reader.into_found();
    problems.extend(found);
    warnings.extend(warned);

    if !problems.is_empty() {
        let read = rows.into_iter().zip(sound).filter_map(|(row, sound)| sound.then_some(row));
        return Err(Problems::new(problems, warnings, incomplete).beside(read.collect(), format));
    }
    let origins = rows.iter().map(|row| (row.key.clone(), row.origin.clone())).collect();
    Ok(Loaded { settings, warnings, origins, rows })
}

/// What each key is read as, from those who read them.
fn kinds() -> BTreeMap<String, Kind> {
    let keys = Keys::known();
    let (default, env) = (file::defaults(DEFAULT_TOML, &keys), BTreeMap::new());
    let mut reader = Reader::new(&default, &default, &env, false);
    Settings::read(&mut reader, Needs::Worker);
    reader.into_kinds()
}

// === impl Settings ===

impl Settings {
    fn read(r: &mut Reader<'_>, needs: Needs) -> Self {
        let settings = Self {
            amqp: Amqp::read(r),
            worker: Worker::read(r),
            s3: S3::read(r, needs),
            image: Image::read(r),
            api: Api::read(r, needs),
            retry: Retry::read(r),
            ledger: Ledger::read(r, needs),
            admin: Admin::read(r),
            log: Log::read(r),
        };
        fit::check(&settings, r);
        settings
    }

    /// The secrets that were read from files which can be read again.
    pub fn rotating(&self) -> Vec<RotatingSecret> {
        let ledger = match &self.ledger.backend {
            LedgerBackend::Redis(url) => Some(url.secret()),
            LedgerBackend::None | LedgerBackend::Memory | LedgerBackend::File(_) => None,
        };
        let api = match &self.api.auth {
            ApiAuth::Keys { api_key, secret } => vec![api_key, secret],
            ApiAuth::Token(token) => vec![token],
        };
        let all = [self.amqp.url.secret()].into_iter().chain(ledger).chain(api);
        all.filter(|secret| secret.path().is_some()).cloned().collect()
    }
}

// === impl Sources ===

impl Sources {
    /// The sources of this process: the only place that reads its environment. `config_flags` and `overrides` are what was given
    /// as `--config` and `--set`.
    pub fn from_process(config_flags: Vec<PathBuf>, overrides: Vec<(String, String)>) -> Self {
        // What is not UTF-8 arrives with replacement characters, which the loader refuses for its own variables.
        let mut env: BTreeMap<String, String> = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect();
        if env.get("HOSTNAME").is_none_or(|name| name.trim().is_empty())
            && let Some(name) = host_name()
        {
            env.insert("HOSTNAME".to_owned(), name);
        }

        let named = std::env::var_os("ANTISPOOFD_CONFIG").filter(|path| !path.is_empty());
        let files = if !config_flags.is_empty() {
            config_flags
        } else if let Some(path) = named {
            vec![PathBuf::from(path)]
        } else if Path::new(SYSTEM_FILE).exists() {
            vec![PathBuf::from(SYSTEM_FILE)]
        } else {
            Vec::new()
        };
        Self { files, env, overrides, now: Some(SystemTime::now()) }
    }
}

/// Shells know `HOSTNAME` but seldom export it, so the system is asked; where it keeps no such file, nobody is.
fn host_name() -> Option<String> {
    let known = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let name = known.iter().find_map(|path| std::fs::read_to_string(path).ok())?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

// === impl Loaded ===

impl Loaded {
    /// Every key with its effective value as TOML and its origin, in the order of the keys; secrets are masked.
    pub fn redacted(&self) -> &[Row] {
        &self.rows
    }
}
