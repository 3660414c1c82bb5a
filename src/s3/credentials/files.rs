//! The files that the AWS chain reads: a change of one of them says that there may be other credentials.

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Which files to look at.
#[derive(Debug, Default)]
pub(super) struct Files(Vec<PathBuf>);

/// How the files were at a moment: when each was written, its length and its inode. `None` for one that is not there.
pub(super) type Seen = Vec<Option<(SystemTime, u64, u64)>>;

impl Files {
    /// Those that the environment names, and those in the home directory.
    pub(super) fn of_environment() -> Self {
        Self::named(|name| env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn named(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let home = lookup("HOME").map(PathBuf::from);
        let in_home = |path: PathBuf| match (path.strip_prefix("~"), &home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => path,
        };
        let given = |name: &str| lookup(name).map(PathBuf::from);
        let aws = |name: &str| home.as_ref().map(|home| home.join(".aws").join(name));
        let files = [
            given("AWS_SHARED_CREDENTIALS_FILE").map(in_home).or_else(|| aws("credentials")),
            given("AWS_CONFIG_FILE").map(in_home).or_else(|| aws("config")),
            given("AWS_WEB_IDENTITY_TOKEN_FILE"),
            given("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        ];
        Self(files.into_iter().flatten().collect())
    }

    /// Looks at them. A link is followed: Kubernetes replaces what its links point to.
    pub(super) fn seen(&self) -> Seen {
        let look = |path: &PathBuf| {
            let found = Path::metadata(path).ok()?;
            Some((found.modified().ok()?, found.len(), found.ino()))
        };
        self.0.iter().map(look).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_the_chain_are_known() {
        let files = |set: &[(&str, &str)]| {
            let files = Files::named(|name| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
            });
            files.0.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(files(&[]), Vec::<String>::new());
        assert_eq!(files(&[("HOME", "/h")]), ["/h/.aws/credentials", "/h/.aws/config"]);
        let given = [
            ("HOME", "/h"),
            ("AWS_SHARED_CREDENTIALS_FILE", "~/keys"),
            ("AWS_CONFIG_FILE", "/etc/aws"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token"),
        ];
        assert_eq!(files(&given), ["/h/keys", "/etc/aws", "/var/run/token"]);
    }

    #[test]
    fn a_file_that_is_replaced_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let files = Files(vec![path.clone()]);
        let absent = files.seen();
        assert_eq!(absent, [None]);
        std::fs::write(&path, "old").unwrap();
        let old = files.seen();
        assert_ne!(old, absent);
        assert_eq!(files.seen(), old);
        // The same length within the same tick of the clock, as a rename does it.
        let new = folder.path().join("new");
        std::fs::write(&new, "new").unwrap();
        std::fs::rename(&new, &path).unwrap();
        assert_ne!(files.seen(), old);
    }
}
