//! The client against servers that answer as real ones were seen to.

mod h1;
mod h2;
mod tls;

use super::*;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const SOON: Duration = Duration::from_secs(10);
const OPTIONS: Options = Options {
    connect_timeout: Duration::from_secs(5),
    idle_timeout: Duration::from_mins(1),
    http2: true,
    in_flight: 1,
    proxies: false,
};

/// A body of so many bytes in blocks, as an image is sent.
struct Blocks(usize);

impl http_body::Body for Blocks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        static BLOCK: [u8; 48 * 1024] = [b'x'; 48 * 1024];
        let length = self.0.min(BLOCK.len());
        self.0 -= length;
        Poll::Ready((length > 0).then(|| Ok(http_body::Frame::data(Bytes::from_static(&BLOCK[..length])))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.0 as u64)
    }
}

async fn listening() -> (TcpListener, Uri) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let uri = format!("http://{}/detect", listener.local_addr().expect("it is bound"));
    (listener, uri.parse().expect("a URI"))
}

fn post<B>(uri: &Uri, body: B) -> Request<B> {
    Request::post(uri.clone()).body(body).expect("a request")
}

async fn status_and_body<B: RequestBody>(answer: Result<Response<Body<B>>, SendError>) -> (u16, Bytes) {
    let answer = answer.unwrap_or_else(|error| panic!("no answer: {error}"));
    let status = answer.status().as_u16();
    (status, answer.into_body().collect().await.expect("a body").to_bytes())
}

async fn send<B: RequestBody>(client: &Client<B>, request: Request<B>) -> Result<Response<Body<B>>, SendError> {
    client.send(request, Instant::now() + SOON).await
}
