//! Signature version 4 of a request for one object.
//!
//! The keys and the signature are the SDK's; the text that is signed is ours. The SDK's signer makes that of any request: it parses, sorts and
//! encodes anew what is known here, and derives a key for each request that is the same for a whole day. That costs as much as base64 of a small
//! image. A test holds every header against the SDK's signer.

use super::request_error::unavailable;
use crate::http_client::host_header;
use antispoof_core::failure::Failure;
use antispoof_core::stream_digest::hex;
use aws_credential_types::Credentials;
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use aws_smithy_runtime_api::client::identity::Identity;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use time::OffsetDateTime;

const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// What is signed of the body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a> {
    /// Nothing: there is none.
    Unsigned,
    /// All of it.
    Whole(&'a [u8]),
}

pub(super) struct Signer {
    region: String,
    key: Mutex<Option<DayKey>>,
}

/// A signing key, and what it was derived from beside the region.
struct DayKey {
    day: String,
    secret: String,
    key: Vec<u8>,
}

impl Signer {
    pub(super) fn new(region: String) -> Self {
        Self { region, key: Mutex::default() }
    }

    /// Signs a request for an address with at most one parameter, percent-encoded as [`super::address`] does it. These headers are signed and added;
    /// every header that begins with `x-amz-` has to be signed.
    pub(super) fn sign(
        &self,
        request: &mut http::Request<()>,
        headers: &[(&'static str, &'static str)],
        content: Content<'_>,
        identity: &Identity,
        now: SystemTime,
    ) -> Result<(), Failure> {
        let credentials: &Credentials =
            identity.data().ok_or_else(|| unavailable(&"the AWS chain gives no access key"))?;
        let stamp = stamp(now);
        let day = &stamp[..8];
        let host = host_header(request.uri()).ok_or_else(|| unavailable(&"the address of the store names no host"))?;
        let content = match content {
            Content::Unsigned => HeaderValue::from_static(UNSIGNED),
            Content::Whole(body) => value(&hex("", &Sha256::digest(body)))?,
        };
        let mut signed = vec![(HOST, host), (CONTENT_SHA256, content.clone()), (DATE, value(&stamp)?)];
        signed.extend(
            headers.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))),
        );
        if let Some(token) = credentials.session_token() {
            let mut token = value(token)?;
            token.set_sensitive(true);
            signed.push((TOKEN, token));
        }
        signed.sort_unstable_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));

        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let (text, names) = canonical(request, &signed, &content);
        let digest = Sha256::digest(&text);
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex("", &digest));
        let signature = self.signature(credentials.secret_access_key(), day, now, &to_sign);
        let access_key = credentials.access_key_id();
        let mut authorization = value(&format!(
            "AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        ))?;
        authorization.set_sensitive(true);

        let sent = signed.into_iter().filter(|(name, _)| *name != HOST);
        request.headers_mut().extend(sent);
        request.headers_mut().insert(AUTHORIZATION, authorization);
        Ok(())
    }

    fn signature(&self, secret: &str, day: &str, now: SystemTime, to_sign: &str) -> String {
        let mut known = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_none_or(|known| known.day != day || known.secret != secret) {
            let key = generate_signing_key(secret, now, &self.region, "s3").as_ref().to_vec();
            *known = Some(DayKey { day: day.to_owned(), secret: secret.to_owned(), key });
        }
        let key = known.as_ref().map(|known| known.key.as_slice()).unwrap_or_default();
        calculate_signature(key, to_sign.as_bytes())
    }
}

/// The canonical request, and the names of what is signed.
fn canonical(
    request: &http::Request<()>,
    signed: &[(HeaderName, HeaderValue)],
    content: &HeaderValue,
) -> (String, String) {
    let uri = request.uri();
    let mut text = String::with_capacity(512);
    let mut names = String::with_capacity(96);
    for part in [request.method().as_str(), "\n", uri.path(), "\n", uri.query().unwrap_or_default(), "\n"] {
        text.push_str(part);
    }
    for (name, value) in signed {
        for part in [name.as_str(), ":", value.to_str().unwrap_or_default(), "\n"] {
            text.push_str(part);
        }
        if !names.is_empty() {
            names.push(';');
        }
        names.push_str(name.as_str());
    }
    for part in ["\n", &names, "\n", content.to_str().unwrap_or_default()] {
        text.push_str(part);
    }
    (text, names)
}

/// `20261129T183256Z`.
fn stamp(now: SystemTime) -> String {
    let at = OffsetDateTime::from(now);
    let mut stamp = String::with_capacity(16);
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    // Into a string, which cannot fail.
    let _written = write!(stamp, "{year:04}{:02}{day:02}T{hour:02}{minute:02}{second:02}Z", u8::from(month));
    stamp
}

fn value(text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_str(text).map_err(|error| unavailable(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sigv4::http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    };
    use aws_sigv4::sign::v4::SigningParams;
    use http::{Method, Request};
    use proptest::prelude::*;
    use std::time::Duration;

    const MODE: (&str, &str) = ("x-amz-checksum-mode", "ENABLED");

    /// What the SDK's signer makes of it.
    fn theirs(
        request: &mut Request<()>,
        headers: &[(&'static str, &'static str)],
        content: Content<'_>,
        region: &str,
        identity: &Identity,
        now: SystemTime,
    ) {
        let mut settings = SigningSettings::default();
        // S3's own dialect: the path is signed as it is sent.
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let params = SigningParams::builder().identity(identity).region(region).name("s3").time(now);
        let params = params.settings(settings).build().expect("complete").into();
        let uri = request.uri().to_string();
        let method = request.method().to_string();
        let body = match content {
            Content::Unsigned => SignableBody::UnsignedPayload,
            Content::Whole(body) => SignableBody::Bytes(body),
        };
        let signable = SignableRequest::new(&method, uri, headers.iter().copied(), body);
        let (instructions, _) = sign(signable.expect("a request"), &params).expect("signed").into_parts();
        instructions.apply_to_request_http1x(request);
        for &(name, value) in headers {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
    }

    proptest! {
        #[test]
        fn every_header_is_that_of_the_sdk(
            key in "[ -~é€\u{1F642}]{1,40}",
            version in prop::option::of("[A-Za-z0-9._+/=-]{1,20}"),
            token in prop::option::of("[A-Za-z0-9+/=]{1,60}"),
            origin in prop::sample::select(vec![
                "https://bucket.s3.eu-central-1.amazonaws.com/", "http://127.0.0.1:9000/bucket/", "https://store:443/b/",
                "http://store:80/b/", "http://[::1]:9000/b/",
            ]),
            secret in "[A-Za-z0-9/+]{40}",
            seconds in 0u64..4_000_000_000,
            checksum: bool,
            record in prop::option::of("[ -~]{0,200}"),
        ) {
            let url = crate::s3::address::url_of(origin, &key, version.as_deref());
            let headers = if checksum { &[MODE][..] } else { &[] };
            let identity = Identity::from(Credentials::new("AKIDEXAMPLE", secret, token, None, "test"));
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let (method, content) = match &record {
                None => (Method::GET, Content::Unsigned),
                Some(record) => (Method::PUT, Content::Whole(record.as_bytes())),
            };
            let request = || Request::builder().method(&method).uri(&url).body(()).expect("a URL");
            let (mut one, mut other) = (request(), request());
            let signer = Signer::new("eu-central-1".to_owned());
            signer.sign(&mut one, headers, content, &identity, now).expect("signed");
            theirs(&mut other, headers, content, "eu-central-1", &identity, now);
            prop_assert_eq!(one.headers(), other.headers());
            prop_assert_eq!(one.uri(), other.uri());
        }
    }

    #[test]
    fn the_key_is_that_of_the_day_and_of_the_credentials() {
        let signer = Signer::new("us-east-1".to_owned());
        let day = Duration::from_hours(24);
        let first = SystemTime::UNIX_EPOCH + day * 20_000;
        for (secret, now) in [("one", first), ("one", first + day / 2), ("one", first + day), ("other", first + day)] {
            let identity = Identity::from(Credentials::new("AKIDEXAMPLE", secret, None, None, "test"));
            let request = || Request::get("http://store:9000/b/k").body(()).expect("a URL");
            let (mut one, mut other) = (request(), request());
            signer.sign(&mut one, &[MODE], Content::Unsigned, &identity, now).expect("signed");
            theirs(&mut other, &[MODE], Content::Unsigned, "us-east-1", &identity, now);
            assert_eq!(one.headers(), other.headers(), "{secret} at {now:?}");
        }
    }
}
