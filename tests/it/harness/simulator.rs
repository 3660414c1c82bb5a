//! `antispoofd simulate` as a process: the vendor's endpoint, with a count of what it would have billed.

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use super::http;
use super::process::Process;
use super::wait::{SOON, STARTED, eventually};

/// The path of the endpoint, which is the vendor's own.
const ENDPOINT: &str = "/ai/v1/face-verification/detect-spoof";
const GREETING: &str = "listening on http://";

/// A running simulator. Killed when dropped.
pub(crate) struct Simulator {
    process: Process,
    address: String,
    http: Client,
}

impl Simulator {
    /// Starts one on a port of its own choice, with further arguments, and waits until it listens.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let arguments = ["simulate", "--listen", "127.0.0.1:0"].into_iter().chain(arguments.iter().copied());
        let process = Process::antispoofd("antispoofd simulate", arguments, []);
        let address = eventually("the simulator to say where it listens", STARTED, async || {
            if let Some(status) = process.status() {
                panic!("the simulator ended with {status}: {:?}", process.last_words());
            }
            let stdout = process.stdout();
            let address = stdout.iter().find_map(|line| line.split_once(GREETING));
            address.map(|(_, rest)| rest.trim().to_owned()).ok_or_else(|| format!("{stdout:?}"))
        })
        .await;
        Self { process, address, http: http::client() }
    }

    /// `host:port`, for a link in front of it.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The endpoint's URL at `address`: the simulator's own, or a link's.
    pub(crate) fn endpoint_at(address: impl std::fmt::Display) -> String {
        format!("http://{address}{ENDPOINT}")
    }

    /// As `endpoint_at`, where a TLS front is.
    pub(crate) fn secure_endpoint_at(address: impl std::fmt::Display) -> String {
        format!("https://{address}{ENDPOINT}")
    }

    /// What it has seen so far: `calls`, `billed`, `rejected`, `aborted_bodies`, `in_flight`, `max_in_flight`, `images` by digest.
    pub(crate) async fn stats(&self) -> Value {
        self.stats_at("/_sim/stats").await
    }

    /// As `stats`, without `images`, of which there may be many.
    pub(crate) async fn stats_without_images(&self) -> Value {
        self.stats_at("/_sim/stats?images=false").await
    }

    /// One figure of the statistics.
    pub(crate) async fn count(&self, name: &str) -> u64 {
        let stats = self.stats_without_images().await;
        stats[name].as_u64().unwrap_or_else(|| panic!("the statistics have no number {name:?}: {stats}"))
    }

    /// How often the image with this SHA-256 (lowercase hex) was billed.
    pub(crate) async fn billed(&self, sha256: &str) -> u64 {
        self.stats().await["images"][sha256]["billed"].as_u64().unwrap_or(0)
    }

    /// Changes its behaviour from the next call on: `{"faults": "503=x3", "latency": "2s", "verdict": "by-digest"}`.
    pub(crate) async fn configure(&self, changes: Value) {
        let (status, body) = self.ask(Method::PUT, "/_sim/config", &changes).await;
        assert!(status.is_success(), "the simulator refused {changes}: {status} {body}");
    }

    /// Forgets its statistics.
    pub(crate) async fn reset(&self) {
        let (status, body) = self.ask(Method::POST, "/_sim/reset", &Value::Null).await;
        assert!(status.is_success(), "the simulator did not forget: {status} {body}");
    }

    /// Whether a line of its output contains `text`.
    pub(crate) fn said(&self, text: &str) -> bool {
        self.process.said(text)
    }

    async fn stats_at(&self, path: &str) -> Value {
        let (status, body) = self.ask(Method::GET, path, &Value::Null).await;
        assert!(status.is_success(), "the simulator's statistics: {status} {body}");
        serde_json::from_str(&body).unwrap_or_else(|problem| panic!("statistics are JSON ({problem}): {body}"))
    }

    /// Asked again while the connection breaks: a simulator that closes what has been idle for some milliseconds may do so before the request is there.
    async fn ask(&self, method: Method, path: &str, body: &Value) -> (StatusCode, String) {
        let url = format!("http://{}{path}", self.address);
        eventually(&format!("an answer of the simulator to {path}"), SOON, async || {
            http::send(&self.http, method.clone(), &url, body).await
        })
        .await
    }
}
