//! The body of an object, each wait bounded.

use crate::http_client::Body;
use antispoof_core::failure::{Code, Failure};
use bytes::Bytes;
use futures_util::Stream;
use http_body::Body as _;
use http_body_util::Full;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Chunks as they come from the socket. An error is the last item.
pub struct ObjectStream {
    /// What has been read ahead.
    first: Option<Bytes>,
    body: Body<Full<Bytes>>,
    limit: Duration,
    deadline: Pin<Box<Sleep>>,
    waiting: bool,
}

impl ObjectStream {
    /// A body of which each chunk may take `limit`, counted only while it is waited for: our own back-pressure is not the store's fault.
    pub(super) fn new(body: Body<Full<Bytes>>, limit: Duration) -> Self {
        Self { first: None, body, limit, deadline: Box::pin(tokio::time::sleep(limit)), waiting: false }
    }

    /// Gives back what was read of it, to be read again.
    pub(super) fn beginning_with(self, first: Bytes) -> Self {
        Self { first: Some(first).filter(|first| !first.is_empty()), ..self }
    }
}

impl Stream for ObjectStream {
    type Item = Result<Bytes, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(frame) => {
                    self.waiting = false;
                    return Poll::Ready(match frame {
                        Some(Ok(frame)) => match frame.into_data() {
                            Ok(data) if data.is_empty() => continue,
                            Ok(data) => Some(Ok(data)),
                            Err(_trailers) => continue,
                        },
                        Some(Err(_)) => Some(Err(Failure::new(
                            Code::StoreUnavailable,
                            "the store broke off in the middle of the object",
                        ))),
                        None => None,
                    });
                }
                Poll::Pending => {
                    if !self.waiting {
                        self.waiting = true;
                        let at = Instant::now() + self.limit;
                        self.deadline.as_mut().reset(at);
                    }
                    ready!(self.deadline.as_mut().poll(cx));
                    let message = format!("the store sent nothing for {:?}", self.limit);
                    return Poll::Ready(Some(Err(Failure::new(Code::StoreTimeout, message))));
                }
            }
        }
    }
}
