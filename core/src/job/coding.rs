//! Compressed bodies: `content_encoding` by the names of HTTP, and kombu's header `compression`.

use super::model::{MAX_BODY_BYTES, malformed};
use crate::failure::Failure;
use flate2::read::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::io::Read;

/// How a body is encoded, by the name that its sender gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// As it is.
    Identity,
    /// Gzip, zlib or raw deflate. Names and bytes do not always agree: kombu calls zlib `application/x-gzip`, HTTP calls it `deflate`.
    Deflate,
    /// None that is read.
    Other,
}

impl Coding {
    pub(super) fn named(name: &str) -> Self {
        match essence(name).as_str() {
            "" | "identity" | "utf-8" | "utf8" | "us-ascii" | "ascii" | "binary" | "7bit" | "8bit" => Self::Identity,
            "gzip" | "x-gzip" | "application/gzip" | "application/x-gzip" | "deflate" | "zlib" | "application/zlib"
            | "application/x-zlib" => Self::Deflate,
            _ => Self::Other,
        }
    }
}

/// A name of an encoding as it is compared.
pub(super) fn essence(name: &str) -> String {
    name.trim().to_ascii_lowercase()
}

/// The body without the encoding of that name. What bears a name and is plain JSON all the same, or bears a name that is not read, is left as it is.
pub(super) fn decoded<'a>(body: Cow<'a, [u8]>, name: Option<&str>) -> Result<Cow<'a, [u8]>, Failure> {
    let Some(name) = name.filter(|name| Coding::named(name) == Coding::Deflate) else { return Ok(body) };
    let name = essence(name);
    let unpacked = if is_gzip(&body) {
        gunzipped(&body)
    } else if is_zlib(&body) {
        inflated(&body, true)
    } else if serde_json::from_slice::<IgnoredAny>(without_bom(&body)).is_ok() {
        return Ok(body);
    } else {
        inflated(&body, false)
    };
    match unpacked {
        Some(text) if text.len() > MAX_BODY_BYTES => Err(malformed(format!(
            "the body has more than {MAX_BODY_BYTES} bytes when it is decompressed; a job names an image, it does not hold one"
        ))),
        Some(text) => Ok(text.into()),
        None => Err(malformed(format!(
            "the body is said to be encoded as {name} and is not, or it is cut off; compress the whole JSON with gzip or zlib, or leave content_encoding out"
        ))),
    }
}

pub(super) fn is_gzip(body: &[u8]) -> bool {
    body.starts_with(&[0x1f, 0x8b, 0x08])
}

/// By the two bytes of RFC 1950: deflate with a window of at most 32 KiB, no dictionary, and the check that makes them a multiple of 31.
pub(super) fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [method, flags, ..] if method & 0x8f == 0x08 && flags & 0x20 == 0 && u16::from_be_bytes([*method, *flags]) % 31 == 0)
}

pub(super) fn without_bom(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// At most one byte more than is read, so that a small body cannot become a large one.
fn gunzipped(body: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    MultiGzDecoder::new(body).take(MAX_BODY_BYTES as u64 + 1).read_to_end(&mut text).ok().map(|_| text)
}

/// The same of zlib (with its check sum) or raw deflate. `None` unless the stream ends where the body does.
fn inflated(body: &[u8], zlib: bool) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(MAX_BODY_BYTES + 1);
    let mut stream = Decompress::new(zlib);
    let status = stream.decompress_vec(body, &mut text, FlushDecompress::Finish).ok()?;
    let whole = status == Status::StreamEnd && stream.total_in() == body.len() as u64;
    (whole || text.len() > MAX_BODY_BYTES).then_some(text)
}
