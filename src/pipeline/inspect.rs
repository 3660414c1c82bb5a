//! Looking at the first chunks of an image before anything is paid for.

use super::head::{FREE_BYTES, Head, HeadMemory};
use antispoof_core::failure::{Code, Failure};
use antispoof_core::image::{Inspector, Limits};
use antispoof_core::ports::{Inspected, Opened};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Reads until the first scan begins. The head is kept and sent first; nothing is read twice. One chunk is usually enough.
///
/// The store may take `limit` for it: one that drips would otherwise hold the job for as long as it likes, each drop in time. A wait for memory is not
/// the store's, and has the same limit again.
pub(super) async fn inspect_head<S>(
    opened: Opened<S>,
    limits: &Limits,
    memory: &HeadMemory,
    limit: Duration,
) -> Result<Inspected<S>, Failure>
where
    S: Stream<Item = Result<Bytes, Failure>> + Unpin,
{
    let Opened { bytes, mut stream, .. } = opened;
    let (mut inspector, mut head, mut share) = (Inspector::accepting(limits.convert), Head::default(), None);
    let mut deadline = Instant::now() + limit;
    let facts = loop {
        if share.is_none() && head.len() >= FREE_BYTES {
            let waiting = Instant::now();
            share = Some(memory.share(limit).await?);
            deadline += waiting.elapsed();
        }
        let Some(chunk) = timeout_at(deadline, stream.next()).await.map_err(|_| slow_store(limit))? else {
            if (head.len() as u64) < bytes {
                return Err(short(bytes, head.len()));
            }
            break inspector.finish()?;
        };
        let chunk = chunk?;
        let found = inspector.push(&chunk);
        head.push(chunk);
        if let Some(facts) = found? {
            break facts;
        }
        // The last chunk need not be followed by another poll to be the last.
        if head.len() as u64 >= bytes {
            break inspector.finish()?;
        }
    };
    facts.admit(limits)?;
    Ok(Inspected { head: head.into_chunks(share), rest: Some(stream), bytes, facts })
}

/// The store did not open an object, or did not send its first bytes, in time.
pub(super) fn slow_store(limit: Duration) -> Failure {
    Failure::new(Code::StoreTimeout, format!("the store did not send the beginning of the object within {limit:?}"))
}

pub(super) fn short(announced: u64, sent: usize) -> Failure {
    Failure::new(Code::StoreUnavailable, format!("the store announced {announced} bytes and sent {sent}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use antispoof_core::image::Formats;
    use futures_util::stream;

    const LIMITS: Limits = Limits { min_side: 0, max_pixels: u64::MAX, upright_only: false, convert: Formats::NONE };

    fn opened(
        bytes: u64,
        chunks: Vec<Result<Bytes, Failure>>,
    ) -> Opened<impl Stream<Item = Result<Bytes, Failure>> + Unpin> {
        Opened { bytes, etag: None, version_id: None, key: None, stream: stream::iter(chunks) }
    }

    async fn inspected<S>(opened: Opened<S>) -> Result<Inspected<S>, Failure>
    where
        S: Stream<Item = Result<Bytes, Failure>> + Unpin,
    {
        inspect_head(opened, &LIMITS, &HeadMemory::default(), Duration::from_secs(20)).await
    }

    #[tokio::test]
    async fn the_head_is_what_was_read_and_the_rest_follows() {
        let image = std::fs::read("tests/samples/astronaut.jpg").expect("a sample");
        for size in [1, 7, 100, 5000, image.len()] {
            let chunks = image.chunks(size).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
            let inspected = inspected(opened(image.len() as u64, chunks)).await.expect("a jpeg");
            assert_eq!((inspected.facts.width, inspected.facts.height), (512, 512));
            let mut whole = inspected.head.concat();
            let mut rest = inspected.rest.expect("a stream");
            while let Some(chunk) = rest.next().await {
                whole.extend_from_slice(&chunk.expect("whole"));
            }
            assert_eq!(whole, image, "in chunks of {size}");
        }
    }

    #[tokio::test]
    async fn a_store_that_breaks_off_is_not_the_image_s_fault() {
        let head = Bytes::from_static(&[0xFF, 0xD8, 0xFF, 0xE0]);
        let short = inspected(opened(100, vec![Ok(head.clone())])).await.err().expect("short");
        assert_eq!(short.code(), Code::StoreUnavailable);
        let whole = inspected(opened(4, vec![Ok(head)])).await.err().expect("corrupt");
        assert_eq!(whole.code(), Code::ImageCorrupt);
    }

    /// A photo whose frame header lies behind so many full segments, with the scan that it has.
    fn long_headed(segments: usize) -> Vec<u8> {
        let image = std::fs::read("tests/samples/astronaut.jpg").expect("a sample");
        let segment = [&[0xFF, 0xE2, 0xFF, 0xFF][..], &vec![7; 65_533]].concat();
        [&image[..2], &segment.repeat(segments), &image[2..]].concat()
    }

    fn chunked(image: &[u8], size: usize) -> Vec<Result<Bytes, Failure>> {
        image.chunks(size).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn many_long_heads_at_once_all_get_through_one_memory() {
        let memory = HeadMemory::default();
        let image = long_headed(60);
        let jobs = (0..100).map(|_| async {
            let opened = opened(image.len() as u64, chunked(&image, 16_384));
            let inspected = inspect_head(opened, &LIMITS, &memory, Duration::from_secs(20)).await?;
            // The call: its head is gone when it has been sent.
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, Failure>(inspected.head.iter().map(Bytes::len).sum::<usize>())
        });
        for read in futures_util::future::join_all(jobs).await {
            assert!(read.is_ok_and(|read| read > 60 * 65_537));
        }
        assert_eq!(memory, HeadMemory::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_drips_has_one_limit_for_the_whole_head() {
        let image = long_headed(1);
        let chunks = chunked(&image, 100);
        let dripping = stream::iter(chunks).then(|chunk| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            chunk
        });
        let opened =
            Opened { bytes: image.len() as u64, etag: None, version_id: None, key: None, stream: Box::pin(dripping) };
        let failure = inspected(opened).await.err().expect("too slow");
        assert_eq!(failure.code(), Code::StoreTimeout);
        assert!(failure.message().contains("did not send the beginning"), "{failure}");
    }
}
