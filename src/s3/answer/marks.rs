//! Whether an answer is a store's at all. Whatever speaks HTTP may stand at `s3.endpoint_url`: a web page, a console, a proxy of its own mind.

use http::HeaderMap;
use http::header::{CONTENT_TYPE, ETAG};

/// Headers that S3 stores name their requests by, as seen or as their documentation has it: AWS, MinIO, RustFS, Ceph, `SeaweedFS`, versitygw, Wasabi,
/// Backblaze B2 (`x-amz-request-id`), moto (`x-amzn-requestid`), Google Cloud Storage, and the stores of Alibaba, Tencent, Huawei, IBM and Oracle. Garage and `S3Mock` send none.
const REQUEST_IDS: [&str; 9] = [
    "x-amz-request-id",
    "x-amz-id-2",
    "x-amzn-requestid",
    "x-guploader-uploadid",
    "x-oss-request-id",
    "x-cos-request-id",
    "x-obs-request-id",
    "x-clv-request-id",
    "opc-request-id",
];

/// What the headers of a success say about who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marks {
    /// A store has sent an object.
    Object,
    /// The body has to tell: it may be an error document, or a page.
    Body,
    /// No store.
    None,
}

pub(super) fn has_request_id(headers: &HeaderMap) -> bool {
    REQUEST_IDS.iter().any(|name| headers.contains_key(*name))
}

/// Without a request id, an `ETag` has to do: not every store sends one. But web servers have tags, too, so that a page with one is still no object.
pub(super) fn of_success(headers: &HeaderMap) -> Marks {
    match (has_request_id(headers), headers.contains_key(ETAG)) {
        (true, true) => Marks::Object,
        _ if is_kind(headers, &["application/xml", "text/xml"]) => Marks::Body,
        (false, true) if says_page(headers) => Marks::Body,
        (false, false) => Marks::None,
        (true, false) | (false, true) => Marks::Object,
    }
}

/// True for what calls itself a web page.
pub(super) fn says_page(headers: &HeaderMap) -> bool {
    is_kind(headers, &["text/html", "application/xhtml+xml"])
}

fn is_kind(headers: &HeaderMap, kinds: &[&str]) -> bool {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    kinds.iter().any(|kind| essence.eq_ignore_ascii_case(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(set: &[(&'static str, &'static str)]) -> HeaderMap {
        set.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    /// What came for a GET of an object, without the headers that say nothing.
    #[test]
    fn what_real_stores_send_is_an_object() {
        let tag = ("etag", "\"5d41402abc4b2a76b9719d911017c592\"");
        let binary = ("content-type", "binary/octet-stream");
        for (store, sent) in [
            ("MinIO 2025-09-07", vec![tag, binary, ("x-amz-request-id", "18EC5050843"), ("server", "MinIO")]),
            ("versitygw 1.8.0", vec![tag, binary, ("x-amz-request-id", "8DZIN3FYOF0RMAE6"), ("server", "VERSITYGW")]),
            ("moto 5.2.5", vec![tag, binary, ("x-amzn-requestid", "qepe5NphvtuuOHPL")]),
            ("S3Mock 5.2.0", vec![tag, ("content-type", "application/octet-stream")]),
            ("an image stored as a page", vec![tag, ("content-type", "text/html"), ("x-amz-request-id", "1")]),
            ("a document as an object", vec![tag, ("content-type", "application/xml"), ("x-amz-request-id", "1")]),
        ] {
            assert_eq!(of_success(&headers(&sent)), Marks::Object, "{store}");
        }
    }

    #[test]
    fn what_no_store_sends_is_none() {
        for (who, sent) in [
            ("MinIO's console 2025-09-07", vec![("content-type", "text/html"), ("server", "MinIO Console")]),
            ("a health check", vec![("content-type", "text/plain")]),
            ("nothing at all", vec![]),
            ("CloudFront before a page", vec![("content-type", "text/html; charset=utf-8"), ("x-amz-cf-id", "x")]),
        ] {
            assert_eq!(of_success(&headers(&sent)), Marks::None, "{who}");
        }
        for open in [
            vec![("content-type", "application/xml")],
            vec![("content-type", "text/xml; charset=utf-8"), ("etag", "\"1\"")],
            vec![("content-type", "application/xml"), ("x-amz-request-id", "1")],
            // nginx 1.22, index.html.
            vec![("content-type", "text/html"), ("etag", "\"5e1-264\"")],
        ] {
            assert_eq!(of_success(&headers(&open)), Marks::Body, "{open:?}");
        }
    }
}
