//! `[ledger]`: which results are remembered.

use std::path::{Path, PathBuf};
use std::time::Duration;

use antispoof_core::policy::{OnLedgerError, Reuse};
use schemars::JsonSchema;
use serde::Deserialize;

use super::findings::Findings;
use super::secrets::urls::RedisUrl;
use super::sources::Needs;
use super::units::{DAY, MINUTE, SECOND};
use super::values::{Choice, File, Int, Time};

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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    None,
    Memory,
    File,
    Redis,
}

impl Ledger {
    /// Puts the backend together with what it needs.
    pub(super) fn validate(&mut self, findings: &mut Findings<'_>) {
        for (key, set, used) in
            [("ledger.path", self.path.is_some(), Kind::File), ("ledger.url", self.url.is_some(), Kind::Redis)]
        {
            if set && self.kind != used {
                findings.warn(&[key, "ledger.backend"], "is not used by this ledger.backend", "set it to \"\"");
            }
        }
        match (self.kind, &self.path, &self.url) {
            (Kind::None, _, _) => self.backend = LedgerBackend::None,
            (Kind::Memory, _, _) => self.backend = LedgerBackend::Memory,
            (Kind::File, Some(path), _) => {
                if findings.needs == Needs::Worker {
                    check_place(path, findings);
                }
                self.backend = LedgerBackend::File(path.clone());
            }
            (Kind::Redis, _, Some(url)) => self.backend = LedgerBackend::Redis(url.clone()),
            (Kind::File, None, _) => findings.error(
                &["ledger.path", "ledger.backend"],
                "is empty, and ledger.backend is \"file\"",
                "name a file on a disk that outlives the process, as /var/lib/antispoofd/ledger.redb",
            ),
            (Kind::Redis, _, None) => findings.error(
                &["ledger.url", "ledger.backend"],
                "is empty, and ledger.backend is \"redis\"",
                "set ledger.url, ledger.url_file or ANTISPOOFD__LEDGER__URL",
            ),
        }
    }

    /// Without user and password; empty where it is not set.
    pub(super) fn shown_url(&self) -> String {
        self.url.as_ref().map(ToString::to_string).unwrap_or_default()
    }
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
