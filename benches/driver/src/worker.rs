//! The two workers, each with the settings that make them do the same.

use super::args::{Digest, Ledger};
use super::process::Process;
use super::services::Services;
use super::store::Store;
use anyhow::{Context as _, Result};
use std::env;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// Where the daemon takes its jobs from, and where both put their verdicts.
pub(crate) const DAEMON_JOBS: &str = "antispoof.jobs";
pub(crate) const RESULTS: &str = "antispoof.results";
/// Where the floor takes its jobs from.
pub(crate) const FLOOR_JOBS: &str = "bench.floor.jobs";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Floor,
    Antispoofd(Digest, Ledger),
}

/// What a worker is to be connected to.
pub(crate) struct Setup<'a> {
    pub(crate) services: &'a Services,
    pub(crate) amqp_url: String,
    pub(crate) store: &'a Store,
    pub(crate) api_url: &'a str,
    pub(crate) concurrency: u16,
    /// Further settings of the daemon, as variables.
    pub(crate) settings: &'a [(&'static str, String)],
    /// The folder of the programs.
    pub(crate) programs: &'a Path,
    /// Of the ledger, should it be one: a new one for each life.
    pub(crate) file: PathBuf,
}

impl Kind {
    pub(crate) fn name(self) -> String {
        let Self::Antispoofd(digest, ledger) = self else { return "floor".to_owned() };
        let mut name = "antispoofd".to_owned();
        if digest != Digest::Off {
            name = format!("{name}+{}", digest.setting());
        }
        if ledger != Ledger::Memory {
            name = format!("{name}+{}", ledger.setting());
        }
        name
    }

    pub(crate) fn queue(self) -> &'static str {
        match self {
            Self::Floor => FLOOR_JOBS,
            Self::Antispoofd(..) => DAEMON_JOBS,
        }
    }

    /// Starts the worker; it consumes some time later.
    pub(crate) fn start(self, setup: &Setup<'_>) -> Result<Process> {
        let concurrency = setup.concurrency.to_string();
        let mut command = match self {
            Self::Floor => {
                let mut command = program(setup.programs, "antispoof-floor");
                command
                    .env("FLOOR_AMQP_URL", &setup.amqp_url)
                    .env("FLOOR_QUEUE", FLOOR_JOBS)
                    .env("FLOOR_EXCHANGE", RESULTS)
                    .env("FLOOR_CONCURRENCY", concurrency)
                    .env("FLOOR_S3_ENDPOINT", &setup.store.s3.endpoint)
                    .env("FLOOR_API_URL", setup.api_url);
                command
            }
            Self::Antispoofd(digest, ledger) => {
                let mut command = program(setup.programs, "antispoofd");
                command
                    .arg("run")
                    .env("ANTISPOOFD__AMQP__URL", &setup.amqp_url)
                    .env("ANTISPOOFD__WORKER__CONCURRENCY", concurrency)
                    .env("ANTISPOOFD__S3__ENDPOINT_URL", &setup.store.s3.endpoint)
                    .env("ANTISPOOFD__S3__PATH_STYLE", "true")
                    .env("ANTISPOOFD__S3__BUCKETS", &setup.store.bucket)
                    .env("ANTISPOOFD__IMAGE__DIGEST", digest.setting())
                    .env("ANTISPOOFD__LEDGER__BACKEND", ledger.setting())
                    .env("ANTISPOOFD__API__URL", setup.api_url)
                    .env("ANTISPOOFD__API__TOKEN", "bench")
                    .env("ANTISPOOFD__ADMIN__LISTEN", "127.0.0.1:0")
                    // What a setting costs is found out by setting it for the whole run.
                    .envs(env::vars().filter(|(name, _)| name.starts_with("ANTISPOOFD__")));
                command.envs(setup.settings.iter().map(|(name, value)| (name, value)));
                match ledger {
                    Ledger::None | Ledger::Memory => {}
                    Ledger::File => drop(command.env("ANTISPOOFD__LEDGER__PATH", &setup.file)),
                    Ledger::Redis => {
                        let url = setup.services.redis_url.as_ref();
                        let url = url.context("ANTISPOOF_TEST_REDIS_URL is not set; run `make bench`")?;
                        command.env("ANTISPOOFD__LEDGER__URL", url).env("ANTISPOOFD__LEDGER__TTL", "10m");
                    }
                    Ledger::S3 => {
                        command.env("ANTISPOOFD__LEDGER__BUCKET", setup.store.records());
                    }
                }
                command
            }
        };
        command
            .env("AWS_ACCESS_KEY_ID", &setup.store.s3.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &setup.store.s3.secret_key)
            .env("AWS_EC2_METADATA_DISABLED", "true");
        // Nothing is expected there; a pipe that nobody reads says so at once.
        let (process, _stdout) = Process::start(&self.name(), command)?;
        Ok(process)
    }
}

/// A program with next to nothing of our environment.
fn program(folder: &Path, name: &str) -> Command {
    let mut command = Command::new(folder.join(name));
    command.env_clear();
    command.envs(["PATH", "HOME"].into_iter().filter_map(|name| Some((name, env::var_os(name)?))));
    command
}
