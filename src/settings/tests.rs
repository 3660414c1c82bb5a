//! The settings as their users meet them: text, variables and flags in, values or words out.

mod authorities;
mod cross_check;
mod defaults;
mod jwt;
mod layers;
mod manual;
mod messages;
mod rotating;
mod secrets;
mod traces;
mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;

use tempfile::TempDir;

use super::{Loaded, Needs, Problems, Settings, Sources, load, load_for};

/// What is missing in the defaults, and nothing more.
const LEAST: &str = r#"
[amqp]
url = "amqp://worker:pw@rabbit:5672/%2f"
[s3]
buckets = ["kyc-uploads"]
[api]
api_key = "key"
secret = "secret"
"#;

/// Sources that are built up step by step; the files live as long as this does.
struct Given {
    dir: TempDir,
    sources: Sources,
}

impl Given {
    /// The least that loads.
    fn least() -> Self {
        Self::nothing().file("least.toml", LEAST)
    }

    fn nothing() -> Self {
        Self { dir: TempDir::new().expect("a temporary directory"), sources: Sources::default() }
    }

    fn file(mut self, name: &str, text: &str) -> Self {
        let path = self.write(name, text);
        self.sources.files.push(path);
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.sources.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        self.sources.overrides.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Writes a file that is no settings file, as private as a secret should be.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("a file in the temporary directory");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode");
        path
    }

    fn load(&self) -> Result<Loaded, Problems> {
        load(self.sources.clone())
    }

    fn client(&self) -> Result<Loaded, Problems> {
        load_for(Needs::Client, self.sources.clone())
    }

    #[track_caller]
    fn settings(&self) -> Settings {
        match self.load() {
            Ok(loaded) => loaded.settings,
            Err(problems) => panic!("{problems}"),
        }
    }

    #[track_caller]
    fn problems(&self) -> Problems {
        self.load().expect_err("settings that have a problem")
    }

    /// All that is said, with the directory's name taken out.
    #[track_caller]
    fn said(&self) -> String {
        self.plain(&self.problems().to_string())
    }

    /// The problems without places and remedies: `key: what`.
    #[track_caller]
    fn whats(&self) -> Vec<String> {
        self.problems().iter().map(|problem| format!("{}: {}", problem.key(), problem.what())).collect()
    }

    fn warnings(&self) -> Vec<String> {
        let loaded = self.load().unwrap_or_else(|problems| panic!("{problems}"));
        loaded.warnings.iter().map(|warning| format!("{}: {}", warning.key(), warning.what())).collect()
    }

    fn plain(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.dir.path().display()), "")
    }
}

/// The value texts of [`Loaded::redacted`] by key.
fn rows(loaded: &Loaded) -> BTreeMap<&str, &str> {
    loaded.redacted().iter().map(|row| (row.key.as_str(), row.value.as_str())).collect()
}
