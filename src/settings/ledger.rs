//! `[ledger]`: which results are remembered.

use std::path::{Path, PathBuf};
use std::time::Duration;

use antispoof_core::policy::{OnLedgerError, Reuse};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::findings::Findings;
use super::invalid::{InvalidValue, quoted};
use super::secrets::urls::RedisUrl;
use super::sources::Needs;
use super::units::{DAY, MINUTE, SECOND};
use super::values::{Choice, File, Int, Time, is_word, optional};

/// What is remembered, so that a job that comes again is not paid for again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Where, with what that needs.
    #[serde(skip)]
    pub backend: LedgerBackend,
    #[serde(rename = "backend", with = "Choice::<Kind>")]
    kind: Kind,
    #[serde(with = "File")]
    path: Option<PathBuf>,
    #[serde(deserialize_with = "RedisUrl::optional")]
    #[schemars(with = "RedisUrl")]
    url: Option<RedisUrl>,
    #[serde(deserialize_with = "super::s3::optional_bucket")]
    #[schemars(with = "String")]
    bucket: Option<String>,
    #[serde(deserialize_with = "prefix")]
    #[schemars(with = "String")]
    prefix: Option<String>,
    /// How long.
    #[serde(with = "Time::<SECOND, { 366 * DAY }>")]
    pub ttl: Duration,
    /// How many jobs [`LedgerBackend::Memory`] holds.
    #[serde(with = "Int::<1, 100_000_000>")]
    pub max_entries: usize,
    /// Which verdicts are given again.
    #[serde(with = "Choice::<Reuse>")]
    pub reuse: Reuse,
    /// What to do while it cannot be asked.
    #[serde(with = "Choice::<OnLedgerError>")]
    pub on_error: OnLedgerError,
    /// Limit for one step.
    #[serde(with = "Time::<100, MINUTE>")]
    pub timeout: Duration,
}

/// Where verdicts are remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LedgerBackend {
    /// Nowhere.
    None,
    /// In this process.
    #[default]
    Memory,
    /// In this file, for one process.
    File(PathBuf),
    /// In Redis, for all workers.
    Redis(RedisUrl),
    /// In objects of this bucket, for all workers.
    S3 {
        /// Its name.
        bucket: String,
        /// What the names of the objects begin with, without a slash at its end.
        prefix: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    None,
    Memory,
    File,
    Redis,
    S3,
}

impl Ledger {
    /// Puts the backend together with what it needs.
    pub(super) fn validate(&mut self, amqp_prefix: &str, findings: &mut Findings<'_>) {
        for (key, set, used) in [
            ("ledger.path", self.path.is_some(), Kind::File),
            ("ledger.url", self.url.is_some(), Kind::Redis),
            ("ledger.bucket", self.bucket.is_some(), Kind::S3),
            ("ledger.prefix", self.prefix.is_some(), Kind::S3),
        ] {
            if set && self.kind != used {
                findings.warn(&[key, "ledger.backend"], "is not used by this ledger.backend", "set it to \"\"");
            }
        }
        let missing: (&str, &str, &str) = match self.kind {
            Kind::None => return self.backend = LedgerBackend::None,
            Kind::Memory => return self.backend = LedgerBackend::Memory,
            Kind::File => {
                if let Some(path) = &self.path {
                    if findings.needs == Needs::Worker {
                        check_place(path, findings);
                    }
                    return self.backend = LedgerBackend::File(path.clone());
                }
                (
                    "file",
                    "ledger.path",
                    "name a file on a disk that outlives the process, as /var/lib/antispoofd/ledger.redb",
                )
            }
            Kind::Redis => {
                if let Some(url) = &self.url {
                    return self.backend = LedgerBackend::Redis(url.clone());
                }
                ("redis", "ledger.url", "set ledger.url, ledger.url_file or ANTISPOOFD__LEDGER__URL")
            }
            Kind::S3 => {
                if let Some(bucket) = &self.bucket {
                    let prefix = self.prefix.clone().unwrap_or_else(|| amqp_prefix.to_owned());
                    if !is_prefix(&prefix) {
                        let what = "is empty, and amqp.prefix cannot be the start of the records' names: a dot begins or ends it";
                        findings.error(&["ledger.prefix", "amqp.prefix"], what, "set ledger.prefix, as \"kyc\"");
                    }
                    return self.backend = LedgerBackend::S3 { bucket: bucket.clone(), prefix };
                }
                ("s3", "ledger.bucket", "name a bucket of the store of [s3] that no image is in, as \"kyc-ledger\"")
            }
        };
        let (kind, key, remedy) = missing;
        findings.error(&[key, "ledger.backend"], format!("is empty, and ledger.backend is \"{kind}\""), remedy);
    }

    /// Without user and password; empty where it is not set.
    pub(super) fn shown_url(&self) -> String {
        self.url.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

/// As every store keeps it: some drop a slash at the start, or make one of two, and a path with dots alone is another path.
fn is_prefix(text: &str) -> bool {
    text.len() <= 200 && text.split('/').all(|part| is_word(part, 100, b"-_.") && part.trim_matches('.') == part)
}

fn prefix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    optional(deserializer, |text| {
        if is_prefix(text) {
            return Ok(text.to_owned());
        }
        let remedy =
            "write words of letters, digits, \"-\" and \"_\" with a slash between them, as \"kyc\" or \"kyc/ledger\"";
        Err(InvalidValue::new(format!("{} cannot be the start of the records' names", quoted(text)), remedy))
    })
}

/// The file is opened by the worker only, and on its machine.
fn check_place(path: &Path, findings: &mut Findings<'_>) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.is_dir() {
        findings.error(&["ledger.path"], "is a folder", "name a file in it");
    } else if !folder.is_dir() {
        let what = format!("is in a folder that does not exist: {}", folder.display());
        findings.error(&["ledger.path"], what, "create the folder, or correct the path");
    }
}
