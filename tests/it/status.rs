//! The status page in a real browser, `/status`, and `antispoofd status`.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::browser;
use crate::harness::daemon::Daemon;
use crate::harness::wait::{EVENTUALLY, SOON, STARTED, eventually};
use crate::harness::world::World;
use crate::images::jpeg;

async fn status(daemon: &Daemon) -> Value {
    let (code, body) = daemon.get("/status").await.expect("the admin port answers");
    assert_eq!(code, StatusCode::OK);
    serde_json::from_str(&body).expect("JSON")
}

/// Waits until the status is as wanted, and returns it.
async fn until(daemon: &Daemon, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    eventually(what, EVENTUALLY, async || {
        let status = status(daemon).await;
        if holds(&status) { Ok(status) } else { Err(status["state"].to_string()) }
    })
    .await
}

fn text<'a>(page: &'a str, element: &str) -> &'a str {
    let from = page.find(&format!("id=\"{element}\"")).unwrap_or_else(|| panic!("{element}: {page}"));
    let content = &page[from..];
    let content = &content[content.find('>').expect("it ends") + 1..];
    &content[..content.find('<').expect("it ends")]
}

#[tokio::test]
async fn the_page_shows_in_a_browser_what_the_worker_does_and_what_keeps_it_from_it() {
    let world = World::new("status_page").await;
    let daemon = world
        .daemon()
        .set("api.call_price", "0.5")
        .set("api.daily_call_limit", "1000")
        .set("retry.max_attempts", "1")
        .set("log.object_keys", "hash")
        .start_ready()
        .await;
    let mut jobs = Vec::new();
    for number in 0..5 {
        let face = world.upload(&format!("{number}.jpg"), jpeg::tiny(number)).await;
        jobs.push(world.submit(&face.key).await);
    }
    // An id that would be markup.
    let odd = "<b>kyc</b>".to_owned();
    jobs.push(world.submit_job(json!({ "id": odd, "key": world.store.key("private-name.jpg") })).await);
    world.events_for_all(&jobs).await;
    until(&daemon, "a sample, and the depths of the queues", |status| {
        let history = |plot: &str| status["history"][plot].as_array().into_iter().flatten();
        let sampled = history("live").any(|rate| rate != 0.0) && history("waiting").any(Value::is_number);
        sampled && status["queues"].as_array().is_some_and(|queues| queues.iter().any(|queue| queue["ready"] == 1))
    })
    .await;

    let url = format!("http://{}/", daemon.admin());
    let page = browser::look(&url, 1200, 1400).await;
    assert!(page.contains(r#"class="ok""#), "{page}");
    assert!(text(&page, "sentence").contains("jobs/s"), "{}", text(&page, "sentence"));
    assert!(page.contains("6 (2.50)") || page.contains("5 (2.50)"), "calls and what they cost: {page}");
    assert!(page.contains("5 of 1,000"), "calls of the day: {page}");
    for shown in
        ["antispoof.parked", "object_not_found", "&lt;b&gt;kyc&lt;/b&gt;", "amqp.prefix", "environment variable"]
    {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let plots = page.matches("<svg").count();
    assert_eq!(plots, 6, "{page}");
    assert!(page.matches("stroke: var(--a)").count() >= plots, "each has a line: {page}");
    for kept in ["private-name", "it-secret-0123456789abcdef", "guest:guest", "<b>kyc"] {
        assert!(!page.contains(kept), "{kept}");
    }

    world.simulator.configure(json!({ "faults": "401=100%" })).await;
    let face = world.upload("after.jpg", jpeg::tiny(9)).await;
    let last = world.submit(&face.key).await;
    let closed = until(&daemon, "the gate to close", |status| status["state"]["gate"] == "api_unauthorized").await;
    assert!(closed["state"]["since"].is_string(), "{closed}");
    let page = browser::look(&url, 390, 844).await;
    assert!(page.contains(r#"class="trouble""#), "{page}");
    let sentence = text(&page, "sentence");
    assert!(sentence.starts_with("nothing is consumed since") && sentence.contains("(api_unauthorized)"), "{sentence}");
    assert!(text(&page, "remedy").contains("api.api_key"), "{}", text(&page, "remedy"));
    world.simulator.configure(json!({ "faults": "" })).await;
    world.event_for(&last).await;
    until(&daemon, "the gate to open", |status| status["state"]["gate"].is_null()).await;
    daemon.term();
    assert!(daemon.wait_exit(STARTED).await.success());
}

#[tokio::test]
async fn the_documented_fields_are_there() {
    let world = World::new("status_json").await;
    let daemon = world.daemon().start_ready().await;
    let status =
        until(&daemon, "a sample", |status| status["history"]["at"].as_array().is_some_and(|at| !at.is_empty())).await;
    let page = include_str!("../../docs/status.md");
    let table = &page[page.find("| field | meaning |").expect("the table")..];
    for (field, value) in status.as_object().expect("an object") {
        let row = table.lines().find(|line| line.starts_with(&format!("| `{field}`")));
        let row = row.unwrap_or_else(|| panic!("{field} is not in docs/status.md"));
        let first = value.as_array().and_then(|list| list.first()).unwrap_or(value);
        for name in first.as_object().into_iter().flat_map(serde_json::Map::keys) {
            // A field of a table, or a list of the last hour.
            assert!(row.contains(&format!("`{name}`")), "{field}.{name} is not in docs/status.md");
        }
    }
    let lengths: Vec<_> =
        status["history"].as_object().expect("lists").values().filter_map(Value::as_array).map(Vec::len).collect();
    assert!(lengths.len() > 10 && lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
    let (_, without) = daemon.get("/status?history=0").await.expect("it answers");
    let without: Value = serde_json::from_str(&without).expect("JSON");
    assert!(without.get("history").is_none());
    // Read only.
    let client = reqwest::Client::new();
    #[expect(clippy::disallowed_methods, reason = "its status is what is asked for")]
    let answer = client.post(format!("http://{}/status", daemon.admin())).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn the_command_prints_several_workers_and_fails_when_one_is_in_trouble() {
    let world = World::new("status_command").await;
    let first = world.daemon().set("worker.instance", "first").start_ready().await;
    let second = world.daemon().set("worker.instance", "second").start_ready().await;
    let urls = [first.admin().to_string(), format!("http://{}", second.admin())];
    let arguments = ["status", "--url", &urls[0], "--url", &urls[1]];
    let both = world.daemon().command(&arguments);
    assert!(both.wait_output(SOON).await.success(), "{:?}", both.stderr());
    let page = both.stdout();
    assert!(page[0].starts_with("first: ") && page.iter().any(|line| line.starts_with("second: ")), "{page:#?}");
    assert!(page.last().unwrap().starts_with("together: 2 workers, 0 in trouble"), "{page:#?}");
    // As in a pod: the address that the settings name.
    let own = world.daemon().set("admin.listen", first.admin().to_string()).command(&["status", "--json"]);
    assert!(own.wait_output(SOON).await.success(), "{:?}", own.stderr());
    let own: Value = serde_json::from_str(&own.stdout()[0]).expect("JSON");
    assert_eq!(own["worker"]["instance"], "first");

    second.kill();
    second.wait_exit(SOON).await;
    let one = world.daemon().command(&arguments);
    assert_eq!(one.wait_output(SOON).await.code(), Some(1));
    assert!(one.stdout().iter().any(|line| line.contains("does not answer")), "{:#?}", one.stdout());
    let watch = world.daemon().command(&["status", "--watch", "100ms", "--url", &urls[0]]);
    eventually("it to print again", SOON, async || {
        let printed = watch.stdout().iter().filter(|line| line.starts_with("first: ")).count();
        if printed >= 3 { Ok(()) } else { Err(format!("{printed} times")) }
    })
    .await;
    watch.signal(rustix::process::Signal::INT);
    assert!(watch.wait_exit(SOON).await.success());
    first.term();
    assert!(first.wait_exit(STARTED).await.success());
}

/// The orchestrator would restart a worker whose probe waits.
#[tokio::test]
async fn clients_that_hold_their_connections_keep_no_probe_waiting() {
    let world = World::new("status_held").await;
    let daemon = world.daemon().start_ready().await;
    let mut held = Vec::new();
    for _ in 0..64 {
        let mut socket = TcpStream::connect(daemon.admin()).await.expect("the admin port");
        socket.write_all(b"GET /livez HTTP/1.1\r\n").await.expect("the first line");
        held.push(socket);
    }
    // On a connection of its own, as the kubelet asks.
    let mut probe = TcpStream::connect(daemon.admin()).await.expect("the admin port");
    probe.write_all(b"GET /livez HTTP/1.1\r\n").await.expect("the first line");
    assert_answered(probe).await;
    assert_answered(held.pop().expect("64")).await;

    let mut answer = Vec::new();
    let ended = held[0].read_to_end(&mut answer).await;
    assert!(ended.is_err() || answer.is_empty(), "the oldest has given way");
}

/// After a stall all that has come meanwhile is accepted at once.
#[tokio::test]
async fn a_probe_that_came_in_a_stall_is_answered_however_many_came_behind_it() {
    let world = World::new("status_stall").await;
    let daemon = world.daemon().start_ready().await;
    daemon.stop();
    let mut probe = TcpStream::connect(daemon.admin()).await.expect("the admin port");
    probe.write_all(b"GET /livez HTTP/1.1\r\n").await.expect("the first line");
    probe.write_all(b"host: worker\r\n\r\n").await.expect("the rest");
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(TcpStream::connect(daemon.admin()).await.expect("the admin port"));
    }
    daemon.cont();
    let mut answer = [0; 12];
    probe.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn a_connection_has_sixteen_answers() {
    let world = World::new("status_pipelined").await;
    let daemon = world.daemon().start_ready().await;
    let mut socket = TcpStream::connect(daemon.admin()).await.expect("the admin port");
    socket.write_all(&b"GET /livez HTTP/1.1\r\nhost: worker\r\n\r\n".repeat(20)).await.expect("twenty requests");
    let mut answers = Vec::new();
    // Four requests are left unread, so that the connection may end by a reset.
    let _ended = socket.read_to_end(&mut answers).await;
    assert_eq!(String::from_utf8_lossy(&answers).matches("HTTP/1.1 200").count(), 16);
}

/// Sends the rest of a request, and has the answer.
async fn assert_answered(mut socket: TcpStream) {
    socket.write_all(b"host: worker\r\nconnection: close\r\n\r\n").await.expect("the rest");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
