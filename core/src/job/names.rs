//! What ids, buckets, keys, versions and entity tags may look like.

use super::model::malformed;
use crate::failure::Failure;
use crate::image::ImageRef;

pub(super) const ID_RULE: &str = "1 to 128 characters of printable ASCII without spaces";

const MAX_ID_BYTES: usize = 128;
const MAX_KEY_BYTES: usize = 1024;
const MAX_VERSION_BYTES: usize = 1024;
const MAX_ETAG_BYTES: usize = 256;

/// The object that is meant, if it can be asked for. `etag` with or without its quotes.
pub(super) fn image(
    bucket: &str,
    key: String,
    version_id: Option<String>,
    etag: Option<&str>,
) -> Result<ImageRef, Failure> {
    if !is_bucket(bucket) {
        return Err(malformed(
            "bucket: 3 to 63 of a-z, 0-9, dot and hyphen, starting and ending with a letter or digit, no two dots in a row",
        ));
    }
    check_key(&key)?;
    if let Some(version) = &version_id
        && !is_token(version, MAX_VERSION_BYTES)
    {
        return Err(malformed("version_id: 1 to 1024 printable ASCII characters without spaces"));
    }
    let etag = etag.map(unquoted);
    if let Some(etag) = etag
        && (!is_token(etag, MAX_ETAG_BYTES) || etag.contains('"'))
    {
        return Err(malformed("etag: as S3 gives it, with or without its quotes"));
    }
    Ok(ImageRef { bucket: bucket.to_owned(), key, version_id, etag: etag.map(str::to_owned), other_key: None })
}

/// S3's own rules for the names of general purpose buckets, as far as they keep a name inside its place in a URL.
pub fn is_bucket(name: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|&byte| alphanumeric(byte) || byte == b'.' || byte == b'-')
        && alphanumeric(bytes[0])
        && alphanumeric(bytes[bytes.len() - 1])
        && !name.contains("..")
}

pub(super) fn check_key(key: &str) -> Result<(), Failure> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(malformed("key: 1 to 1024 bytes"));
    }
    if key.contains(char::is_control) {
        return Err(malformed("key: control characters are refused"));
    }
    // Every URL parser on the way folds such segments, so that the request would reach another object, even another bucket.
    if key.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(malformed("key: a path segment of \".\" or \"..\" cannot be asked for safely; rename the object"));
    }
    Ok(())
}

pub(super) fn is_id(text: &str) -> bool {
    is_token(text, MAX_ID_BYTES)
}

fn is_token(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// True for an entity tag that is an MD5, or the MD5 of the MD5s of so many parts: what stores give again for the same content.
pub(super) fn is_md5(etag: &str) -> bool {
    let (digest, parts) = etag.split_once('-').unwrap_or((etag, "1"));
    digest.len() == 32
        && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && (1..=5).contains(&parts.len())
        && parts.bytes().all(|byte| byte.is_ascii_digit())
}

/// An entity tag without the quotes that HTTP puts around it, and without the mark of a weak one before them.
pub fn unquoted(etag: &str) -> &str {
    let quoted = etag.strip_prefix("W/").filter(|rest| rest.starts_with('"')).unwrap_or(etag);
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(etag)
}
