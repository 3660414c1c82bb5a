//! A secret whose file may be written anew while the process runs.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};

use super::file::{Given, SecretFile, text};
use crate::settings::inline_schema::inline_schema;
use crate::settings::invalid::InvalidValue;

/// How often the files are looked at that nothing else asks for.
const INTERVAL: Duration = Duration::from_secs(10);

/// What a secret must be like beyond being there.
type Check = fn(&str) -> Result<(), InvalidValue>;

/// A secret as it was at the start or, where it came from a file, as that file last held it. Clones share what was read. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct RotatingSecret(Arc<Inner>);

struct Inner {
    source: Option<Source>,
    now: RwLock<SecretString>,
    generation: AtomicU64,
}

struct Source {
    file: SecretFile,
    check: Check,
    /// Held while the file is read. True once it was said that it holds no secret, until it holds one again.
    complained: Mutex<bool>,
}

impl RotatingSecret {
    /// One that stays as it is.
    pub(in crate::settings) fn fixed(text: &str) -> Self {
        Self::new(text, None)
    }

    /// One that has passed `check`. Of a pipe there is nothing to be read again.
    pub(in crate::settings) fn given(given: Given, check: Check) -> Self {
        let file = given.file.filter(|file| file.path.is_file());
        let source = file.map(|file| Source { file, check, complained: Mutex::new(false) });
        Self::new(&given.text, source)
    }

    fn new(text: &str, source: Option<Source>) -> Self {
        let now = RwLock::new(SecretString::from(text));
        Self(Arc::new(Inner { source, now, generation: AtomicU64::new(0) }))
    }

    /// The secret.
    pub fn now(&self) -> SecretString {
        self.0.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it was not set.
    pub fn is_empty(&self) -> bool {
        self.now().expose_secret().is_empty()
    }

    /// Another number for each secret that the file has held.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// Where it comes from, when that is a file which can be read again.
    pub fn path(&self) -> Option<&Path> {
        self.0.source.as_ref().map(|source| source.file.path.as_path())
    }

    /// Reads the file again. True when it holds another secret than before. One that cannot be read, is empty or holds something else in this moment (an
    /// editor has truncated it, a volume is being mounted) leaves the last good secret in use, which is said once. Blocks for as long as the disk does.
    pub fn reread(&self) -> bool {
        let Some(source) = &self.0.source else { return false };
        let SecretFile { key, path } = &source.file;
        // What has become a pipe since would be waited for.
        if path.exists() && !path.is_file() {
            return false;
        }
        // Another task reads it in this moment, and its result is this one's, too.
        let Ok(mut complained) = source.complained.try_lock() else { return false };
        let read = text(path).and_then(|text| (source.check)(&text).map(|()| text));
        let new = match read {
            Ok(text) => text,
            Err(wrong) => {
                if !std::mem::replace(&mut *complained, true) {
                    let (path, what) = (path.display(), wrong.what);
                    tracing::warn!(key, %path, "{key} {path}: {what}; the last good secret stays in use");
                }
                return false;
            }
        };
        *complained = false;
        let mut now = self.0.now.write().unwrap_or_else(PoisonError::into_inner);
        if now.expose_secret() == new {
            return false;
        }
        *now = SecretString::from(new);
        // After the secret: a reader of the number has the secret, too.
        self.0.generation.fetch_add(1, Ordering::Release);
        tracing::info!(key, "the secret of {key} was replaced");
        true
    }
}

impl fmt::Debug for RotatingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// `writeOnly` is what makes a setting a secret: it is masked, refused as a flag, and may stand in a file that `x_file` names.
impl JsonSchema for RotatingSecret {
    inline_schema!({ "type": "string", "writeOnly": true });
}

impl PartialEq for RotatingSecret {
    fn eq(&self, other: &Self) -> bool {
        self.now().expose_secret() == other.now().expose_secret()
    }
}

impl Eq for RotatingSecret {}

/// Looks at the files of these secrets from time to time. By what they hold: Kubernetes keeps the times of files that it swaps. Never ends.
pub async fn follow(secrets: Vec<RotatingSecret>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        for secret in secrets.clone() {
            // One on a disk that hangs must not keep the runtime's threads.
            if tokio::task::spawn_blocking(move || secret.reread()).await.is_err() {
                return;
            }
        }
    }
}
