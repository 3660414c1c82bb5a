//! Looking at the first chunks of an image before anything is paid for.

use antispoof_core::failure::{Code, Failure};
use antispoof_core::image::{Inspection, Limits, inspect};
use antispoof_core::ports::{Inspected, Opened};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use std::time::Duration;

/// Reads until the frame header is there. The head is kept and sent first; nothing is read twice. One chunk is usually enough, and then
/// nothing is copied either.
pub(super) async fn inspect_head<S>(opened: Opened<S>, limits: &Limits) -> Result<Inspected<S>, Failure>
where
    S: Stream<Item = Result<Bytes, Failure>> + Unpin,
{
    let Opened { bytes, mut stream, .. } = opened;
    let mut head = Bytes::new();
    loop {
        let complete = match stream.next().await {
            Some(chunk) => {
                head = joined(head, chunk?);
                false
            }
            None => true,
        };
        if complete && (head.len() as u64) < bytes {
            let message = format!("the store announced {bytes} bytes and sent {}", head.len());
            return Err(Failure::new(Code::StoreUnavailable, message));
        }
        // The last chunk need not be followed by another poll to be the last.
        match inspect(&head, complete || head.len() as u64 >= bytes)? {
            Inspection::NeedMore => {}
            Inspection::Found(facts) => {
                facts.admit(limits)?;
                return Ok(Inspected { head, rest: stream, bytes, facts });
            }
        }
    }
}

/// The store did not open an object, or did not send its first bytes, in time.
pub(super) fn slow_store(limit: Duration) -> Failure {
    Failure::new(Code::StoreTimeout, format!("the store did not send the beginning of the object within {limit:?}"))
}

fn joined(head: Bytes, chunk: Bytes) -> Bytes {
    if head.is_empty() {
        return chunk;
    }
    // Header segments larger than a chunk: rare, and bounded by the core.
    let mut joined = head.try_into_mut().unwrap_or_else(|head| BytesMut::from(&head[..]));
    joined.extend_from_slice(&chunk);
    joined.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    const LIMITS: Limits = Limits { min_side: 0, max_pixels: u64::MAX, upright_only: false };

    fn opened(
        bytes: u64,
        chunks: Vec<Result<Bytes, Failure>>,
    ) -> Opened<impl Stream<Item = Result<Bytes, Failure>> + Unpin> {
        Opened { bytes, etag: None, version_id: None, key: None, stream: stream::iter(chunks) }
    }

    #[tokio::test]
    async fn the_head_is_what_was_read_and_the_rest_follows() {
        let image = std::fs::read("tests/samples/astronaut.jpg").expect("a sample");
        for size in [1, 7, 100, 5000, image.len()] {
            let chunks = image.chunks(size).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
            let inspected = inspect_head(opened(image.len() as u64, chunks), &LIMITS).await.expect("a jpeg");
            assert_eq!((inspected.facts.width, inspected.facts.height), (512, 512));
            let mut whole = inspected.head.to_vec();
            let mut rest = inspected.rest;
            while let Some(chunk) = rest.next().await {
                whole.extend_from_slice(&chunk.expect("whole"));
            }
            assert_eq!(whole, image, "in chunks of {size}");
        }
    }

    #[tokio::test]
    async fn a_store_that_breaks_off_is_not_the_image_s_fault() {
        let head = Bytes::from_static(&[0xFF, 0xD8, 0xFF, 0xE0]);
        let short = inspect_head(opened(100, vec![Ok(head.clone())]), &LIMITS).await.err().expect("short");
        assert_eq!(short.code(), Code::StoreUnavailable);
        let whole = inspect_head(opened(4, vec![Ok(head)]), &LIMITS).await.err().expect("corrupt");
        assert_eq!(whole.code(), Code::ImageCorrupt);
    }
}
