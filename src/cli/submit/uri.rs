//! `s3://bucket/key`, taken as it is: no percent-decoding, no version after a question mark. A key may have both.

use antispoof_core::job::is_bucket;
use std::fmt;
use std::str::FromStr;

const SCHEME: &str = "s3://";
const BUCKET_RULES: &str =
    "a bucket has 3 to 63 of a-z, 0-9, dot and hyphen, and starts and ends with a letter or digit";

/// An object. The bucket is well-formed and the key not empty; the job's own rules for keys come on top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct S3Uri {
    pub(super) bucket: String,
    pub(super) key: String,
}

/// A bucket and what keys in it begin with, which may be nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Folder {
    bucket: String,
    prefix: String,
}

/// A text is not what an argument wants.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum UriError {
    #[error("write s3://BUCKET/KEY")]
    Scheme,
    #[error("{BUCKET_RULES}")]
    Bucket,
    #[error("it names a bucket but no key; --prefix {0} submits all that is in it")]
    NoKey(String),
    #[error("it ends with a slash and so names a folder; --prefix {0} submits all that is below it")]
    Folder(String),
}

impl FromStr for S3Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let (bucket, key) = split(text)?;
        if key.is_empty() {
            return Err(UriError::NoKey(text.to_owned()));
        }
        if key.ends_with('/') {
            return Err(UriError::Folder(text.to_owned()));
        }
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }
}

impl FromStr for Folder {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let (bucket, prefix) = split(text)?;
        Ok(Self::new(bucket, prefix))
    }
}

impl Folder {
    pub(super) fn new(bucket: &str, prefix: &str) -> Self {
        Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() }
    }

    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// With a slash at its end, for putting names below it.
    pub(super) fn closed(mut self) -> Self {
        if !self.prefix.is_empty() && !self.prefix.ends_with('/') {
            self.prefix.push('/');
        }
        self
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.bucket, self.prefix)
    }
}

/// Bucket and the rest, which may be empty.
fn split(text: &str) -> Result<(&str, &str), UriError> {
    let rest = text.strip_prefix(SCHEME).ok_or(UriError::Scheme)?;
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    if is_bucket(bucket) { Ok((bucket, key)) } else { Err(UriError::Bucket) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Result<(String, String), UriError> {
        text.parse::<S3Uri>().map(|uri| (uri.bucket, uri.key))
    }

    #[test]
    fn a_key_is_taken_as_it_is() {
        for key in ["a.jpg", "a/b c.jpg", "/leading", "a?versionId=1", "%2e%2e", "a//b", "ü#1"] {
            assert_eq!(object(&format!("s3://bucket/{key}")), Ok(("bucket".to_owned(), key.to_owned())), "{key}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused_with_the_way_out() {
        assert_eq!(object("bucket/key"), Err(UriError::Scheme));
        assert_eq!(object("S3://bucket/key"), Err(UriError::Scheme));
        assert_eq!(object("https://bucket/key"), Err(UriError::Scheme));
        assert_eq!(object("s3://Bucket/key"), Err(UriError::Bucket));
        assert_eq!(object("s3:///key"), Err(UriError::Bucket));
        assert!(object("s3://bucket").unwrap_err().to_string().contains("--prefix s3://bucket "));
        assert!(object("s3://bucket/").unwrap_err().to_string().contains("--prefix s3://bucket/ "));
        assert_eq!(object("s3://bucket/a/"), Err(UriError::Folder("s3://bucket/a/".to_owned())));
    }

    #[test]
    fn a_folder_may_be_the_whole_bucket() {
        let folder = |text: &str| text.parse::<Folder>().unwrap().closed().to_string();
        assert_eq!(folder("s3://bucket"), "s3://bucket/");
        assert_eq!(folder("s3://bucket/a"), "s3://bucket/a/");
        assert_eq!(folder("s3://bucket/a/"), "s3://bucket/a/");
        assert_eq!("bucket".parse::<Folder>(), Err(UriError::Scheme));
    }
}
