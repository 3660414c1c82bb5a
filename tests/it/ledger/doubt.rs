//! How many calls may have been paid for without an answer is known to the end, and the vendor can know a call again.

use crate::harness::store::BUCKET;
use crate::harness::wait::{SOON, STARTED, eventually};
use crate::harness::world::World;
use crate::images::jpeg;
use serde_json::json;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

#[tokio::test]
async fn calls_in_doubt_are_counted_across_deliveries_with_and_without_a_ledger() {
    let world = World::new("ledger_doubts").await;
    for backend in ["none", "memory"] {
        let daemon = world
            .daemon()
            .set("ledger.backend", backend)
            .set("retry.max_attempts", "3")
            .set("retry.delays", "1s")
            .start_ready()
            .await;
        world.simulator.reset().await;
        world.simulator.configure(json!({ "faults": "reset-after=x2" })).await;
        let stored = world.upload(&format!("{backend}.jpg"), jpeg::tiny(1)).await;
        let passing = world.submit(&stored.key).await;
        let event = world.event_for(&passing).await;
        assert!(event.outcome().is_some(), "{}", event.json);
        assert_eq!(event.json["data"]["check"]["in_doubt"], 2, "{backend}");

        world.simulator.configure(json!({ "faults": "reset-after=100%" })).await;
        let lasting = world.submit(&stored.key).await;
        let event = world.event_for(&lasting).await;
        assert_eq!((event.failure_code(), &event.json["data"]["check"]["in_doubt"]), (Some("api_in_doubt"), &3.into()));
        // With all that it has in hand: killed between the event and the ack, it would leave the job to the next one.
        daemon.term();
        assert!(daemon.wait_exit(STARTED).await.success());
        world.assert_drained().await;
    }
    let parked = world.broker.parked().await;
    assert!(parked.iter().all(|message| message.headers["as-in-doubt"] == 3), "{:?}", parked[0].headers);
}

#[tokio::test]
async fn every_call_of_a_job_carries_the_same_identity() {
    let world = World::new("ledger_identity").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let heads = Arc::new(Mutex::new(Vec::new()));
    let server = tokio::spawn(refuse_all(listener, heads.clone()));
    let _daemon = world
        .daemon()
        .set("api.url", format!("http://{address}/detect"))
        .set("api.idempotency_header", "Idempotency-Key")
        .start_ready()
        .await;
    let stored = world.upload("face.jpg", jpeg::tiny(1)).await;
    let other = world.upload("other.jpg", jpeg::tiny(2)).await;
    let identities = |count: usize| {
        let heads = heads.clone();
        async move {
            eventually(&format!("{count} calls"), SOON, async || {
                let heads = heads.lock().expect("no panic");
                if heads.len() >= count { Ok(heads.clone()) } else { Err(format!("{}", heads.len())) }
            })
            .await
        }
    };
    world.submit_job(json!({ "bucket": BUCKET, "key": stored.key })).await;
    let first = identities(3).await;
    assert!(first[0].len() == 32 && first.iter().all(|identity| *identity == first[0]), "{first:?}");
    world.submit_job(json!({ "bucket": BUCKET, "key": other.key })).await;
    let both = eventually("a call of the other job", SOON, async || {
        let heads = heads.lock().expect("no panic").clone();
        if heads.iter().any(|identity| *identity != first[0]) { Ok(heads) } else { Err(format!("{heads:?}")) }
    })
    .await;
    let kinds: std::collections::HashSet<_> = both.iter().collect();
    assert_eq!(kinds.len(), 2);
    server.abort();
}

/// Answers 503 to whatever comes, and keeps the identity of each call.
async fn refuse_all(listener: TcpListener, heads: Arc<Mutex<Vec<String>>>) {
    loop {
        let (mut socket, _) = listener.accept().await.expect("a connection");
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            if socket.read_buf(&mut head).await.unwrap_or(0) == 0 {
                break;
            }
        }
        let text = String::from_utf8_lossy(&head).to_lowercase();
        let identity = text.lines().find_map(|line| line.strip_prefix("idempotency-key: "));
        heads.lock().expect("no panic").push(identity.unwrap_or_default().trim().to_owned());
        let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        // The daemon may have hung up on hearing it, or before.
        socket.write_all(answer).await.ok();
    }
}
