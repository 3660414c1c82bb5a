//! What is accepted, what is refused and with which status.

use antispoofd::simulator::{Auth, ImageCount, Options};
use jsonwebtoken::Algorithm::{HS256, HS384};
use serde_json::{Value, json};

use crate::client::{FACE, PHOTO, SECRET, Sim, body, claims, digest, in_an_hour, json_of, refusal, sign, token};

#[tokio::test]
async fn a_documented_request_gets_a_verdict_that_depends_on_the_image_only() {
    let sim = Sim::with_keys().await;
    let mut verdicts = Vec::new();
    for image in [PHOTO, FACE, PHOTO] {
        let response = sim.request(body(image)).header("authorization", token()).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert!(response.headers()["x-request-id"].to_str().unwrap().starts_with("sim-"));
        let verdict = json_of(response).await;
        assert_eq!(verdict.as_object().unwrap().len(), 2);
        assert!(verdict["spoof_detected"].is_boolean());
        assert!((0.5..1.0).contains(&verdict["accuracy"].as_f64().unwrap()));
        verdicts.push(verdict);
    }
    assert_eq!(verdicts[0], verdicts[2]);
    assert_ne!(verdicts[0], verdicts[1]);

    let elsewhere = Sim::start(Options { seed: 7, ..Options::new(Auth::Open) }).await;
    assert_eq!(json_of(elsewhere.post(PHOTO).await.unwrap()).await, verdicts[0]);

    let stats = sim.handle.stats();
    assert_eq!((stats.calls, stats.billed, stats.rejected), (3, 3, 0));
    assert_eq!(stats.by_status, [(200, 3)].into());
    let images = stats.images.unwrap();
    assert_eq!(images[&digest(PHOTO)], ImageCount { calls: 2, billed: 2, garbled: 0 });
    assert_eq!(images[&digest(FACE)], ImageCount { calls: 1, billed: 1, garbled: 0 });
    assert_eq!(images.len(), 2);
}

#[tokio::test]
async fn every_fault_of_a_token_is_refused_with_its_reason() {
    let sim = Sim::with_keys().await;
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        sign(&claims, SECRET, HS256)
    };
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        sign(&claims, SECRET, HS256)
    };
    let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.e30.".to_owned();
    for (token, status, reason) in [
        (format!("Bearer {}", token()), 401, "by itself, without"),
        (format!("basic {}", token()), 401, "by itself, without"),
        (format!("JWT {}", token()), 401, "by itself"),
        (String::new(), 401, "missing"),
        ("test-key".to_owned(), 401, "not a JWT"),
        (unsigned, 401, "not a JWT"),
        (sign(&claims(), SECRET, HS384), 401, "not HS256"),
        (sign(&claims(), "other", HS256), 401, "signature"),
        (sign(&claims(), "test-secret\n", HS256), 401, "signature"),
        (with("apikey", json!("other")), 401, "apikey"),
        (without("apikey"), 401, "apikey"),
        (with("exp", json!(in_an_hour() - 3601)), 401, "Token is expired"),
        (with("exp", json!(in_an_hour() * 1000)), 401, "milliseconds"),
        (with("exp", json!(in_an_hour().to_string())), 401, "whole number"),
        (without("exp"), 401, "whole number"),
        (with("version", json!("2")), 403, "version"),
        (with("version", json!(1)), 403, "version"),
        (without("version"), 403, "version"),
        (with("roles", json!(["rtc"])), 403, "rtc"),
        (with("roles", json!(["crawler", "rtc"])), 403, "rtc"),
        (without("roles"), 403, "crawler"),
    ] {
        let response = sim.request(body(PHOTO)).header("authorization", &token).send().await.unwrap();
        let (got, message) = refusal(response).await;
        assert_eq!(got, status, "{token}: {message}");
        assert!(message.contains(reason), "{token}: {message}");
    }
    assert_eq!(refusal(sim.post(PHOTO).await.unwrap()).await.0, 401);
    let twice = sim.request(body(PHOTO)).header("authorization", token()).header("authorization", token());
    assert_eq!(refusal(twice.send().await.unwrap()).await.0, 401);

    let upper_case =
        sim.request(body(PHOTO)).header("authorization", with("roles", json!(["CRAWLER"]))).send().await.unwrap();
    assert_eq!(upper_case.status(), 200);
    let stats = sim.handle.stats();
    assert_eq!((stats.calls, stats.billed, stats.rejected), (1, 1, 23));
    assert_eq!(stats.by_status, [(200, 1), (401, 17), (403, 6)].into());
}

#[tokio::test]
async fn a_configured_token_is_compared_and_nothing_else() {
    let sim = Sim::start(Options::new(Auth::Token("ready-made".to_owned().into()))).await;
    let send = |token: &'static str| sim.request(body(PHOTO)).header("authorization", token).send();
    assert_eq!(send("ready-made").await.unwrap().status(), 200);
    assert_eq!(refusal(send("ready-Made").await.unwrap()).await.0, 401);
    assert_eq!(refusal(send("Bearer ready-made").await.unwrap()).await.0, 401);
}

#[tokio::test]
async fn path_method_and_content_are_checked() {
    let sim = Sim::open().await;
    let elsewhere = format!("{}/ai/v1/face-verification/verify", sim.base);
    assert_eq!(refusal(sim.http.post(elsewhere).body("{}").send().await.unwrap()).await.0, 404);

    let put = sim.http.put(&sim.url).body(body(PHOTO)).send().await.unwrap();
    assert_eq!(put.headers()["allow"], "POST");
    assert_eq!(refusal(put).await.0, 405);
    assert_eq!(refusal(sim.http.get(&sim.url).send().await.unwrap()).await.0, 405);

    for content_type in ["text/plain", "application/jsonx", "image/jpeg", ""] {
        let response =
            sim.http.post(&sim.url).header("content-type", content_type).body(body(PHOTO)).send().await.unwrap();
        assert_eq!(refusal(response).await.0, 415, "{content_type}");
    }
    assert_eq!(refusal(sim.http.post(&sim.url).body(body(PHOTO)).send().await.unwrap()).await.0, 415);
    assert_eq!(refusal(sim.request(body(PHOTO)).header("content-encoding", "gzip").send().await.unwrap()).await.0, 415);
    let charset = sim.http.post(&sim.url).header("content-type", "Application/JSON; charset=utf-8").body(body(PHOTO));
    assert_eq!(charset.send().await.unwrap().status(), 200);
    let stats = sim.handle.totals();
    assert_eq!((stats.calls, stats.rejected), (1, 9));
}

#[tokio::test]
async fn a_wrong_body_is_400_and_a_wrong_image_422() {
    let sim = Sim::open().await;
    let truncated = &PHOTO[..PHOTO.len() - 2];
    for (body, status, reason) in [
        (String::new(), 400, "the body is empty"),
        ("{}".to_owned(), 400, "at byte 1: the body must begin"),
        (body(PHOTO).replace("jpeg", "png"), 400, "at byte 19: the body must begin"),
        (body(PHOTO).replace("\"}", "\",\"x\":1}"), 400, "the body must end"),
        (body(PHOTO).replace("/9j/", "/9j/\\n"), 400, "a line break"),
        (body(PHOTO) + " ", 400, "something after the closing brace"),
        (body(b"\x89PNG\r\n\x1a\n"), 422, "image could not be decoded"),
        (body(truncated), 422, "image could not be decoded"),
        (body(b""), 422, "image could not be decoded"),
    ] {
        let (got, message) = refusal(sim.request(body).send().await.unwrap()).await;
        assert_eq!(got, status, "{message}");
        assert!(message.contains(reason), "{message}");
    }
    let stats = sim.handle.stats();
    assert_eq!((stats.calls, stats.billed, stats.rejected, stats.aborted_bodies), (0, 0, 9, 0));
    assert_eq!(stats.images.unwrap().len(), 0);
}

#[tokio::test]
async fn a_maker_s_trailer_behind_the_image_is_part_of_it() {
    let sim = Sim::open().await;
    let trailer = [PHOTO, b"\0\0\x01\x0aImage_UTC_Data1700000000000SEFH\0\0\0\0SEFT"].concat();
    let two = [PHOTO, FACE].concat();
    let stray = [&PHOTO[..2], b"\0\x12", &PHOTO[2..]].concat();
    for image in [&trailer, &two, &stray] {
        assert_eq!(sim.post(image).await.unwrap().status(), 200);
        assert_eq!(sim.handle.stats().images.unwrap()[&digest(image)], ImageCount { calls: 1, billed: 1, garbled: 0 });
    }
}

#[tokio::test]
async fn a_body_above_the_limit_is_413_announced_or_not() {
    let limit = body(PHOTO).len() as u64;
    let sim = Sim::start(Options { max_body: limit, ..Options::new(Auth::Open) }).await;
    assert_eq!(sim.post(PHOTO).await.unwrap().status(), 200);
    assert_eq!(refusal(sim.request(body(PHOTO) + " ").send().await.unwrap()).await.0, 413);

    let mut raw = sim.raw().await;
    raw.send_head("transfer-encoding: chunked\r\nconnection: close\r\n").await;
    let text = body(PHOTO) + " ";
    raw.send(format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len())).await;
    assert!(raw.read_to_end().await.unwrap().starts_with("HTTP/1.1 413 "));
    assert_eq!(sim.handle.totals().rejected, 2);
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_can_be_read_by_a_client_that_sends_on() {
    let sim = Sim::with_keys().await;
    let mut raw = sim.raw().await;
    let length = 15 * 1024 * 1024;
    raw.send_head(&format!("content-length: {length}\r\n")).await;
    assert!(raw.read_head().await.starts_with("HTTP/1.1 401 "));
    raw.send(vec![b'x'; length]).await;
    let mut answer = vec![0; 1];
    while answer.last() != Some(&b'}') {
        answer.push(tokio::io::AsyncReadExt::read_u8(&mut raw.stream).await.unwrap());
    }
    // The connection is still good for a call.
    raw.send_head(&format!("authorization: {}\r\ncontent-length: {}\r\n", token(), body(PHOTO).len())).await;
    raw.send(body(PHOTO)).await;
    assert!(raw.read_head().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(sim.handle.totals().connections, 1);
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on_or_refused_before_it_sends() {
    let sim = Sim::with_keys().await;
    let ask = |token: String| {
        format!("authorization: {token}\r\nexpect: 100-continue\r\ncontent-length: {}\r\n", body(PHOTO).len())
    };
    let mut raw = sim.raw().await;
    raw.send_head(&ask(token())).await;
    assert!(raw.read_head().await.starts_with("HTTP/1.1 100 "));
    raw.send(body(PHOTO)).await;
    assert!(raw.read_head().await.starts_with("HTTP/1.1 200 "));

    let mut raw = sim.raw().await;
    raw.send_head(&ask("wrong".to_owned())).await;
    assert!(raw.read_head().await.starts_with("HTTP/1.1 401 "));
}

#[tokio::test]
async fn chunk_boundaries_do_not_matter() {
    let sim = Sim::open().await;
    let expected = sim.post(FACE).await.unwrap().text().await.unwrap();
    let text = body(FACE);
    // Every HTTP chunk reaches the parser by itself: cuts in the JSON, inside groups of four, and in the padding.
    for size in [1000, 1001, 1002, 1003, 29, 31, 33, 64 * 1024] {
        let mut raw = sim.raw().await;
        raw.send_head("transfer-encoding: chunked\r\nconnection: close\r\n").await;
        let mut wire = Vec::new();
        for chunk in text.as_bytes().chunks(size) {
            wire.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
            wire.extend(chunk);
            wire.extend(b"\r\n");
        }
        wire.extend(b"0\r\n\r\n");
        raw.send(wire).await;
        assert!(raw.read_to_end().await.unwrap().ends_with(&expected), "chunks of {size}");
    }
    assert_eq!(sim.handle.stats().images.unwrap()[&digest(FACE)], ImageCount { calls: 9, billed: 9, garbled: 0 });
}
