//! The body of an answer. It has its connection, and gives it back at its end.

use super::pool::Lease;
use super::request::RequestBody;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Chunks as they come from the connection.
pub struct Body<B: RequestBody> {
    incoming: Incoming,
    lease: Option<Box<Lease<B>>>,
    incomplete: bool,
}

impl<B: RequestBody> Body<B> {
    pub(super) fn new(incoming: Incoming, lease: Lease<B>, incomplete: bool) -> Self {
        let mut body = Self { incoming, lease: Some(Box::new(lease)), incomplete };
        body.give_back_at_end();
        body
    }

    /// True when the server had not had the whole request when it answered.
    pub fn request_incomplete(&self) -> bool {
        self.incomplete
    }

    fn give_back_at_end(&mut self) {
        if self.incoming.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.done();
        }
    }
}

impl<B: RequestBody> http_body::Body for Body<B> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        match &frame {
            Some(Ok(_)) => self.give_back_at_end(),
            Some(Err(_)) => self.lease = None,
            None => {
                if let Some(lease) = self.lease.take() {
                    lease.done();
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
