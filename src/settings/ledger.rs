//! `[ledger]`: what has been judged already.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::reader::Reader;
use super::urls::redis_url;

/// Where verdicts are remembered, so that a job that comes again is not paid for again.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Where.
    pub backend: LedgerBackend,
    /// Of [`LedgerBackend::File`]: the database file.
    pub path: Option<PathBuf>,
    /// Of [`LedgerBackend::Redis`]: a `redis://` or `rediss://` URL.
    pub url: Option<SecretString>,
    /// How long. 1 s to 366 d.
    pub ttl: Duration,
    /// How many verdicts [`LedgerBackend::Memory`] holds. 1 to 100 000 000.
    pub max_entries: usize,
}

/// Where verdicts are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerBackend {
    /// Nowhere.
    None,
    /// In this process.
    Memory,
    /// In a file. Refused by the loader in this version.
    File,
    /// In Redis, for all workers. Refused by the loader in this version.
    Redis,
}

impl Ledger {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let ledger = Self {
            backend: r.choice(
                "ledger.backend",
                &[
                    ("none", LedgerBackend::None),
                    ("memory", LedgerBackend::Memory),
                    ("file", LedgerBackend::File),
                    ("redis", LedgerBackend::Redis),
                ],
            ),
            path: r.path("ledger.path"),
            url: url(r),
            ttl: r.duration("ledger.ttl", Duration::from_secs(1)..=Duration::from_hours(366 * 24)),
            max_entries: r.int("ledger.max_entries", 1..=100_000_000),
        };
        ledger.check(r);
        ledger
    }

    fn check(&self, r: &mut Reader<'_>) {
        let unavailable = match self.backend {
            LedgerBackend::None | LedgerBackend::Memory => None,
            LedgerBackend::File => Some("\"file\""),
            LedgerBackend::Redis => Some("\"redis\""),
        };
        if let Some(name) = unavailable {
            r.error(
                "ledger.backend",
                format!("{name} is not available in this version"),
                "use \"memory\", which lasts as long as the process, or \"none\"",
            );
            return;
        }
        for (key, set) in [("ledger.path", self.path.is_some()), ("ledger.url", self.url.is_some())] {
            if set && r.sound(&["ledger.backend", key]) {
                r.warn(key, "is not used by this ledger.backend", "set it to \"\"");
            }
        }
    }
}

fn url(r: &mut Reader<'_>) -> Option<SecretString> {
    let found = r.secret("ledger.url", None)?;
    match redis_url(&found.text) {
        Ok(()) => Some(SecretString::from(found.text)),
        Err(wrong) => {
            r.blame(&found, wrong);
            None
        }
    }
}
