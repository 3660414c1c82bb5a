//! `[s3]`: where the images are.

use std::time::Duration;

use super::Needs;
use super::reader::{Reader, Wrong, quoted};
use super::urls::http_url;

/// Where the images are, which of them may be read, and how long it may take.
#[derive(Clone, Debug)]
pub struct S3 {
    /// Region, also of stores that have none: it is part of every signature.
    pub region: String,
    /// An `http://` or `https://` URL without credentials. None: AWS.
    pub endpoint_url: Option<String>,
    /// `https://host/bucket/key` instead of `https://bucket.host/key`.
    pub path_style: bool,
    /// The buckets that jobs may name. For [`Needs::Worker`] empty only with `allow_any_bucket`.
    pub buckets: Vec<String>,
    /// Jobs may name any bucket; `buckets` is empty then.
    pub allow_any_bucket: bool,
    /// The bucket of jobs that name none; allowed by the two settings above.
    pub default_bucket: Option<String>,
    /// Largest image, in bytes. 1 to 1 GiB.
    pub max_object_bytes: u64,
    /// Limit for a connection. At most 1 min and at most `timeout`.
    pub connect_timeout: Duration,
    /// Limit until the head of the answer. At most 10 min.
    pub timeout: Duration,
    /// Limit for each chunk after that. At most 10 min.
    pub read_timeout: Duration,
}

impl S3 {
    pub(super) fn read(r: &mut Reader<'_>, needs: Needs) -> Self {
        let least = Duration::from_millis(1);
        let s3 = Self {
            region: r.text("s3.region", region),
            endpoint_url: r.text("s3.endpoint_url", |text| {
                if text.is_empty() { Ok(None) } else { http_url(text).map(|_| Some(text.to_owned())) }
            }),
            path_style: r.flag("s3.path_style"),
            buckets: r.list("s3.buckets", bucket),
            allow_any_bucket: r.flag("s3.allow_any_bucket"),
            default_bucket: r
                .text("s3.default_bucket", |text| if text.is_empty() { Ok(None) } else { bucket(text).map(Some) }),
            max_object_bytes: r.size("s3.max_object_bytes", 1..=1 << 30),
            connect_timeout: r.duration("s3.connect_timeout", least..=Duration::from_mins(1)),
            timeout: r.duration("s3.timeout", least..=Duration::from_mins(10)),
            read_timeout: r.duration("s3.read_timeout", least..=Duration::from_mins(10)),
        };
        if r.sound(&["s3.buckets", "s3.allow_any_bucket"]) {
            s3.check_allow_list(r, needs);
        }
        s3
    }

    fn check_allow_list(&self, r: &mut Reader<'_>, needs: Needs) {
        match (self.buckets.is_empty(), self.allow_any_bucket) {
            (true, false) if needs == Needs::Worker => r.required(
                "s3.buckets",
                "is empty, so that no job could name a bucket",
                "list the buckets that jobs may name, as [\"kyc-uploads\"]; or set s3.allow_any_bucket = true",
            ),
            (false, true) => r.error_with(
                "s3.allow_any_bucket",
                &["s3.buckets"],
                "is true although s3.buckets lists buckets",
                "keep the list and set s3.allow_any_bucket = false, or set s3.buckets = []",
            ),
            _ => {}
        }
        if let Some(default) = &self.default_bucket
            && r.sound(&["s3.default_bucket"])
            && !self.buckets.is_empty()
            && !self.buckets.contains(default)
        {
            r.error_with(
                "s3.default_bucket",
                &["s3.buckets"],
                format!("{} is not one of s3.buckets", quoted(default)),
                "add it to s3.buckets, or name a bucket that is there",
            );
        }
    }
}

fn region(text: &str) -> Result<String, Wrong> {
    let fits = (1..=63).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if fits {
        return Ok(text.to_owned());
    }
    let remedy = "write a region as \"eu-central-1\"; a store without regions takes \"us-east-1\"";
    Err(Wrong::new(format!("{} is not a region", quoted(text)), remedy))
}

/// The naming rules of S3 for general purpose buckets.
fn bucket(text: &str) -> Result<String, Wrong> {
    let wrong = |what: &str| {
        Wrong::new(
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
