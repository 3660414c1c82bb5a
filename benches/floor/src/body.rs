//! The body of the call: what the store's socket gives, encoded as it comes.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

const HEAD: &[u8] = br#"{"img":"data:image/jpeg;base64,"#;
const TAIL: &[u8] = br#""}"#;

/// Bytes of the body for an image of `image` bytes.
pub(crate) fn body_len(image: u64) -> u64 {
    HEAD.len() as u64 + image.div_ceil(3) * 4 + TAIL.len() as u64
}

enum At {
    Head,
    Image,
    End,
}

pub(crate) struct Base64Body {
    at: At,
    image: Incoming,
    /// What did not fill a group of three.
    over: Vec<u8>,
    left: u64,
}

impl Base64Body {
    pub(crate) fn new(image: Incoming, length: u64) -> Self {
        Self { at: At::Head, image, over: Vec::with_capacity(3), left: body_len(length) }
    }

    fn give(&mut self, block: Bytes) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.left = self.left.saturating_sub(block.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(block))))
    }

    fn encode(&mut self, mut chunk: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity((self.over.len() + chunk.len()) / 3 * 4);
        if !self.over.is_empty() {
            let (fill, rest) = chunk.split_at(chunk.len().min(3 - self.over.len()));
            self.over.extend_from_slice(fill);
            chunk = rest;
            if self.over.len() == 3 {
                base64_simd::STANDARD.encode_append(&self.over, &mut out);
                self.over.clear();
            }
        }
        let (whole, over) = chunk.split_at(chunk.len() - chunk.len() % 3);
        base64_simd::STANDARD.encode_append(whole, &mut out);
        self.over.extend_from_slice(over);
        out
    }
}

impl Body for Base64Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        match this.at {
            At::Head => {
                this.at = At::Image;
                this.give(Bytes::from_static(HEAD))
            }
            At::Image => loop {
                let Some(frame) = ready!(Pin::new(&mut this.image).poll_frame(cx)) else {
                    this.at = At::End;
                    let mut tail = Vec::with_capacity(4 + TAIL.len());
                    base64_simd::STANDARD.encode_append(&this.over, &mut tail);
                    tail.extend_from_slice(TAIL);
                    break this.give(tail.into());
                };
                let Ok(chunk) = frame?.into_data() else { continue };
                let encoded = this.encode(&chunk);
                if !encoded.is_empty() {
                    break this.give(encoded.into());
                }
            },
            At::End => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.at, At::End)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
