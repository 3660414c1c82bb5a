//! Secrets, from their file or from the place itself.

use std::path::Path;

use super::origin::{Origin, Place};
use super::problem::Problem;
use super::reader::Wrong;
use super::whole_file;

/// Far above any key or URL; guards against naming a device or a dump.
const MAX_BYTES: u64 = 64 << 10;

/// Reads the secret of `key` from the file that `named_by` sets, without the white space around it.
pub(super) fn read(
    path: &Path,
    key: &str,
    named_by: &Place,
    warnings: &mut Vec<Problem>,
) -> Result<(String, Place), Problem> {
    let place = Place::new(key, Origin::SecretFile { path: path.to_owned() });
    let text = text(path).map_err(|wrong| wrong.at(place.clone()).and(named_by.clone()))?;
    warnings.extend(readable_by_all(path, &place));
    Ok((text, place))
}

/// What the file holds, without the white space around it. No word of it is in what is wrong.
pub(super) fn text(path: &Path) -> Result<String, Wrong> {
    let bytes = whole_file::read(path, MAX_BYTES).map_err(|error| {
        Wrong::new(
            format!("the secret's file cannot be read: {error}"),
            "correct the path, or let the user that runs antispoofd read the file",
        )
    })?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Wrong::new("the secret's file is larger than 64 KiB", "name the file of this one secret"));
    }
    // The bytes that are not UTF-8 stay out of the message: they are the secret.
    let Ok(text) = String::from_utf8(bytes) else {
        return Err(Wrong::new("the secret's file is not UTF-8 text", "write the secret as text"));
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(Wrong::new("the secret's file is empty", "write the secret to it, or remove the setting"));
    }
    Ok(text.to_owned())
}

#[cfg(unix)]
fn readable_by_all(path: &Path, place: &Place) -> Option<Problem> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o004 != 0).then(|| {
        Problem::warning(
            place.clone(),
            format!("every user of the machine may read the secret's file (mode {:04o})", mode & 0o7777),
            "chmod 0400 it, or 0440 with a group; in Kubernetes: defaultMode of the volume, with fsGroup",
        )
    })
}

#[cfg(not(unix))]
fn readable_by_all(_path: &Path, _place: &Place) -> Option<Problem> {
    None
}
