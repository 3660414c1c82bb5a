//! Looking into the simulator and changing it while it runs.

use std::time::{Duration, Instant};

use antispoofd::simulator::Stats;
use serde_json::{Value, json};

use crate::client::{API_KEY, PHOTO, SECRET, Sim, body, digest, json_of, token};

async fn get(sim: &Sim, path: &str) -> Value {
    json_of(sim.http.get(format!("{}/_sim/{path}", sim.base)).send().await.expect("ask")).await
}

async fn put_config(sim: &Sim, change: &Value) -> (u16, Value) {
    let response =
        sim.http.put(format!("{}/_sim/config", sim.base)).body(change.to_string()).send().await.expect("ask");
    (response.status().as_u16(), json_of(response).await)
}

#[tokio::test]
async fn the_counters_can_be_read_and_reset() {
    let sim = Sim::open().await;
    sim.post(PHOTO).await.unwrap();
    let stats: Stats = serde_json::from_value(get(&sim, "stats").await).unwrap();
    assert_eq!(stats, sim.handle.stats());
    assert_eq!((stats.calls, stats.max_in_flight, stats.in_flight), (1, 1, 0));
    let json = get(&sim, "stats").await;
    assert_eq!(json["by_status"], json!({ "200": 1 }));
    assert_eq!(json["images"][digest(PHOTO)], json!({ "calls": 1, "billed": 1 }));
    assert_eq!(get(&sim, "stats?images=false").await.get("images"), None);

    let reset = sim.http.post(format!("{}/_sim/reset", sim.base)).send().await.unwrap();
    assert_eq!(reset.status(), 200);
    let stats = sim.handle.stats();
    assert_eq!((stats.calls, stats.billed, stats.by_status.len(), stats.images.unwrap().len()), (0, 0, 0, 0));
    assert_eq!(get(&sim, "health").await, json!({ "status": "ok" }));
}

#[tokio::test]
async fn a_probe_of_a_worker_s_paths_is_answered_and_not_counted() {
    let sim = Sim::with_keys().await;
    for path in ["livez", "readyz"] {
        let response = sim.http.get(format!("{}/{path}", sim.base)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let response = sim.http.post(format!("{}/{path}", sim.base)).send().await.unwrap();
        assert_eq!(response.status(), 405, "{path}");
    }
    let stats = sim.handle.stats();
    assert_eq!((stats.calls, stats.rejected, stats.by_status.len()), (0, 0, 0));
}

#[tokio::test]
async fn what_the_admin_endpoints_do_not_know_they_refuse() {
    let sim = Sim::open().await;
    for (method, path, status) in [
        ("GET", "nothing", 404),
        ("POST", "stats", 405),
        ("GET", "reset", 405),
        ("POST", "config", 405),
        ("GET", "stats?image=1", 400),
    ] {
        let method = method.parse().unwrap();
        let response = sim.http.request(method, format!("{}/_sim/{path}", sim.base)).send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
    }
    assert_eq!(sim.handle.totals().rejected, 0);
}

#[tokio::test]
async fn the_settings_change_at_run_time_as_a_whole_or_not_at_all() {
    let sim = Sim::open().await;
    let before = get(&sim, "config").await;
    for (change, named) in [
        (json!({ "verdict": "spoof", "latancy": "1s" }), "latancy"),
        (json!({ "verdict": "spoof", "faults": "503=200%" }), "503=200%"),
        (json!({ "verdict": "spoof", "latency": 5 }), "invalid type"),
        (json!({ "verdict": "spoof", "rate_limit": -1 }), "rate limit"),
        (json!({ "verdict": "spoof", "retry_after": "3 days" }), "more than a day"),
        (json!({ "verdict": "spoof", "retry_after_on": "429,ok" }), "`ok`"),
        (json!({ "verdict": "spoof", "rate_headers": "draft-5" }), "draft-5"),
        (json!({ "verdict": "spoof", "refusal": "slam" }), "slam"),
        (json!({ "verdict": "spoof", "max_requests": -1 }), "invalid value"),
        (json!({ "verdict": "spoof", "auth": { "type": "keys", "api_key": "k" } }), "secret"),
        (json!({ "verdict": "spoof", "auth": { "type": "open", "token": "t" } }), "token"),
    ] {
        let (status, answer) = put_config(&sim, &change).await;
        assert_eq!(status, 400, "{change}");
        assert!(answer["message"].as_str().unwrap().contains(named), "{answer}");
        assert_eq!(get(&sim, "config").await, before);
    }
    assert_eq!(put_config(&sim, &Value::from("x".repeat(70_000))).await.0, 413);

    let change = json!({
        "auth": { "type": "keys", "api_key": API_KEY, "secret": SECRET },
        "latency": "uniform:1ms..2ms", "faults": "503=x1,hang=0.5%", "verdict": "spoof", "rate_limit": 100.0,
        "retry_after": "2s", "retry_after_form": "date", "retry_after_on": "429,503", "rate_headers": "draft-6", "slow_interval": "3ms",
        "refusal": "linger", "max_requests": 1000, "idle_timeout": "6s", "keep_alive": "5s", "hang_time": "1m",
    });
    let (status, after) = put_config(&sim, &change).await;
    assert_eq!(status, 200);
    let mut shown = change.clone();
    shown["auth"].as_object_mut().unwrap().remove("secret");
    assert_eq!(after, shown);
    assert!(!after.to_string().contains(SECRET));

    assert_eq!(sim.post(PHOTO).await.unwrap().status(), 401);
    let send = || sim.request(body(PHOTO)).header("authorization", token()).send();
    assert_eq!(send().await.unwrap().status(), 503);
    assert_eq!(get(&sim, "config").await["faults"], "hang=0.5%");
    assert_eq!(put_config(&sim, &json!({ "faults": "" })).await.0, 200);
    assert_eq!(json_of(send().await.unwrap()).await["spoof_detected"], true);
    assert_eq!(put_config(&sim, &json!({ "verdict": "live" })).await.0, 200);
    assert_eq!(json_of(send().await.unwrap()).await["spoof_detected"], false);
}

#[tokio::test]
async fn above_the_rate_calls_are_turned_away_unbilled_and_spend_no_fault() {
    let sim = Sim::open().await;
    sim.change(json!({ "rate_limit": 0.01 }));
    assert_eq!(sim.post(PHOTO).await.unwrap().status(), 200);
    sim.change(json!({ "faults": "500=x1" }));
    let response = sim.post(PHOTO).await.unwrap();
    assert_eq!(response.status(), 429);
    let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((80..=100).contains(&wait), "{wait}");
    let stats = sim.handle.totals();
    assert_eq!((stats.calls, stats.billed), (2, 1));
    assert_eq!(stats.by_fault, [("rate-limit".to_owned(), 1)].into());
    sim.change(json!({ "rate_limit": 0 }));
    assert_eq!(sim.post(PHOTO).await.unwrap().status(), 500);
}

#[tokio::test]
async fn the_latency_is_waited_and_a_client_that_leaves_meanwhile_is_billed() {
    let sim = Sim::open().await;
    sim.change(json!({ "latency": "60ms" }));
    let start = Instant::now();
    assert_eq!(sim.post(PHOTO).await.unwrap().status(), 200);
    assert!(start.elapsed() >= Duration::from_millis(60));

    sim.change(json!({ "latency": "1h" }));
    let mut raw = sim.raw().await;
    raw.send_head(&format!("content-length: {}\r\n", body(PHOTO).len())).await;
    raw.send(body(PHOTO)).await;
    sim.until("the second call", |stats| stats.calls == 2).await;
    drop(raw);
    let stats = sim.until("the client's leaving", |stats| stats.abandoned == 1).await;
    assert_eq!((stats.billed, stats.in_flight), (2, 0));
    assert_eq!(stats.by_status, [(200, 1)].into());
}
