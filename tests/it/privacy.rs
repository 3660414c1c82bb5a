//! What must never be written down: secrets, image bytes, the vendor's words, and object keys where they are to be hashed.
//!
//! The log is at its most talkative: `trace` for everything, of which the daemon lets through what its own modules say, and `debug` of the others.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::codes::{send, send_raw};
use crate::harness::broker::{Message, PARKED};
use crate::harness::daemon::Daemon;
use crate::harness::wait::{SOON, STARTED, eventually_equals};
use crate::harness::world::World;
use crate::images::jpeg;

const API_SECRET: &str = "canary-of-the-api-secret-0123456789abcdef";
const VENDOR_WORDS: &str = "canary of the vendor's words";
const OBJECT: &str = "canary-jane-doe.jpg";
const LOUD: &str = "trace,lapin=trace,aws_sigv4=trace,aws_config=trace,aws_credential_types=trace,aws_smithy_runtime=trace,aws_smithy_runtime_api=trace";

#[tokio::test]
async fn nothing_that_is_secret_or_personal_is_written_down() {
    let world = World::new("canaries").await;
    let vendor = Vendor::start().await;
    let daemon = world.daemon().set("api.url", vendor.url()).set("api.secret", API_SECRET);
    let daemon = daemon.set("log.level", LOUD).set("log.object_keys", "hash").set("retry.max_attempts", "2");
    let daemon = daemon.set("retry.delays", "1s").set("retry.quick_attempts", "1");
    let daemon = daemon.set("s3.max_object_bytes", "1MiB").start_ready().await;
    let bytes = jpeg::tiny(7);
    let stored = world.upload(OBJECT, bytes.clone()).await;

    // One of each way out: a verdict, a refusal, two kinds of no verdict, and the failures before a call.
    let mut jobs = Vec::new();
    for (name, answer) in [
        ("live", Say::verdict()),
        ("refused", Say::words(422)),
        ("slow-down", Say::words(429)),
        ("unwell", Say::words(503)),
        ("babble", Say::words(200)),
        ("no-verdict", Say { status: 200, body: json!({ "spoof_detected": VENDOR_WORDS, "accuracy": 1 }).to_string() }),
    ] {
        vendor.say(answer);
        let sent = send(&world, name, json!({ "key": stored.key })).await;
        world.event_for(&sent.id).await;
        jobs.push(sent.id);
    }
    let pinned = json!({ "key": stored.key, "etag": "0123456789abcdef0123456789abcdef" });
    jobs.push(send(&world, "changed", pinned).await.id);
    let large = world.upload(&format!("large-{OBJECT}"), jpeg::of_size((1 << 20) + 1, 1)).await;
    jobs.push(send(&world, "large", json!({ "key": large.key })).await.id);
    jobs.push(send(&world, "missing", json!({ "key": world.store.key(&format!("no-{OBJECT}")) })).await.id);
    jobs.push(send_raw(&world, "image-in-the-message", &bytes, "application/json").await.id);
    let events = world.events_for_all(&jobs).await;
    eventually_equals("everything else parked", SOON, Some(9), async || world.broker.depth(PARKED).await).await;
    let parked = world.broker.parked().await;
    daemon.term();
    assert!(daemon.wait_output(STARTED).await.success());

    let token = vendor.token();
    assert_eq!(token.split('.').count(), 3, "a token was sent");
    let image = STANDARD.encode(&bytes);
    let secrets = [
        ("the API secret", API_SECRET),
        ("the S3 secret", world.services.s3_secret_key.as_str()),
        ("the broker's password", "guest:guest@"),
        ("the token", token.as_str()),
        ("any token", "eyJ"),
        ("the image, its middle", &image[image.len() / 2..image.len() / 2 + 24]),
        ("the image, its beginning", &image[..24]),
        ("the vendor's words", VENDOR_WORDS),
    ];
    assert!(daemon.logs().len() > 60, "the log is as loud as it was to be: {} lines", daemon.logs().len());
    assert!(daemon.stdout().is_empty(), "stdout is for data");
    for (what, secret) in secrets {
        absent(what, secret, &daemon, &events, &parked);
    }
    // A list of bytes, as a dump of a frame or of a buffer shows them.
    let dumped = |text: &str| format!("{:?}", text.as_bytes()).trim_matches(['[', ']']).to_owned();
    absent("the body of a job", &dumped("\"metadata\""), &daemon, &events, &parked);
    absent("the broker's password", &dumped("\0guest\0guest"), &daemon, &events, &parked);
    // The key is in the event, where its consumer wants it, and nowhere else.
    for line in daemon.logs() {
        assert!(!line.contains("canary-jane"), "an object's key in the log: {line}");
    }
    for message in &parked {
        assert!(!message.headers.to_string().contains("canary-jane"), "an object's key in {}", message.headers);
    }
    for event in &events {
        let mut json = event.json.clone();
        json["data"]["image"]["key"] = json!(null);
        assert!(!json.to_string().contains("canary-jane"), "an object's key outside its field: {json}");
    }
}

fn absent(what: &str, secret: &str, daemon: &Daemon, events: &[Message], parked: &[Message]) {
    for line in daemon.logs() {
        assert!(!line.contains(secret), "{what} in the log: {line}");
    }
    for event in events {
        let whole = format!("{} {} {:?}", event.json, event.headers, event.properties);
        assert!(!whole.contains(secret), "{what} in an event: {whole}");
    }
    for message in parked {
        let around = format!("{} {:?}", message.headers, message.properties);
        assert!(!around.contains(secret), "{what} around a parked message: {around}");
    }
}

/// An answer of the vendor.
#[derive(Clone)]
struct Say {
    status: u16,
    body: String,
}

impl Say {
    fn verdict() -> Self {
        Self {
            status: 200,
            body: json!({ "spoof_detected": false, "accuracy": 0.9, "note": VENDOR_WORDS }).to_string(),
        }
    }

    fn words(status: u16) -> Self {
        Self { status, body: format!("<html>{VENDOR_WORDS}</html>") }
    }
}

/// A vendor that keeps the token it is sent and says what it is told to. The simulator does neither.
struct Vendor {
    address: std::net::SocketAddr,
    shared: Arc<Mutex<(Say, String)>>,
}

impl Vendor {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Mutex::new((Say::verdict(), String::new())));
        let state = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A call that breaks off is the daemon's to report; the next one counts.
                tokio::spawn(serve(stream, Arc::clone(&state)));
            }
        });
        Self { address, shared }
    }

    fn url(&self) -> String {
        format!("http://{}/detect", self.address)
    }

    fn say(&self, answer: Say) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).0 = answer;
    }

    fn token(&self) -> String {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

/// Answers one call and closes.
async fn serve(mut stream: TcpStream, shared: Arc<Mutex<(Say, String)>>) -> std::io::Result<()> {
    let mut request = Vec::new();
    // The body ends with the only `"}` there is.
    while !request.ends_with(b"\"}") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let text = String::from_utf8_lossy(&request);
    let token = text.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or_default().to_owned();
    let Say { status, body } = {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.1 = token;
        shared.0.clone()
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\nx-note: {VENDOR_WORDS}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.shutdown().await
}
