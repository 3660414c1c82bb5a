//! Answers that come before the body has been read, and what becomes of the connection.

use std::io::ErrorKind;

use antispoofd::simulator::{Auth, Options};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{PHOTO, Raw, Sim, body, http2, refusal, within};

/// More than the buffers of two sockets hold, so that the client is still writing when the answer is there, and less than the limit of a body.
const LARGE: usize = 16 * 1024 * 1024;

/// Sends a head and as much of a large body as the connection takes, and then reads. Returns how the writing ended, what was read, and how the reading
/// ended.
async fn send_large(raw: &mut Raw) -> (std::io::Result<()>, String, Option<ErrorKind>) {
    raw.send_head(&format!("content-length: {LARGE}\r\n")).await;
    let chunk = vec![b'x'; 64 * 1024];
    let writing = async {
        for _ in 0..LARGE / chunk.len() {
            raw.stream.write_all(&chunk).await?;
        }
        Ok(())
    };
    let written = within("the end of the writing", writing).await;
    let (mut seen, mut part) = (Vec::new(), [0; 4096]);
    let ended = loop {
        match within("the answer", raw.stream.read(&mut part)).await {
            Ok(0) => break None,
            Ok(count) => seen.extend_from_slice(&part[..count]),
            Err(error) => break Some(error.kind()),
        }
    };
    (written, String::from_utf8(seen).expect("text"), ended)
}

#[tokio::test]
async fn an_early_answer_is_there_to_read_though_the_connection_breaks_under_the_writing() {
    for status in [401, 413, 429, 503] {
        let sim = Sim::failing(&format!("early-{status}=100%")).await;
        let (written, seen, _) = send_large(&mut sim.raw().await).await;
        let kind = written.expect_err("the connection is closed while the body is sent").kind();
        assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind}");
        assert!(seen.starts_with(&format!("HTTP/1.1 {status} ")) && seen.ends_with("(injected)\"}"), "{seen}");
        assert!(seen.contains("connection: close\r\n"), "{seen}");
        let stats = sim.until("its end", |stats| stats.in_flight == 0 && stats.open_connections == 0).await;
        assert_eq!((stats.calls, stats.billed, stats.rejected, stats.aborted_bodies), (0, 0, 0, 0));
        assert_eq!(stats.by_fault, [(format!("early-{status}"), 1)].into());
        assert_eq!(stats.by_status, [(status, 1)].into());
    }
}

#[tokio::test]
async fn a_lingering_answer_lets_the_body_come_and_then_closes() {
    let sim = Sim::failing("lingering-413=100%").await;
    let (written, seen, ended) = send_large(&mut sim.raw().await).await;
    written.expect("the body is taken");
    assert!(seen.starts_with("HTTP/1.1 413 ") && seen.contains("connection: close\r\n"), "{seen}");
    assert_eq!(ended, None, "an orderly end");
    let stats = sim.until("its end", |stats| stats.open_connections == 0).await;
    assert_eq!((stats.calls, stats.billed, stats.rejected), (0, 0, 0));
    assert_eq!(stats.by_fault, [("lingering-413".to_owned(), 1)].into());
}

#[tokio::test]
async fn over_http_2_the_answer_ends_the_stream_and_not_the_connection() {
    for kind in ["early", "lingering"] {
        let sim = Sim::failing(&format!("{kind}-503=x1")).await;
        let http = http2();
        let send = |body: String| http.post(&sim.url).header("content-type", "application/json").body(body).send();
        let response = within("the answer", send("x".repeat(4 * 1024 * 1024))).await.unwrap();
        assert_eq!((refusal(response).await.0, sim.handle.totals().calls), (503, 0));
        assert_eq!(send(body(PHOTO)).await.unwrap().status(), 200);
        assert_eq!(sim.handle.totals().connections, 1);
    }
}

#[tokio::test]
async fn a_refusal_of_its_own_closes_the_connection_if_that_is_its_manner() {
    let options = Options::new(Auth::Token("right".to_owned().into()));
    let sim = Sim::start(options).await;
    for (manner, breaks, closes) in [("close", true, true), ("linger", false, true)] {
        sim.change(json!({ "refusal": manner }));
        let (written, seen, _) = send_large(&mut sim.raw().await).await;
        assert_eq!(written.is_err(), breaks, "{manner}");
        assert!(seen.starts_with("HTTP/1.1 401 "), "{manner}: {seen}");
        assert_eq!(seen.contains("connection: close\r\n"), closes, "{manner}");
    }
    // With a body that is there already nothing breaks.
    sim.change(json!({ "refusal": "close" }));
    assert_eq!(refusal(sim.request("{}").send().await.unwrap()).await.0, 401);
    assert_eq!(sim.handle.totals().rejected, 3);
}

#[tokio::test]
async fn early_answers_say_when_to_come_back_where_they_are_asked_to() {
    let sim = Sim::failing("early-503=x1,503=x1,early-429=x1").await;
    sim.change(json!({ "retry_after": "1500ms", "retry_after_form": "fraction", "retry_after_on": "503" }));
    for expected in [Some("1.5"), Some("1.5"), None] {
        let response = sim.post(PHOTO).await.unwrap();
        let value = response.headers().get("retry-after").map(|value| value.to_str().unwrap());
        assert_eq!(value, expected, "{}", response.status());
    }
}
