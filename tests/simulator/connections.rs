//! How a connection is ended, refused or stopped by the server, as real ones do.

use std::time::{Duration, Instant};

use antispoofd::simulator::Stats;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use serde_json::json;
use tokio::net::TcpStream;

use crate::client::{FACE, PHOTO, Sim, body, digest, http2, json_of, within};

/// An HTTP/2 client that looks at every answer itself.
struct Http2 {
    requests: SendRequest<Bytes>,
    url: String,
}

impl Http2 {
    async fn to(sim: &Sim) -> Self {
        let address = sim.base.strip_prefix("http://").expect("an http url");
        let stream = TcpStream::connect(address).await.expect("connect");
        let (requests, connection) = h2::client::handshake(stream).await.expect("shake hands");
        tokio::spawn(connection);
        Self { requests, url: sim.url.clone() }
    }

    async fn send(&mut self, image: &[u8]) -> Result<ResponseFuture, h2::Error> {
        let request =
            http::Request::post(&self.url).header("content-type", "application/json").body(()).expect("a request");
        let mut requests = self.requests.clone().ready().await?;
        let (answer, mut stream) = requests.send_request(request, false)?;
        stream.send_data(body(image).into(), true)?;
        Ok(answer)
    }

    async fn status(&mut self, image: &[u8]) -> Result<u16, h2::Error> {
        let answer = self.send(image).await?;
        within("the answer", answer).await.map(|response| response.status().as_u16())
    }
}

fn fault(stats: &Stats, name: &str) -> u64 {
    stats.by_fault.get(name).copied().unwrap_or(0)
}

#[tokio::test]
async fn a_refused_stream_is_no_call_and_leaves_the_connection_whole() {
    let sim = Sim::failing("refused-stream=x2").await;
    let mut client = Http2::to(&sim).await;
    for _ in 0..2 {
        let error = client.status(PHOTO).await.unwrap_err();
        assert!(error.is_reset() && error.is_remote(), "{error}");
        assert_eq!(error.reason(), Some(h2::Reason::REFUSED_STREAM));
    }
    assert_eq!(client.status(PHOTO).await.unwrap(), 200);
    let stats = sim.handle.totals();
    assert_eq!((stats.calls, stats.billed, stats.aborted_bodies, stats.connections), (1, 1, 0, 1));
    assert_eq!(fault(&stats, "refused-stream"), 2);

    // HTTP/1.1 has nothing like it.
    sim.change(json!({ "faults": "refused-stream=x1" }));
    sim.post(PHOTO).await.unwrap_err();
    assert_eq!(sim.until("its end", |stats| stats.in_flight == 0).await.calls, 1);
}

#[tokio::test]
async fn after_its_requests_a_connection_goes_away_and_knows_nothing_of_later_streams() {
    let sim = Sim::open().await;
    sim.change(json!({ "max_requests": 3, "latency": "300ms" }));
    let mut client = Http2::to(&sim).await;
    assert_eq!(client.status(PHOTO).await.unwrap(), 200);
    let mut answers = Vec::new();
    for image in [PHOTO, PHOTO, FACE, FACE] {
        answers.push(client.send(image).await.unwrap());
    }
    for (number, answer) in answers.into_iter().enumerate() {
        let answer = within("an end", answer).await;
        if number < 2 {
            assert_eq!(answer.unwrap().status(), 200, "request {number} came in time");
            continue;
        }
        let error = answer.unwrap_err();
        assert!(error.is_go_away() && error.is_remote(), "request {number}: {error:?}");
        assert_eq!(error.reason(), Some(h2::Reason::NO_ERROR));
    }
    assert!(client.status(PHOTO).await.is_err(), "nothing more on this connection");
    let stats = sim.until("its end", |stats| stats.open_connections == 0).await;
    assert_eq!((stats.calls, stats.billed, stats.aborted_bodies), (3, 3, 0));
    assert_eq!(fault(&stats, "goaway"), 1);
    assert!(!sim.handle.stats().images.unwrap().contains_key(&digest(FACE)), "what came later was never looked at");
}

#[tokio::test]
async fn a_client_that_reads_goaway_opens_another_connection_and_loses_nothing() {
    let sim = Sim::open().await;
    sim.change(json!({ "max_requests": 5 }));
    let http = http2();
    for _ in 0..23 {
        let response = http.post(&sim.url).header("content-type", "application/json").body(body(FACE)).send().await;
        assert_eq!(response.unwrap().status(), 200);
    }
    let stats = sim.handle.totals();
    assert_eq!((stats.calls, stats.billed, stats.connections, fault(&stats, "goaway")), (23, 23, 5, 4));
}

#[tokio::test]
async fn a_large_body_passes_where_frames_are_watched() {
    let sim = Sim::open().await;
    sim.change(json!({ "max_requests": 2 }));
    let mut photo = PHOTO.to_vec();
    photo.resize(6_000_000, 0x55);
    let http = http2();
    let send = || http.post(&sim.url).header("content-type", "application/json").body(body(&photo)).send();
    let answers = tokio::join!(send(), send());
    for response in [answers.0, answers.1] {
        assert_eq!(response.unwrap().status(), 200);
    }
    assert_eq!(sim.handle.stats().images.unwrap()[&digest(&photo)].billed, 2);
}

#[tokio::test]
async fn over_http_1_the_last_answer_closes_the_connection() {
    let sim = Sim::open().await;
    sim.change(json!({ "max_requests": 2 }));
    for last in [false, true, false, true] {
        let response = sim.post(PHOTO).await.unwrap();
        assert_eq!(response.headers().get("connection").is_some_and(|value| value == "close"), last);
        json_of(response).await;
    }
    assert_eq!(sim.handle.totals().connections, 2);
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_what_is_announced_need_not_be_true() {
    let sim = Sim::open().await;
    sim.change(json!({ "idle_timeout": "400ms", "keep_alive": "5s", "latency": "600ms" }));
    let start = Instant::now();
    let mut raw = sim.raw().await;
    raw.send_head(&format!("content-length: {}\r\n", body(PHOTO).len())).await;
    raw.send(body(PHOTO)).await;
    let answer = raw.read_to_end().await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\r\nkeep-alive: timeout=5\r\n"), "{answer}");
    assert!(start.elapsed() >= Duration::from_secs(1), "closed behind the answer, not under the call");
    // One without any request is idle, too; so is an HTTP/2 connection, which is told.
    sim.raw().await.read_to_end().await.unwrap();
    let mut client = Http2::to(&sim).await;
    assert_eq!(client.status(PHOTO).await.unwrap(), 200);
    let stats = sim.until("the last close", |stats| stats.connections == 3 && stats.open_connections == 0).await;
    assert_eq!(stats.calls, 2);
}

#[tokio::test]
async fn the_idle_time_can_change_under_an_idle_connection() {
    let sim = Sim::open().await;
    let mut raw = sim.raw().await;
    sim.until("the connection", |stats| stats.open_connections == 1).await;
    sim.change(json!({ "idle_timeout": "1h" }));
    sim.change(json!({ "idle_timeout": "10ms" }));
    raw.read_to_end().await.unwrap();
}

#[tokio::test]
async fn a_hanging_connection_hangs_as_a_whole_and_goes_on_when_told() {
    let sim = Sim::failing("hang-connection=x1").await;
    let mut hanging = Http2::to(&sim).await;
    let first = hanging.send(PHOTO).await.unwrap();
    sim.until("the hang", |stats| fault(stats, "hang-connection") == 1).await;
    let second = hanging.send(FACE).await.unwrap();
    // Others are served meanwhile, on connections of their own.
    assert_eq!(Http2::to(&sim).await.status(PHOTO).await.unwrap(), 200);
    assert_eq!(sim.post(PHOTO).await.unwrap().status(), 200);
    let stats = sim.handle.totals();
    assert_eq!(
        (stats.calls, stats.in_flight),
        (2, 1),
        "of the second request on the hanging connection nothing is known"
    );

    sim.change(json!({ "faults": "" }));
    assert_eq!(within("the first answer", first).await.unwrap().status(), 200);
    assert_eq!(within("the second answer", second).await.unwrap().status(), 200);
    assert_eq!(sim.handle.totals().billed, 4);
}

#[tokio::test]
async fn a_hang_ends_after_its_time_and_the_books_are_right() {
    let sim = Sim::failing("hang-connection=x1").await;
    sim.change(json!({ "hang_time": "2s" }));
    let mut raw = sim.raw().await;
    raw.send_head(&format!("content-length: {}\r\n", body(PHOTO).len())).await;
    raw.send(body(PHOTO)).await;
    sim.until("the hang", |stats| fault(stats, "hang-connection") == 1).await;
    drop(raw);
    let stats = sim.until("its end", |stats| stats.open_connections == 0).await;
    // Whether the body or the client's leaving is read first is the server's affair; what is read is counted once.
    assert_eq!((stats.calls + stats.aborted_bodies, stats.in_flight), (1, 0));
    assert_eq!((stats.billed, stats.abandoned), (stats.calls, stats.calls));
}

#[tokio::test]
async fn a_stop_ends_a_hang() {
    let sim = Sim::failing("hang-connection=x1").await;
    let call = tokio::spawn(sim.request(body(PHOTO)).send());
    sim.until("the hang", |stats| fault(stats, "hang-connection") == 1).await;
    sim.stop.cancel();
    assert_eq!(within("the answer", call).await.unwrap().unwrap().status(), 200);
    within("the end", sim.task).await.unwrap();
}
