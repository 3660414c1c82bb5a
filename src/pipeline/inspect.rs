//! Looking at the first chunks of an image before anything is paid for.

use super::head::{FREE_BYTES, Head, HeadMemory};
use antispoof_core::checksum::{Checksum, Verifier};
use antispoof_core::failure::{Code, Failure};
use antispoof_core::image::{Facts, Formats, Inspector};
use antispoof_core::ports::{Inspected, Opened};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Reads until the first scan begins. The head is kept and sent first; nothing is read twice. One chunk is usually enough. An image is refused for good
/// only where its bytes are those that the store keeps, as far as the store can tell. `formats` are accepted beside JPEG, and `admit` holds what was found
/// and the length of the object against the settings.
///
/// The store may take `limit` for it: one that drips would otherwise hold the job for as long as it likes, each drop in time. A wait for memory is not
/// the store's, and has the same limit again.
pub(super) async fn inspect_head<S>(
    opened: Opened<S>,
    formats: Formats,
    mut admit: impl FnMut(&Facts, u64) -> Result<(), Failure>,
    memory: &HeadMemory,
    limit: Duration,
) -> Result<Inspected<S>, Failure>
where
    S: Stream<Item = Result<Bytes, Failure>> + Unpin,
{
    let Opened { bytes, checksum, mut stream, .. } = opened;
    let (mut inspector, mut head, mut share) = (Inspector::accepting(formats), Head::default(), None);
    let mut deadline = Instant::now() + limit;
    let found = loop {
        if share.is_none() && head.len() >= FREE_BYTES {
            let waiting = Instant::now();
            share = Some(memory.share(limit).await?);
            deadline += waiting.elapsed();
        }
        let Some(chunk) = timeout_at(deadline, stream.next()).await.map_err(|_| slow_store(limit))? else {
            if (head.len() as u64) < bytes {
                return Err(other_length(bytes, head.len() as u64));
            }
            break inspector.finish().and_then(|facts| admit(&facts, bytes).map(|()| facts));
        };
        let chunk = chunk?;
        let found = inspector.push(&chunk);
        head.push(chunk);
        match found {
            Ok(Some(facts)) => break admit(&facts, bytes).map(|()| facts),
            // The last chunk need not be followed by another poll to be the last.
            Ok(None) if head.len() as u64 >= bytes => {
                break inspector.finish().and_then(|facts| admit(&facts, bytes).map(|()| facts));
            }
            Ok(None) => {}
            Err(refusal) => break Err(refusal),
        }
    };
    match (found, checksum) {
        (Ok(facts), _) => Ok(Inspected { head: head.into_chunks(share), rest: Some(stream), bytes, checksum, facts }),
        // Files of other formats are whole as a rule: it takes more than damage to have another's magic bytes.
        (Err(refusal), Some(checksum)) if refusal.code() != Code::UnsupportedFormat => {
            let chunks = stream::iter(head.into_chunks(share)).map(Ok).chain(stream);
            let whole = timeout_at(deadline, whole(chunks, bytes, checksum)).await;
            Err(whole.unwrap_or_else(|_| Err(unverified(&refusal, limit))).err().unwrap_or(refusal))
        }
        (Err(refusal), _) => Err(refusal),
    }
}

/// Reads an object that is refused to its end, and keeps nothing of it. An error where these are not the bytes that the store keeps.
async fn whole<S>(mut chunks: S, announced: u64, checksum: Checksum) -> Result<(), Failure>
where
    S: Stream<Item = Result<Bytes, Failure>> + Unpin,
{
    let (mut verifier, mut seen) = (Verifier::new(checksum), 0);
    while seen <= announced
        && let Some(chunk) = chunks.next().await.transpose()?
    {
        verifier.chunk(&chunk);
        seen += chunk.len() as u64;
    }
    if seen == announced { verifier.finish() } else { Err(other_length(announced, seen)) }
}

/// The store did not open an object, or did not send its first bytes, in time.
pub(super) fn slow_store(limit: Duration) -> Failure {
    Failure::new(Code::StoreTimeout, format!("the store did not send the beginning of the object within {limit:?}"))
}

fn unverified(refusal: &Failure, limit: Duration) -> Failure {
    let message = format!(
        "{}; but the store did not send the rest within {limit:?}, so that its checksum could not tell whether the bytes were damaged on their way",
        refusal.message()
    );
    Failure::new(Code::StoreTimeout, message)
}

pub(super) fn other_length(announced: u64, sent: u64) -> Failure {
    Failure::new(Code::StoreUnavailable, format!("the store announced {announced} bytes and sent {sent}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use antispoof_core::checksum::Algorithm;
    use antispoof_core::image::Limits;
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD as STANDARD;
    use sha2::{Digest as _, Sha256};

    const LIMITS: Limits = Limits { min_side: 0, max_pixels: u64::MAX, upright_only: false, convert: Formats::NONE };

    fn opened(
        bytes: u64,
        chunks: Vec<Result<Bytes, Failure>>,
    ) -> Opened<impl Stream<Item = Result<Bytes, Failure>> + Unpin> {
        Opened { bytes, etag: None, version_id: None, key: None, checksum: None, stream: stream::iter(chunks) }
    }

    async fn inspected<S>(opened: Opened<S>) -> Result<Inspected<S>, Failure>
    where
        S: Stream<Item = Result<Bytes, Failure>> + Unpin,
    {
        inspect_head(opened, Formats::NONE, |_, _| Ok(()), &HeadMemory::default(), Duration::from_secs(20)).await
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

    /// What comes of an image of which the store keeps the SHA-256 of `kept`.
    async fn refusal(kept: &[u8], sent: &[u8], limits: &Limits) -> Code {
        let sum = STANDARD.encode(Sha256::digest(kept));
        let checksum = Checksum::from_base64(Algorithm::Sha256, &sum);
        let opened = Opened { checksum, ..opened(kept.len() as u64, chunked(sent, 1000)) };
        let admit = |facts: &Facts, _| facts.admit(limits);
        let memory = HeadMemory::default();
        let inspecting = inspect_head(opened, Formats::NONE, admit, &memory, Duration::from_secs(20));
        inspecting.await.err().expect("refused").code()
    }

    #[tokio::test]
    async fn an_image_is_blamed_only_for_the_bytes_that_the_store_keeps() {
        let image = std::fs::read("tests/samples/astronaut.jpg").expect("a sample");
        let frame = image.windows(4).position(|bytes| bytes == [0xFF, 0xC0, 0, 17]).expect("a frame header");
        let small = Limits { min_side: 512, ..LIMITS };
        let damaged = |at: usize, byte: u8| {
            let mut image = image.clone();
            image[at] = byte;
            image
        };
        for (sent, limits, code) in [
            (damaged(0, 0), &LIMITS, Code::NotAnImage),
            (damaged(frame + 4, 12), &LIMITS, Code::ImageCorrupt),
            (damaged(frame + 5, 1), &small, Code::ImageDimensions),
            (image[..300].to_vec(), &LIMITS, Code::ImageCorrupt),
        ] {
            assert_eq!(refusal(&sent, &sent, limits).await, code, "kept as it came");
            assert_eq!(refusal(&image, &sent, limits).await, Code::StoreUnavailable, "{code}");
        }
        let longer = [&damaged(0, 0)[..], b"more"].concat();
        assert_eq!(refusal(&image, &longer, &LIMITS).await, Code::StoreUnavailable);
        // Not read to its end.
        let gif = [&b"GIF89a"[..], &image[6..]].concat();
        assert_eq!(refusal(&image, &gif, &LIMITS).await, Code::UnsupportedFormat);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_read_to_its_end_in_time_is_not_blamed_either() {
        let image = std::fs::read("tests/samples/astronaut.jpg").expect("a sample");
        let kept = Checksum::from_base64(Algorithm::Crc32, "AAAAAA==");
        let stalling = stream::iter([Ok(Bytes::from(vec![0; 2000]))]).chain(stream::pending());
        let Opened { bytes, etag, version_id, key, .. } = opened(image.len() as u64, Vec::new());
        let opened = Opened { bytes, etag, version_id, key, checksum: kept, stream: Box::pin(stalling) };
        let failure = inspected(opened).await.expect_err("too slow");
        assert_eq!(failure.code(), Code::StoreTimeout);
        assert!(failure.message().contains("its checksum could not tell"), "{failure}");
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
            let inspected =
                inspect_head(opened, Formats::NONE, |_, _| Ok(()), &memory, Duration::from_secs(20)).await?;
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
        let opened = Opened {
            bytes: image.len() as u64,
            etag: None,
            version_id: None,
            key: None,
            checksum: None,
            stream: Box::pin(dripping),
        };
        let failure = inspected(opened).await.err().expect("too slow");
        assert_eq!(failure.code(), Code::StoreTimeout);
        assert!(failure.message().contains("did not send the beginning"), "{failure}");
    }
}
