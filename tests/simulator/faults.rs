//! Each fault as a client sees it, and what is billed for it.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant, SystemTime};

use antispoofd::simulator::{ImageCount, Stats};
use flate2::read::{GzDecoder, ZlibDecoder};
use serde_json::{Value, json};

use crate::client::{PHOTO, Sim, body, digest, json_of, refusal};

/// One call was made; was it billed, and under which name is the fault counted?
fn assert_one(stats: &Stats, billed: u64, fault: &str) {
    assert_eq!((stats.calls, stats.billed), (1, billed), "{fault}");
    assert_eq!(stats.by_fault, [(fault.to_owned(), 1)].into());
    let garbled = u64::from(["garbage", "garbage-json", "empty", "truncated"].contains(&fault));
    let counted = ImageCount { calls: 1, billed, garbled };
    assert_eq!(stats.images.as_ref().expect("images")[&digest(PHOTO)], counted, "{fault}");
}

#[tokio::test]
async fn a_status_is_answered_and_not_billed() {
    for status in [
        301, 302, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 410, 413, 421, 422, 426, 429, 431, 500, 502,
        503, 599,
    ] {
        let sim = Sim::failing(&format!("{status}=100%")).await;
        let response = sim.post(PHOTO).await.unwrap();
        let location = response.headers().get("location").map(|value| value.to_str().unwrap());
        assert_eq!(location, (status < 400).then_some("/moved"));
        assert_eq!(refusal(response).await.0, status);
        let stats = sim.handle.stats();
        assert_one(&stats, 0, &status.to_string());
        assert_eq!((stats.rejected, stats.by_status), (0, [(status, 1)].into()));
    }
}

#[tokio::test]
async fn too_many_says_when_to_come_back_in_either_form() {
    let sim = Sim::failing("429=100%").await;
    sim.change(json!({ "retry_after": "1500ms" }));
    assert_eq!(sim.post(PHOTO).await.unwrap().headers()["retry-after"], "2");

    sim.change(json!({ "retry_after": "90s", "retry_after_form": "date" }));
    let before = SystemTime::now();
    let response = sim.post(PHOTO).await.unwrap();
    let text = response.headers()["retry-after"].to_str().unwrap();
    assert!(text.ends_with(" GMT"), "{text}");
    let format = time::format_description::well_known::Rfc2822;
    let then: SystemTime = time::OffsetDateTime::parse(&text.replace("GMT", "+0000"), &format).unwrap().into();
    let ahead = then.duration_since(before).unwrap();
    assert!((90..=95).contains(&ahead.as_secs()), "{ahead:?}");
}

#[tokio::test]
async fn a_reset_before_the_body_is_no_call() {
    let sim = Sim::failing("reset-before=100%").await;
    let mut raw = sim.raw().await;
    raw.send_head("content-length: 1000\r\n").await;
    assert_eq!(raw.read_to_end().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let stats = sim.until("nothing in flight", |stats| stats.in_flight == 0).await;
    assert_eq!((stats.calls, stats.billed, stats.aborted_bodies, stats.rejected), (0, 0, 0, 0));
    assert_eq!(stats.by_fault, [("reset-before".to_owned(), 1)].into());
}

#[tokio::test]
async fn a_reset_after_the_body_is_billed() {
    let sim = Sim::failing("reset-after=100%").await;
    let mut raw = sim.raw().await;
    raw.send_head(&format!("content-length: {}\r\n", body(PHOTO).len())).await;
    raw.send(body(PHOTO)).await;
    assert_eq!(raw.read_to_end().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    sim.until("nothing in flight", |stats| stats.in_flight == 0).await;
    let stats = sim.handle.stats();
    assert_one(&stats, 1, "reset-after");
    assert_eq!((stats.abandoned, stats.by_status.len()), (0, 0));
}

#[tokio::test]
async fn a_hang_is_billed_and_released_when_the_client_leaves() {
    let sim = Sim::failing("hang=100%").await;
    let mut raw = sim.raw().await;
    raw.send_head(&format!("content-length: {}\r\n", body(PHOTO).len())).await;
    raw.send(body(PHOTO)).await;
    let stats = sim.until("the call", |stats| stats.calls == 1).await;
    assert_eq!((stats.in_flight, stats.open_connections), (1, 1));
    drop(raw);
    sim.until("the release", |stats| stats.in_flight == 0 && stats.open_connections == 0).await;
    let stats = sim.handle.stats();
    assert_one(&stats, 1, "hang");
    assert_eq!(stats.abandoned, 1);
}

#[tokio::test]
async fn a_slow_answer_is_right_and_slow() {
    let sim = Sim::open().await;
    let expected = json_of(sim.post(PHOTO).await.unwrap()).await;
    sim.handle.reset();
    sim.change(json!({ "faults": "slow=100%", "slow_interval": "2ms" }));
    let start = Instant::now();
    let response = sim.post(PHOTO).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(json_of(response).await, expected);
    let least = Duration::from_millis(2) * u32::try_from(expected.to_string().len()).unwrap();
    assert!(start.elapsed() >= least, "{:?}", start.elapsed());
    assert_one(&sim.handle.stats(), 1, "slow");
}

/// The three shapes that a legal answer may have and that surprise clients: nobody asked for them.
#[tokio::test]
async fn an_encoded_answer_or_one_behind_a_mark_is_the_right_one() {
    let sim = Sim::open().await;
    let expected = sim.post(PHOTO).await.unwrap().bytes().await.unwrap().to_vec();
    let marked = [b"\xef\xbb\xbf".as_slice(), &expected].concat();
    for (kind, encoding, plain) in [
        ("gzip", Some("gzip"), &expected),
        ("deflate", Some("deflate"), &expected),
        ("gzip-bom", Some("gzip"), &marked),
        ("bom", None, &marked),
    ] {
        sim.handle.reset();
        sim.change(json!({ "faults": format!("{kind}=x1") }));
        let response = sim.post(PHOTO).await.unwrap();
        assert_eq!(response.status(), 200);
        let said = response.headers().get("content-encoding").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(said.as_deref(), encoding, "{kind}");
        let length = response.content_length();
        let sent = response.bytes().await.unwrap();
        assert_eq!(length, Some(sent.len() as u64));
        let mut read = Vec::new();
        match encoding {
            None => read.extend_from_slice(&sent),
            Some("gzip") => drop(GzDecoder::new(&sent[..]).read_to_end(&mut read).unwrap()),
            Some(_) => drop(ZlibDecoder::new(&sent[..]).read_to_end(&mut read).unwrap()),
        }
        assert_eq!(&read, plain, "{kind}");
        assert_one(&sim.handle.stats(), 1, kind);
    }
}

#[tokio::test]
async fn many_headers_are_more_than_common_parsers_take() {
    let sim = Sim::failing("many-headers=100%").await;
    let mut raw = sim.raw().await;
    raw.send_head(&format!("connection: close\r\ncontent-length: {}\r\n", body(PHOTO).len())).await;
    raw.send(body(PHOTO)).await;
    let answer = raw.read_to_end().await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.matches("\r\nx-filling-").count() == 150, "{answer}");
    assert!(answer.contains("\r\n\r\n{\"spoof_detected\""), "{answer}");
    assert_one(&sim.handle.stats(), 1, "many-headers");
}

#[tokio::test]
async fn a_rate_limiter_s_headers_are_on_every_answer() {
    let sim = Sim::failing("429=x1,503=x1").await;
    sim.change(
        json!({ "retry_after": "30s", "retry_after_form": "none", "rate_headers": "draft-6", "rate_limit": 0.001 }),
    );
    // The first call has room, the second has none.
    for (status, left, reset) in [(429, "0", Some("30")), (429, "0", None)] {
        let response = sim.post(PHOTO).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["ratelimit-remaining"], left);
        if let Some(reset) = reset {
            assert_eq!(response.headers()["ratelimit-reset"], reset);
        }
        assert!(!response.headers().contains_key("retry-after"));
    }
    sim.change(json!({ "rate_limit": 0, "rate_headers": "legacy", "retry_after_on": "503" }));
    let response = sim.post(PHOTO).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-ratelimit-remaining"]),
        (503, &"0".parse().unwrap())
    );
    let response = sim.post(PHOTO).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-ratelimit-remaining"]),
        (200, &"42".parse().unwrap())
    );
}

#[tokio::test]
async fn garbage_is_200_and_no_verdict() {
    let sim = Sim::failing("garbage=100%").await;
    let response = sim.post(PHOTO).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    assert!(response.text().await.unwrap().starts_with("<!DOCTYPE html>"));
    assert_one(&sim.handle.stats(), 1, "garbage");

    let sim = Sim::failing("garbage-json=100%").await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..60 {
        let value: Value = json_of(sim.post(PHOTO).await.unwrap()).await;
        assert!(!(value["spoof_detected"].is_boolean() && value["accuracy"].is_number()), "{value}");
        seen.insert(value.to_string());
    }
    assert!(seen.contains(r#"{"accuracy":0.98,"spoof_detected":"false"}"#) && seen.len() > 4, "{seen:?}");

    let sim = Sim::failing("empty=100%").await;
    let response = sim.post(PHOTO).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.bytes().await.unwrap().len(), 0);
    assert_one(&sim.handle.stats(), 1, "empty");
}

#[tokio::test]
async fn a_truncated_answer_is_shorter_than_announced() {
    let sim = Sim::failing("truncated=100%").await;
    let mut raw = sim.raw().await;
    raw.send_head(&format!("content-length: {}\r\n", body(PHOTO).len())).await;
    raw.send(body(PHOTO)).await;
    let answer = raw.read_to_end().await.unwrap();
    let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let announced = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    assert!(rest.starts_with("{\"spoof") && rest.len() < announced.parse().unwrap(), "{announced}: {rest}");
    let error = sim.post(PHOTO).await.unwrap().bytes().await.unwrap_err();
    assert!(error.is_body() || error.is_decode(), "{error:?}");
    assert_eq!(sim.handle.totals().billed, 2);
}

#[tokio::test]
async fn counted_faults_hit_the_next_calls_and_no_more() {
    let sim = Sim::failing("503=x3,429=x1").await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(sim.post(PHOTO).await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [503, 503, 503, 429, 200, 200]);
    // A wrong body spends none.
    sim.change(json!({ "faults": "500=x1" }));
    assert_eq!(sim.request("{}").send().await.unwrap().status(), 400);
    assert_eq!(sim.post(PHOTO).await.unwrap().status(), 500);
    assert_eq!(sim.post(PHOTO).await.unwrap().status(), 200);
}

#[tokio::test]
async fn shares_come_out_as_asked_and_the_same_for_the_same_seed() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let sim = Sim::failing("503=30%,422=20%").await;
        let mut statuses = Vec::new();
        for _ in 0..300 {
            statuses.push(sim.post(&tiny()).await.unwrap().status().as_u16());
        }
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
    let share = |status| runs[0].iter().filter(|&&got| got == status).count();
    assert!((65..115).contains(&share(503)), "{}", share(503));
    assert!((40..80).contains(&share(422)), "{}", share(422));
}

/// A JPEG of one pixel, as far as markers go.
fn tiny() -> Vec<u8> {
    let frame = b"\xff\xc0\0\x0b\x08\0\x01\0\x01\x01\x01\x11\0";
    [b"\xff\xd8\xff\xdb\0\x43\0", &[1; 64][..], frame, b"\xff\xda\0\x08\x01\x01\0\0?\0\xff\xd9"].concat()
}
