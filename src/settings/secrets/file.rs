//! Secrets in files of their own.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::settings::invalid::InvalidValue;
use crate::settings::whole_file;

/// Far above any key or URL; guards against naming a device or a dump.
const MAX_BYTES: u64 = 64 << 10;

/// A secret as the loader hands it to the types.
#[derive(Deserialize)]
pub(in crate::settings) struct Given {
    /// Without white space around it. Empty: not set.
    pub(in crate::settings) text: String,
    /// Where it is in a file of its own.
    pub(in crate::settings) file: Option<SecretFile>,
}

/// The file of a secret.
#[derive(Deserialize)]
pub(in crate::settings) struct SecretFile {
    /// The setting that names it, as `api.secret_file`.
    pub(in crate::settings) key: String,
    pub(in crate::settings) path: PathBuf,
}

/// What the file holds, without the white space around it. No word of it is in the error.
pub(in crate::settings) fn text(path: &Path) -> Result<String, InvalidValue> {
    let bytes = whole_file::read(path, MAX_BYTES).map_err(|error| {
        InvalidValue::new(
            format!("the secret's file cannot be read: {error}"),
            "correct the path, or let the user that runs antispoofd read the file",
        )
    })?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(InvalidValue::new("the secret's file is larger than 64 KiB", "name the file of this one secret"));
    }
    // The bytes that are not UTF-8 stay out of the message: they are the secret.
    let Ok(text) = String::from_utf8(bytes) else {
        return Err(InvalidValue::new("the secret's file is not UTF-8 text", "write the secret as text"));
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(InvalidValue::new("the secret's file is empty", "write the secret to it, or remove the setting"));
    }
    Ok(text.to_owned())
}

/// What deserves a warning: that every user of the machine may read the file.
#[cfg(unix)]
pub(in crate::settings) fn readable_by_all(path: &Path) -> Option<InvalidValue> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o004 != 0).then(|| {
        InvalidValue::new(
            format!("every user of the machine may read the secret's file (mode {:04o})", mode & 0o7777),
            "chmod 0400 it, or 0440 with a group; in Kubernetes: defaultMode of the volume, with fsGroup",
        )
    })
}

#[cfg(not(unix))]
pub(in crate::settings) fn readable_by_all(_path: &Path) -> Option<InvalidValue> {
    None
}
