//! `[s3]`: where the images are.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::findings::Findings;
use super::http_url::http_url;
use super::invalid::{InvalidValue, quoted};
use super::sources::Needs;
use super::units::MINUTE;
use super::values::{Flag, Size, Time, is_word, list, optional, text};

/// Where the images are, which of them may be read, and how long it may take.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3 {
    /// Region, also of stores that have none: it is part of every signature.
    #[serde(deserialize_with = "region")]
    pub region: String,
    /// An `http://` or `https://` URL without credentials. None: AWS.
    #[serde(deserialize_with = "endpoint")]
    #[schemars(with = "String")]
    pub endpoint_url: Option<String>,
    /// `https://host/bucket/key` instead of `https://bucket.host/key`.
    #[serde(with = "Flag")]
    pub path_style: bool,
    /// The buckets that jobs may name. For [`Needs::Worker`] empty only with `allow_any_bucket`.
    #[serde(deserialize_with = "buckets")]
    pub buckets: Vec<String>,
    /// Jobs may name any bucket; `buckets` is empty then.
    #[serde(with = "Flag")]
    pub allow_any_bucket: bool,
    /// The bucket of jobs that name none; allowed by the two settings above.
    #[serde(deserialize_with = "optional_bucket")]
    #[schemars(with = "String")]
    pub default_bucket: Option<String>,
    /// Largest image, in bytes.
    #[serde(with = "Size::<1, { 1 << 30 }>")]
    pub max_object_bytes: u64,
    /// Hold each object against the checksum that the store keeps of it.
    #[serde(with = "Flag")]
    pub verify_checksums: bool,
    /// Limit for a connection. At most `timeout`.
    #[serde(with = "Time::<1, MINUTE>")]
    pub connect_timeout: Duration,
    /// Limit until the head of the answer.
    #[serde(with = "Time::<1, { 10 * MINUTE }>")]
    pub timeout: Duration,
    /// Limit for each chunk after that.
    #[serde(with = "Time::<1, { 10 * MINUTE }>")]
    pub read_timeout: Duration,
}

impl S3 {
    pub(super) fn validate(&self, findings: &mut Findings<'_>) {
        match (self.buckets.is_empty(), self.allow_any_bucket) {
            (true, false) if findings.needs == Needs::Worker => findings.missing(
                &["s3.buckets", "s3.allow_any_bucket"],
                "is empty, so that no job could name a bucket",
                "list the buckets that jobs may name, as [\"kyc-uploads\"]; or set s3.allow_any_bucket = true",
            ),
            (false, true) => findings.error(
                &["s3.allow_any_bucket", "s3.buckets"],
                "is true although s3.buckets lists buckets",
                "keep the list and set s3.allow_any_bucket = false, or set s3.buckets = []",
            ),
            _ => {}
        }
        if let Some(default) = &self.default_bucket
            && !self.buckets.is_empty()
            && !self.buckets.contains(default)
        {
            findings.error(
                &["s3.default_bucket", "s3.buckets"],
                format!("{} is not one of s3.buckets", quoted(default)),
                "add it to s3.buckets, or name a bucket that is there",
            );
        }
    }
}

fn region<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer, |text| {
        if is_word(text, 63, b"-_") {
            return Ok(text.to_owned());
        }
        let remedy = "write a region as \"eu-central-1\"; a store without regions takes \"us-east-1\"";
        Err(InvalidValue::new(format!("{} is not a region", quoted(text)), remedy))
    })
}

fn endpoint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    optional(deserializer, |text| http_url(text).map(|_| text.to_owned()))
}

fn buckets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    list(deserializer, bucket)
}

pub(super) fn optional_bucket<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    optional(deserializer, bucket)
}

/// The naming rules of S3 for general purpose buckets.
fn bucket(text: &str) -> Result<String, InvalidValue> {
    let wrong = |what: &str| {
        InvalidValue::new(
            format!("{} is not a bucket name: {what}", quoted(text)),
            "write the bucket's name alone, as \"kyc-uploads\", without s3:// and without a key",
        )
    };
    if !(3..=63).contains(&text.len()) {
        return Err(wrong("it is not 3 to 63 characters long"));
    }
    if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b)) {
        return Err(wrong("only lower-case letters, digits, \".\" and \"-\" are allowed"));
    }
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    if !edge(text.as_bytes().first()) || !edge(text.as_bytes().last()) {
        return Err(wrong("it does not start and end with a letter or digit"));
    }
    if text.contains("..") {
        return Err(wrong("two dots follow each other"));
    }
    if text.parse::<std::net::Ipv4Addr>().is_ok() {
        return Err(wrong("it looks like an IP address"));
    }
    let reserved_start = ["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|start| text.starts_with(start));
    let reserved_end = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"].iter().any(|end| text.ends_with(end));
    if reserved_start || reserved_end {
        return Err(wrong("its start or end is reserved by S3"));
    }
    Ok(text.to_owned())
}
