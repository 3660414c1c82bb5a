//! What the settings are read from, and what for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Read where `--config` and `ANTISPOOFD_CONFIG` name no file, if it exists.
const SYSTEM_FILE: &str = "/etc/antispoofd/antispoofd.toml";

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
    /// default of `worker.instance`, `RUST_LOG`, and `OTEL_*`.
    pub env: BTreeMap<String, String>,
    /// `--set` flags: dotted key and value, written as in the environment.
    pub overrides: Vec<(String, String)>,
    /// The time that a ready-made token is held against. Without one it is not.
    pub now: Option<SystemTime>,
}

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

/// Shells know `HOSTNAME` but seldom export it, so the system is asked, where it has such a file.
fn host_name() -> Option<String> {
    let known = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let name = known.iter().find_map(|path| std::fs::read_to_string(path).ok())?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}
