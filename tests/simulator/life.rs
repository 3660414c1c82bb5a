//! Connections: how they begin, carry several calls, break and end.

use std::time::Duration;

use antispoofd::simulator::{Auth, Options};
use serde_json::json;

use crate::client::{PHOTO, Sim, body, json_of, within};

#[tokio::test]
async fn a_body_that_breaks_off_is_neither_called_nor_billed() {
    let sim = Sim::open().await;
    let text = body(PHOTO);
    for (number, keep) in [1, 5, 40, text.len() / 2, text.len() - 1].into_iter().enumerate() {
        let mut raw = sim.raw().await;
        raw.send_head(&format!("content-length: {}\r\n", text.len())).await;
        raw.send(&text[..keep]).await;
        sim.until("its arrival", |stats| stats.in_flight == 1).await;
        if number % 2 == 0 {
            raw.stream.set_zero_linger().unwrap();
        }
        drop(raw);
        sim.until("the abort", |stats| stats.aborted_bodies == number as u64 + 1 && stats.in_flight == 0).await;
    }
    let stats = sim.handle.stats();
    assert_eq!((stats.calls, stats.billed, stats.rejected, stats.abandoned), (0, 0, 0, 0));
    assert_eq!(stats.images.unwrap().len(), 0);
}

#[tokio::test]
async fn a_chunked_body_without_its_last_chunk_is_aborted_though_its_json_is_whole() {
    let sim = Sim::open().await;
    let mut raw = sim.raw().await;
    raw.send_head("transfer-encoding: chunked\r\n").await;
    raw.send(format!("{:x}\r\n{}\r\n", body(PHOTO).len(), body(PHOTO))).await;
    drop(raw);
    let stats = sim.until("the abort", |stats| stats.aborted_bodies == 1).await;
    assert_eq!((stats.calls, stats.billed), (0, 0));
}

#[tokio::test]
async fn a_body_that_stops_coming_is_408_and_not_called() {
    let sim = Sim::start(Options { body_idle: Duration::from_millis(300), ..Options::new(Auth::Open) }).await;
    let mut raw = sim.raw().await;
    raw.send_head("content-length: 1000\r\n").await;
    raw.send("{\"img\"").await;
    assert!(raw.read_head().await.starts_with("HTTP/1.1 408 "));
    let stats = sim.handle.totals();
    assert_eq!((stats.calls, stats.rejected), (0, 1));
}

#[tokio::test]
async fn a_client_that_says_nothing_or_half_a_head_is_let_go() {
    let sim = Sim::start(Options { header_timeout: Duration::from_millis(300), ..Options::new(Auth::Open) }).await;
    for beginning in ["", "P", "POST /ai/v1/face-verification/detect-spoof HTTP/1.1\r\nhost:"] {
        let mut raw = sim.raw().await;
        raw.send(beginning).await;
        raw.read_to_end().await.unwrap();
        sim.until("the close", |stats| stats.open_connections == 0).await;
    }
    assert_eq!(sim.handle.totals().connections, 3);
}

#[tokio::test]
async fn a_connection_carries_several_calls() {
    let sim = Sim::open().await;
    for _ in 0..5 {
        json_of(sim.post(PHOTO).await.unwrap()).await;
    }
    let stats = sim.handle.totals();
    assert_eq!((stats.connections, stats.calls), (1, 5));
}

#[tokio::test]
async fn http_2_works_for_clients_that_begin_with_it() {
    let sim = Sim::open().await;
    let http = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let send = || http.post(&sim.url).header("content-type", "application/json").body(body(PHOTO)).send();
    let response = send().await.unwrap();
    assert_eq!((response.version(), response.status()), (reqwest::Version::HTTP_2, reqwest::StatusCode::OK));
    sim.change(json!({ "faults": "reset-after=x1" }));
    within("the reset", send()).await.unwrap_err();
    assert_eq!(send().await.unwrap().status(), 200);
    assert_eq!(sim.handle.totals().billed, 3);
}

#[tokio::test]
async fn the_most_calls_at_once_are_counted() {
    let sim = Sim::open().await;
    sim.change(json!({ "faults": "hang=x7" }));
    let calls: Vec<_> = (0..7).map(|_| tokio::spawn(sim.request(body(PHOTO)).send())).collect();
    sim.until("seven at once", |stats| stats.calls == 7).await;
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    sim.until("their release", |stats| stats.in_flight == 0).await;
    json_of(sim.post(PHOTO).await.unwrap()).await;
    let stats = sim.handle.totals();
    assert_eq!((stats.max_in_flight, stats.calls, stats.abandoned), (7, 8, 7));
}

#[tokio::test]
async fn a_stop_answers_what_is_in_flight_and_releases_what_hangs() {
    let sim = Sim::open().await;
    sim.change(json!({ "faults": "hang=x1" }));
    let hanging = tokio::spawn(sim.request(body(PHOTO)).send());
    sim.until("the hang", |stats| stats.calls == 1).await;
    sim.change(json!({ "latency": "300ms" }));
    let answered = tokio::spawn(sim.request(body(PHOTO)).send());
    sim.until("the call", |stats| stats.calls == 2).await;
    let mut idle = sim.raw().await;
    sim.until("the idle connection", |stats| stats.open_connections == 3).await;
    sim.stop.cancel();
    assert_eq!(within("the answer", answered).await.unwrap().unwrap().status(), 200);
    within("the release", hanging).await.unwrap().unwrap_err();
    idle.read_to_end().await.unwrap();
    within("the end", sim.task).await.unwrap();
    assert_eq!(sim.handle.totals().open_connections, 0);
}

#[tokio::test]
async fn a_stop_cuts_off_what_takes_longer_than_the_drain_time() {
    let sim = Sim::start(Options { drain: Duration::from_millis(50), ..Options::new(Auth::Open) }).await;
    sim.change(json!({ "latency": "1h" }));
    let call = tokio::spawn(sim.request(body(PHOTO)).send());
    sim.until("the call", |stats| stats.calls == 1).await;
    sim.stop.cancel();
    within("the end", sim.task).await.unwrap();
    within("the cut", call).await.unwrap().unwrap_err();
    let stats = sim.handle.totals();
    assert_eq!((stats.billed, stats.abandoned, stats.open_connections), (1, 1, 0));
}
