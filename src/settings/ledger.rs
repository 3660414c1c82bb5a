//! `[ledger]`: what has been judged already.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Needs;
use super::reader::Reader;
use super::urls::RedisUrl;

/// What is remembered, so that a job that comes again is not paid for again.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Where.
    pub backend: LedgerBackend,
    /// How long. 1 s to 366 d.
    pub ttl: Duration,
    /// How many jobs [`LedgerBackend::Memory`] holds. 1 to 100 000 000.
    pub max_entries: usize,
    /// Which verdicts are given again.
    pub reuse: LedgerReuse,
    /// What to do while it cannot be asked.
    pub on_error: LedgerErrorPolicy,
    /// Limit for one step. 100 ms to 1 min.
    pub timeout: Duration,
}

/// Where verdicts are remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerBackend {
    /// Nowhere.
    None,
    /// In this process.
    Memory,
    /// In this file, for one process.
    File(PathBuf),
    /// In Redis, for all workers.
    Redis(RedisUrl),
}

/// Which verdicts are given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerReuse {
    /// None, once it has been announced.
    Off,
    /// That of the same job.
    Job,
    /// Also that of another job on the same content.
    Object,
}

/// What to do while the ledger cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerErrorPolicy {
    /// Nothing is consumed.
    Hold,
    /// Work without it.
    Proceed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    Memory,
    File,
    Redis,
}

impl Ledger {
    pub(super) fn read(r: &mut Reader<'_>, needs: Needs) -> Self {
        let kinds = [("none", Kind::None), ("memory", Kind::Memory), ("file", Kind::File), ("redis", Kind::Redis)];
        let kind = r.choice("ledger.backend", &kinds);
        let (path, url) = (r.path("ledger.path"), url(r));
        for (key, set, used) in
            [("ledger.path", path.is_some(), Kind::File), ("ledger.url", url.is_some(), Kind::Redis)]
        {
            if set && kind != used && r.sound(&["ledger.backend", key]) {
                r.warn(key, "is not used by this ledger.backend", "set it to \"\"");
            }
        }
        let backend = match kind {
            Kind::None => LedgerBackend::None,
            Kind::Memory => LedgerBackend::Memory,
            Kind::File => LedgerBackend::File(file(r, path, needs)),
            Kind::Redis => LedgerBackend::Redis(server(r, url)),
        };
        Self {
            backend,
            ttl: r.duration("ledger.ttl", Duration::from_secs(1)..=Duration::from_hours(366 * 24)),
            max_entries: r.int("ledger.max_entries", 1..=100_000_000),
            reuse: r.choice(
                "ledger.reuse",
                &[("off", LedgerReuse::Off), ("job", LedgerReuse::Job), ("object", LedgerReuse::Object)],
            ),
            on_error: r.choice(
                "ledger.on_error",
                &[("hold", LedgerErrorPolicy::Hold), ("proceed", LedgerErrorPolicy::Proceed)],
            ),
            timeout: r.duration("ledger.timeout", Duration::from_millis(100)..=Duration::from_mins(1)),
        }
    }
}

/// The file is opened by the worker only, and on its machine.
fn file(r: &mut Reader<'_>, path: Option<PathBuf>, needs: Needs) -> PathBuf {
    let Some(path) = path else {
        if r.sound(&["ledger.backend", "ledger.path"]) {
            let remedy = "name a file on a disk that outlives the process, as /var/lib/antispoofd/ledger.redb";
            r.error_with("ledger.path", &["ledger.backend"], "is empty, and ledger.backend is \"file\"", remedy);
        }
        return PathBuf::new();
    };
    if needs == Needs::Worker {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if path.is_dir() {
            r.error("ledger.path", "is a folder", "name a file in it");
        } else if !folder.is_dir() {
            let what = format!("is in a folder that does not exist: {}", folder.display());
            r.error("ledger.path", what, "create the folder, or correct the path");
        }
    }
    path
}

fn server(r: &mut Reader<'_>, url: Option<RedisUrl>) -> RedisUrl {
    if let Some(url) = url {
        return url;
    }
    if r.sound(&["ledger.backend", "ledger.url", "ledger.url_file"]) {
        let remedy = "set ledger.url, ledger.url_file or ANTISPOOFD__LEDGER__URL";
        r.error_with("ledger.url", &["ledger.backend"], "is empty, and ledger.backend is \"redis\"", remedy);
    }
    RedisUrl::nowhere()
}

fn url(r: &mut Reader<'_>) -> Option<RedisUrl> {
    let found = r.secret("ledger.url", None)?;
    match RedisUrl::of(&found) {
        Ok(url) => Some(url),
        Err(wrong) => {
            r.blame(&found, wrong);
            None
        }
    }
}
