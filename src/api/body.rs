//! The request body: S3 socket → base64 → API socket, a chunk at a time.

use antispoof_core::encode::{self, Encoder};
use antispoof_core::failure::{Code, Failure};
use antispoof_core::ports::Inspected;
use antispoof_core::stream_digest::StreamDigest;
use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

/// Most bytes of the image that are encoded at a time: a multiple of three. The encoded block has 48 KiB: glibc tidies up its whole heap whenever
/// a block of 64 KiB or more is freed, which cost a tenth of the CPU of a 1 MB image.
const STEP: usize = 36 * 1024;

/// What became of the body, for those who hold only the connection's side of the story.
#[derive(Debug, Default)]
pub(super) struct Report {
    failure: OnceLock<Failure>,
    digest: OnceLock<Option<String>>,
    sent: AtomicBool,
}

impl Report {
    /// Why the image did not come to its end.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure.get().cloned()
    }

    /// The digest of what was sent.
    pub(super) fn digest(&self) -> Option<String> {
        self.digest.get().cloned().flatten()
    }

    /// True once the closing bytes have been handed to the connection. They may not have left the machine; to be on the safe side they count as sent.
    pub(super) fn sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }
}

/// The body stops with an error: the connection is broken off and the vendor sees an incomplete request.
#[derive(Debug, thiserror::Error)]
#[error("the image did not come to its end")]
pub(super) struct Broken;

enum Stage {
    Prefix,
    Image,
    Done,
}

pub(super) struct DetectBody<S> {
    stage: Stage,
    chunk: Bytes,
    head: std::vec::IntoIter<Bytes>,
    rest: Option<S>,
    announced: u64,
    /// Bytes of the body still to come.
    left: u64,
    report: Arc<Report>,
    encoder: Encoder,
    /// Until it has been asked for its end.
    digest: Option<StreamDigest>,
}

impl<S> DetectBody<S> {
    pub(super) fn new(image: Inspected<S>, digest: StreamDigest, report: Arc<Report>) -> Self {
        Self {
            stage: Stage::Prefix,
            chunk: Bytes::new(),
            head: image.head.into_iter(),
            rest: image.rest,
            announced: image.bytes,
            left: encode::body_len(image.bytes),
            report,
            encoder: Encoder::default(),
            digest: Some(digest),
        }
    }

    fn give(&mut self, block: Bytes) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.left = self.left.saturating_sub(block.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(block))))
    }

    fn fail(&mut self, failure: Failure) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.stage = Stage::Done;
        // Only the first failure is the cause.
        self.report.failure.get_or_init(|| failure);
        Poll::Ready(Some(Err(Broken)))
    }

    /// Takes the image's last word. Nothing closes the JSON before the digest has seen the end it was promised.
    fn finish(&mut self, digest: StreamDigest) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match digest.finish(self.announced) {
            Ok(digest) => {
                self.report.digest.get_or_init(|| digest);
                self.stage = Stage::Done;
                self.report.sent.store(true, Ordering::Release);
                let end = std::mem::take(&mut self.encoder).finish();
                self.give(end.into())
            }
            Err(failure) => self.fail(failure),
        }
    }
}

impl<S> Body for DetectBody<S>
where
    S: Stream<Item = Result<Bytes, Failure>> + Unpin,
{
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        match &mut this.stage {
            Stage::Done => Poll::Ready(None),
            Stage::Prefix => {
                this.stage = Stage::Image;
                this.give(Bytes::from_static(encode::PREFIX))
            }
            Stage::Image => loop {
                if !this.chunk.is_empty()
                    && let Some(digest) = &mut this.digest
                {
                    let block = this.chunk.split_to(this.chunk.len().min(STEP));
                    digest.chunk(&block);
                    if digest.seen() > this.announced {
                        let message = format!("the store sends more than the {} bytes it announced", this.announced);
                        return this.fail(Failure::new(Code::StoreUnavailable, message));
                    }
                    let encoded = this.encoder.push(&block);
                    if encoded.is_empty() {
                        continue;
                    }
                    return this.give(encoded.into());
                }
                if let Some(chunk) = this.head.next() {
                    this.chunk = chunk;
                    continue;
                }
                let Some(rest) = &mut this.rest else { break this.end() };
                match ready!(Pin::new(rest).poll_next(cx)) {
                    Some(Ok(chunk)) => this.chunk = chunk,
                    Some(Err(failure)) => return this.fail(failure),
                    None => break this.end(),
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl<S> DetectBody<S> {
    fn end(&mut self) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.stage = Stage::Done;
        match self.digest.take() {
            Some(digest) => self.finish(digest),
            None => Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antispoof_core::image::{Facts, Format, Verify};
    use antispoof_core::stream_digest::DigestKind;
    use futures_util::stream;
    use http_body_util::BodyExt as _;

    const FACTS: Facts = Facts::upright(Format::Jpeg, 1, 1);

    fn body(
        announced: u64,
        head: &[u8],
        rest: Vec<Result<Bytes, Failure>>,
    ) -> (DetectBody<impl Stream<Item = Result<Bytes, Failure>> + Unpin>, Arc<Report>) {
        let report = Arc::new(Report::default());
        let image = Inspected {
            head: head.chunks(3).map(Bytes::copy_from_slice).collect(),
            rest: Some(stream::iter(rest)),
            bytes: announced,
            checksum: None,
            facts: FACTS,
        };
        let digest = StreamDigest::new(DigestKind::Sha256, Verify::Structure, &FACTS);
        (DetectBody::new(image, digest, report.clone()), report)
    }

    #[tokio::test]
    async fn the_body_is_as_long_as_announced_and_says_when_it_is_sent() {
        let image: Vec<u8> = [vec![7; 200_000], vec![0xFF, 0xD9]].concat();
        let rest = image[10..].chunks(1234).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let (mut body, report) = body(image.len() as u64, &image[..10], rest);
        let mut sent = Vec::new();
        while let Some(frame) = body.frame().await {
            let data = frame.expect("whole").into_data().expect("data");
            sent.extend_from_slice(&data);
            let left = encode::body_len(image.len() as u64) - sent.len() as u64;
            assert_eq!(body.size_hint().exact(), Some(left));
            assert_eq!(report.sent(), left == 0, "sent means all of it");
        }
        assert!(sent.starts_with(encode::PREFIX) && sent.ends_with(encode::SUFFIX));
        assert!(report.digest().expect("a digest").starts_with("sha256:"));
    }

    #[tokio::test]
    async fn a_broken_download_never_closes_the_json() {
        let cut = Failure::new(Code::StoreUnavailable, "cut");
        for (announced, rest, code) in [
            (100, vec![Ok(Bytes::from_static(&[1; 50])), Err(cut)], Code::StoreUnavailable),
            (100, vec![Ok(Bytes::from_static(&[1; 50]))], Code::StoreUnavailable),
            (10, vec![Ok(Bytes::from_static(&[1; 50]))], Code::StoreUnavailable),
            (54, vec![Ok(Bytes::from_static(&[1; 50]))], Code::ImageCorrupt),
        ] {
            let (body, report) = body(announced, &[2; 4], rest);
            let mut body = Box::pin(body);
            let mut sent = Vec::new();
            let broken = loop {
                match body.frame().await {
                    Some(Ok(frame)) => sent.extend_from_slice(&frame.into_data().expect("data")),
                    Some(Err(_)) => break true,
                    None => break false,
                }
            };
            assert!(broken && !report.sent() && !sent.ends_with(encode::SUFFIX));
            assert_eq!(report.failure().expect("a cause").code(), code);
        }
    }
}
