//! A simulator in this process and clients for it: a well-behaved one, and a raw one that says exactly what it is told.

use std::time::{Duration, SystemTime};

use antispoofd::simulator::{Auth, Change, Handle, Options, Simulator, Stats};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const PHOTO: &[u8] = include_bytes!("../samples/astronaut.jpg");
pub(crate) const FACE: &[u8] = include_bytes!("../samples/astronaut-face.jpg");

pub(crate) const API_KEY: &str = "test-key";
pub(crate) const SECRET: &str = "test-secret";

/// No wait in these tests takes this long unless something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

pub(crate) struct Sim {
    pub(crate) url: String,
    pub(crate) base: String,
    pub(crate) handle: Handle,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
    pub(crate) http: reqwest::Client,
}

impl Sim {
    pub(crate) async fn open() -> Self {
        Self::start(Options::new(Auth::Open)).await
    }

    pub(crate) async fn with_keys() -> Self {
        Self::start(Options::new(Auth::Keys { api_key: API_KEY.to_owned(), secret: SECRET.to_owned().into() })).await
    }

    /// A simulator without authentication and with these faults.
    pub(crate) async fn failing(faults: &str) -> Self {
        let sim = Self::open().await;
        sim.change(json!({ "faults": faults }));
        sim
    }

    pub(crate) async fn start(options: Options) -> Self {
        let simulator = Simulator::bind(([127, 0, 0, 1], 0).into(), options).await.expect("bind");
        let (url, base, handle) = (simulator.url(), simulator.base_url(), simulator.handle());
        let stop = CancellationToken::new();
        let task = tokio::spawn(simulator.run(stop.clone()));
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
        let http = http.build().expect("build a client");
        Self { url, base, handle, stop, task, http }
    }

    pub(crate) fn change(&self, change: Value) {
        self.handle.configure(serde_json::from_value::<Change>(change).expect("read the change"));
    }

    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Stats) -> bool) -> Stats {
        within(what, self.handle.wait_until(condition)).await
    }

    pub(crate) fn request(&self, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.http.post(&self.url).header("content-type", "application/json").body(body)
    }

    /// Sends an image as the vendor documents it.
    pub(crate) async fn post(&self, image: &[u8]) -> reqwest::Result<reqwest::Response> {
        self.request(body(image)).send().await
    }

    pub(crate) async fn raw(&self) -> Raw {
        let address = self.base.strip_prefix("http://").expect("an http url");
        let stream = TcpStream::connect(address).await.expect("connect");
        stream.set_nodelay(true).expect("set TCP_NODELAY");
        Raw { stream }
    }
}

/// A client that begins with HTTP/2.
pub(crate) fn http2() -> reqwest::Client {
    let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).http2_prior_knowledge();
    http.build().expect("build a client")
}

/// Bytes on a socket.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
}

impl Raw {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("write to the simulator");
    }

    /// The head of a POST for the endpoint, with these further header lines.
    pub(crate) async fn send_head(&mut self, lines: &str) {
        self.send(format!(
            "POST {} HTTP/1.1\r\nhost: simulator\r\ncontent-type: application/json\r\n{lines}\r\n",
            antispoofd::simulator::DETECT_SPOOF
        ))
        .await;
    }

    /// Everything until the simulator closes, or the error with which the connection ends.
    pub(crate) async fn read_to_end(&mut self) -> std::io::Result<String> {
        let mut bytes = Vec::new();
        within("the end of the connection", self.stream.read_to_end(&mut bytes)).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The next answer up to the end of its head.
    pub(crate) async fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within("the head of the answer", self.stream.read_u8()).await.expect("read the head"));
        }
        String::from_utf8(head).expect("a head in ASCII")
    }
}

pub(crate) fn body(image: &[u8]) -> String {
    format!("{{\"img\":\"data:image/jpeg;base64,{}\"}}", STANDARD.encode(image))
}

pub(crate) fn digest(image: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(image).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("write to a string");
        text
    })
}

pub(crate) fn in_an_hour() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock after 1970");
    now.as_secs() + 3600
}

/// The claims of a token as the vendor wants it.
pub(crate) fn claims() -> Value {
    json!({
        "apikey": API_KEY,
        "permissions": ["allow_join", "allow_mod"],
        "version": 2,
        "roles": ["crawler"],
        "iat": in_an_hour() - 3600,
        "exp": in_an_hour(),
    })
}

pub(crate) fn sign(claims: &Value, secret: &str, algorithm: jsonwebtoken::Algorithm) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::new(algorithm), claims, &key).expect("sign a token")
}

pub(crate) fn token() -> String {
    sign(&claims(), SECRET, jsonwebtoken::Algorithm::HS256)
}

/// Status and `message` of an answer that is an error.
pub(crate) async fn refusal(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json");
    assert!(response.headers().contains_key("x-request-id"));
    let body: Value = serde_json::from_slice(&response.bytes().await.expect("read the answer")).expect("JSON");
    (status, body["message"].as_str().expect("a message").to_owned())
}

pub(crate) async fn json_of(response: reqwest::Response) -> Value {
    serde_json::from_slice(&response.bytes().await.expect("read the answer")).expect("JSON")
}
