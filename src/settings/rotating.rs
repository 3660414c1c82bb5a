//! A secret whose file may be written anew while the process runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::origin::Origin;
use super::reader::{Found, Wrong};
use super::secret_file;

/// How often the files are looked at that nothing else asks for.
const INTERVAL: Duration = Duration::from_secs(10);

/// What a secret must be like beyond being there.
type Check = fn(&str) -> Result<(), Wrong>;

/// A secret as it was at the start or, where it came from a file, as that file last held it. Clones share what was read. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct RotatingSecret(Arc<Inner>);

struct Inner {
    source: Option<Source>,
    now: RwLock<SecretString>,
    generation: AtomicU64,
}

struct Source {
    /// As `api.secret_file`.
    key: String,
    path: PathBuf,
    check: Check,
    /// Held while the file is read. True once it was said that it holds no secret, until it holds one again.
    complained: Mutex<bool>,
}

impl RotatingSecret {
    /// One that stays as it is.
    pub(super) fn fixed(text: &str) -> Self {
        Self::new(text, None)
    }

    /// One that has passed `check`. Of a pipe there is nothing to be read again.
    pub(super) fn found(found: &Found, check: Check) -> Self {
        let source = match &found.place.origin {
            Origin::SecretFile { path } if path.is_file() => Some(Source {
                key: super::keys::file_key(&found.place.key),
                path: path.clone(),
                check,
                complained: Mutex::new(false),
            }),
            Origin::SecretFile { .. }
            | Origin::Default
            | Origin::File { .. }
            | Origin::Env { .. }
            | Origin::Flag { .. } => None,
        };
        Self::new(&found.text, source)
    }

    fn new(text: &str, source: Option<Source>) -> Self {
        let now = RwLock::new(SecretString::from(text));
        Self(Arc::new(Inner { source, now, generation: AtomicU64::new(0) }))
    }

    /// The secret.
    pub fn now(&self) -> SecretString {
        self.0.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another number for each secret that the file has held.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// Where it comes from, when that is a file which can be read again.
    pub fn path(&self) -> Option<&Path> {
        self.0.source.as_ref().map(|source| source.path.as_path())
    }

    /// Reads the file again. True when it holds another secret than before. One that cannot be read, is empty or holds something else in this moment (an
    /// editor has truncated it, a volume is being mounted) leaves the last good secret in use, which is said once. Blocks for as long as the disk does.
    pub fn reread(&self) -> bool {
        let Some(source) = &self.0.source else { return false };
        // What has become a pipe since would be waited for.
        if source.path.exists() && !source.path.is_file() {
            return false;
        }
        // Somebody reads it in this moment: whoever asks after that has what comes of it.
        let Ok(mut complained) = source.complained.try_lock() else { return false };
        let read = secret_file::text(&source.path).and_then(|text| (source.check)(&text).map(|()| text));
        let text = match read {
            Ok(text) => text,
            Err(wrong) => {
                if !std::mem::replace(&mut *complained, true) {
                    let (key, path, what) = (&source.key, source.path.display(), wrong.what());
                    tracing::warn!(key, %path, "{key} {path}: {what}; the last good secret stays in use");
                }
                return false;
            }
        };
        *complained = false;
        let mut now = self.0.now.write().unwrap_or_else(PoisonError::into_inner);
        if now.expose_secret() == text {
            return false;
        }
        *now = SecretString::from(text);
        // After the secret: whoever sees the number sees the secret, too.
        self.0.generation.fetch_add(1, Ordering::Release);
        tracing::info!(key = source.key, "the secret of {} was replaced", source.key);
        true
    }
}

impl fmt::Debug for RotatingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
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

#[cfg(test)]
mod tests {
    use super::super::origin::Place;
    use super::*;

    fn no_spaces(text: &str) -> Result<(), Wrong> {
        if text.contains(' ') { Err(Wrong::new("has a space", "remove it")) } else { Ok(()) }
    }

    fn of_file(path: &Path) -> RotatingSecret {
        let place = Place::new("api.secret", Origin::SecretFile { path: path.to_owned() });
        let text = std::fs::read_to_string(path).unwrap_or_default();
        RotatingSecret::found(&Found { text, place }, no_spaces)
    }

    fn text(secret: &RotatingSecret) -> String {
        secret.now().expose_secret().to_owned()
    }

    #[test]
    fn a_secret_is_replaced_by_another_good_one_and_by_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        std::fs::write(&path, "first").expect("written");
        let secret = of_file(&path);
        let clone = secret.clone();
        assert!(!secret.reread(), "it is the same");
        for bad in ["", "  \n", "two words"] {
            std::fs::write(&path, bad).expect("written");
            assert!(!secret.reread(), "{bad:?}");
            assert_eq!((text(&secret), secret.generation()), ("first".to_owned(), 0), "{bad:?}");
        }
        std::fs::write(&path, [0xFF, 0xFE]).expect("written");
        assert!(!secret.reread(), "no text");
        std::fs::remove_file(&path).expect("removed");
        assert!(!secret.reread(), "no file");
        std::fs::write(&path, "second\n").expect("written");
        assert!(secret.reread());
        assert_eq!((text(&clone), clone.generation()), ("second".to_owned(), 1), "a clone has it, too");
        assert!(!clone.reread());
    }

    /// As the kubelet does: the file is a link into a folder that is a link, and that one is replaced by renaming.
    #[test]
    fn a_volume_that_kubernetes_swaps_is_seen_although_times_and_names_stay() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        for (version, text) in [("..1", "first"), ("..2", "third")] {
            std::fs::create_dir(at(version)).expect("made");
            std::fs::write(at(version).join("secret"), text).expect("written");
            let file = std::fs::File::options().write(true).open(at(version).join("secret")).expect("opened");
            file.set_modified(old).expect("dated");
        }
        symlink("..1", at("..data")).expect("linked");
        symlink("..data/secret", at("secret")).expect("linked");
        let secret = of_file(&at("secret"));
        symlink("..2", at("..data_tmp")).expect("linked");
        std::fs::rename(at("..data_tmp"), at("..data")).expect("renamed");
        assert!(secret.reread());
        assert_eq!(text(&secret), "third");
    }

    #[test]
    fn what_is_no_file_is_not_read_again() {
        let fixed = RotatingSecret::fixed("x");
        assert!(!fixed.reread() && fixed.path().is_none());
        let device = of_file(Path::new("/dev/null"));
        assert!(!device.reread() && device.path().is_none());
    }
}
