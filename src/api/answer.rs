//! Reading the body of an answer, within bounds.

use antispoof_core::verdict::MAX_ANSWER_BYTES;
use bytes::Bytes;
use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use std::io::Read;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// A refusal's body is read so that its connection can be used again, and thrown away. One that is longer or slower than this is not worth it.
const REFUSAL_BYTES: usize = 16 * 1024;
const REFUSAL_LIMIT: Duration = Duration::from_millis(100);

/// The body cannot be had as it was meant.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    #[error("the answer is longer than {MAX_ANSWER_BYTES} bytes")]
    TooLong,
    #[error("the answer broke off")]
    BrokeOff,
    #[error("the answer was not complete within {0:?}")]
    Late(Duration),
    #[error("the answer has a Content-Encoding that was not asked for and is neither gzip nor deflate")]
    Encoding,
    #[error("the answer cannot be decompressed")]
    Compressed,
}

/// The body of an answer, decompressed: we ask for the identity encoding, and not every server heeds it.
pub(super) async fn read<B>(headers: &HeaderMap, body: B, deadline: Instant, limit: Duration) -> Result<Bytes, Unread>
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let encoding = encoding(headers)?;
    let body = match timeout_at(deadline, Limited::new(body, MAX_ANSWER_BYTES).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(Unread::TooLong),
        Ok(Err(_)) => return Err(Unread::BrokeOff),
        Err(_) => return Err(Unread::Late(limit)),
    };
    match encoding {
        Encoding::Identity => Ok(body),
        Encoding::Gzip => decompressed(GzDecoder::new(&body[..])),
        // RFC 9110 means zlib by it; some servers send the bare stream.
        Encoding::Deflate => match decompressed(ZlibDecoder::new(&body[..])) {
            Err(Unread::Compressed) => decompressed(DeflateDecoder::new(&body[..])),
            read => read,
        },
    }
}

/// Reads and forgets what a server says beside its refusal.
pub(super) async fn discard<B>(body: B)
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    // Whatever comes of it: then the connection is closed.
    drop(timeout(REFUSAL_LIMIT, Limited::new(body, REFUSAL_BYTES).collect()).await);
}

enum Encoding {
    Identity,
    Gzip,
    Deflate,
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Unread> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let (named, None) = (values.next(), values.next()) else { return Err(Unread::Encoding) };
    let named = named.map(|named| named.to_str().unwrap_or_default().trim().to_ascii_lowercase());
    match named.as_deref() {
        None | Some("" | "identity") => Ok(Encoding::Identity),
        Some("gzip" | "x-gzip") => Ok(Encoding::Gzip),
        Some("deflate") => Ok(Encoding::Deflate),
        Some(_) => Err(Unread::Encoding),
    }
}

fn decompressed(reader: impl Read) -> Result<Bytes, Unread> {
    let mut body = Vec::new();
    reader.take(MAX_ANSWER_BYTES as u64 + 1).read_to_end(&mut body).map_err(|_| Unread::Compressed)?;
    if body.len() > MAX_ANSWER_BYTES { Err(Unread::TooLong) } else { Ok(body.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http_body_util::Full;
    use std::io::Write as _;

    async fn answer(encodings: &[&str], body: &[u8]) -> Result<Bytes, Unread> {
        let headers = encodings.iter().map(|value| (CONTENT_ENCODING, value.parse().expect("a header"))).collect();
        let limit = Duration::from_secs(5);
        read(&headers, Full::new(Bytes::copy_from_slice(body)), Instant::now() + limit, limit).await
    }

    #[tokio::test]
    async fn what_was_compressed_unasked_is_read_and_bounded() {
        let plain = br#"{"spoof_detected":false,"accuracy":0.9}"#;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(plain).and_then(|()| zlib.write_all(plain)).and_then(|()| bare.write_all(plain)).expect("room");
        let gzip = gzip.finish().expect("room");
        for (encodings, body) in [
            (&[][..], &plain[..]),
            (&["identity"], plain),
            (&["gzip"], &gzip),
            (&["X-GZIP"], &gzip),
            (&["deflate"], &zlib.finish().expect("room")),
            (&["deflate"], &bare.finish().expect("room")),
        ] {
            assert_eq!(answer(encodings, body).await.expect("it is read"), &plain[..], "{encodings:?}");
        }
        for encodings in [&["br"][..], &["gzip, gzip"], &["gzip", "gzip"]] {
            assert!(matches!(answer(encodings, &gzip).await, Err(Unread::Encoding)), "{encodings:?}");
        }
        assert!(matches!(answer(&["gzip"], plain).await, Err(Unread::Compressed)));
        assert!(matches!(answer(&["gzip"], &gzip[..gzip.len() - 1]).await, Err(Unread::Compressed)), "cut");
        let mut long = GzEncoder::new(Vec::new(), Compression::default());
        long.write_all(&vec![b' '; MAX_ANSWER_BYTES + 1]).expect("room");
        assert!(matches!(answer(&["gzip"], &long.finish().expect("room")).await, Err(Unread::TooLong)));
    }
}
