//! A store of objects in the memory of the test: one that counts what it is asked, and that breaks the rules in a way of one's choice.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::body::Incoming;
use hyper::header::{DATE, ETAG, HeaderMap, IF_MATCH, IF_NONE_MATCH, SERVER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// How long a store that looks first takes to write.
const BETWEEN: Duration = Duration::from_millis(300);

/// What a store does that it should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vice {
    None,
    /// Looks whether an object is there, and writes it a moment later.
    LooksFirst,
    /// Takes no notice of `If-Match`.
    IgnoresTags,
    /// Refuses what it does not know.
    KnowsNoConditions,
    /// Gives the first reader of a version the content of the one before, as a store does that keeps tags beside the files.
    MixesVersions,
    /// Says in no answer what time it is.
    NoDate,
    /// Writes the first object that has this in it, and does not answer.
    LosesOneAnswer(&'static str),
    /// Is busy (503) where an object with this in it is to be written.
    IsBusyWith(&'static str),
    /// Never answers what is asked of paths with this in them.
    Hangs(&'static str),
}

/// The store. It ends with its connections when it is dropped.
pub(crate) struct S3Double {
    addr: SocketAddr,
    state: Arc<Mutex<State>>,
    _serving: JoinSet<()>,
}

struct State {
    vice: Vice,
    objects: HashMap<String, (String, Bytes)>,
    /// Contents that are not the newest, and have not been read since.
    old: HashMap<String, Bytes>,
    /// Method and path of each request.
    asked: Vec<(Method, String)>,
    writes: u64,
    lost: bool,
}

impl S3Double {
    pub(crate) async fn start(vice: Vice) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("it has an address");
        let state =
            State { vice, objects: HashMap::new(), old: HashMap::new(), asked: Vec::new(), writes: 0, lost: false };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let state = shared.clone();
                let service = service_fn(move |request| answer(state.clone(), request));
                let connection =
                    http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(client), service);
                // A client that leaves has what it wanted.
                connections.spawn(async move { connection.await.ok() });
            }
        });
        Self { addr, state, _serving: serving }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// From now on.
    pub(crate) fn set(&self, vice: Vice) {
        locked(&self.state).vice = vice;
    }

    /// Puts an object there, as `bucket/key`.
    pub(crate) fn put(&self, path: &str, body: impl Into<Bytes>) {
        locked(&self.state).write(&format!("/{path}"), body.into());
    }

    /// The objects whose paths begin with this, as `bucket/prefix`.
    pub(crate) fn texts(&self, start: &str) -> Vec<String> {
        let state = locked(&self.state);
        let start = format!("/{start}");
        let found = state.objects.iter().filter(|(path, _)| path.starts_with(&start));
        found.map(|(_, (_, body))| String::from_utf8_lossy(body).into_owned()).collect()
    }

    /// What was asked of paths that have this in them, in order.
    pub(crate) fn asked(&self, part: &str) -> Vec<Method> {
        let state = locked(&self.state);
        state.asked.iter().filter(|(_, path)| path.contains(part)).map(|(method, _)| method.clone()).collect()
    }
}

impl State {
    fn write(&mut self, path: &str, body: Bytes) -> String {
        self.writes += 1;
        let etag = format!("\"{:032x}\"", self.writes);
        if let Some((_, old)) = self.objects.insert(path.to_owned(), (etag.clone(), body)) {
            self.old.insert(path.to_owned(), old);
        }
        etag
    }

    /// Whether the object is as the request wants it.
    fn holds(&self, path: &str, headers: &HeaderMap) -> bool {
        let there = self.objects.get(path);
        if headers.contains_key(IF_NONE_MATCH) {
            return there.is_none();
        }
        match headers.get(IF_MATCH) {
            Some(wanted) if self.vice != Vice::IgnoresTags => {
                there.is_some_and(|(etag, _)| etag.as_bytes() == wanted.as_bytes())
            }
            _ => true,
        }
    }

    /// Whether the connection breaks before the answer.
    fn loses(&mut self, body: &[u8]) -> bool {
        let Vice::LosesOneAnswer(text) = self.vice else { return false };
        let loses = !self.lost && String::from_utf8_lossy(body).contains(text);
        self.lost |= loses;
        loses
    }
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Lost> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    let conditional = head.headers.contains_key(IF_NONE_MATCH) || head.headers.contains_key(IF_MATCH);
    let vice = {
        let mut state = locked(&state);
        state.asked.push((head.method.clone(), path.clone()));
        state.vice
    };
    if let Vice::Hangs(part) = vice
        && path.contains(part)
    {
        std::future::pending::<()>().await;
    }
    let busy = matches!(vice, Vice::IsBusyWith(text) if String::from_utf8_lossy(&body).contains(text));
    let mut response = if busy {
        refused(StatusCode::SERVICE_UNAVAILABLE, "SlowDown")
    } else if head.method == Method::PUT {
        let holds = locked(&state).holds(&path, &head.headers);
        if vice == Vice::LooksFirst {
            tokio::time::sleep(BETWEEN).await;
        }
        let mut state = locked(&state);
        if conditional && vice == Vice::KnowsNoConditions {
            refused(StatusCode::NOT_IMPLEMENTED, "NotImplemented")
        } else if !holds || (vice != Vice::LooksFirst && !state.holds(&path, &head.headers)) {
            refused(StatusCode::PRECONDITION_FAILED, "PreconditionFailed")
        } else {
            let etag = state.write(&path, body.clone());
            if state.loses(&body) {
                return Err(Lost);
            }
            tagged(&etag, Bytes::new())
        }
    } else if head.method == Method::DELETE {
        locked(&state).objects.remove(&path);
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    } else {
        let mut state = locked(&state);
        let old = state.old.remove(&path).filter(|_| vice == Vice::MixesVersions);
        match state.objects.get(&path) {
            Some((etag, body)) => tagged(etag, old.unwrap_or_else(|| body.clone())),
            None => refused(StatusCode::NOT_FOUND, "NoSuchKey"),
        }
    };
    let headers = response.headers_mut();
    headers.insert(SERVER, "Double/1".parse().expect("a value"));
    headers.insert("x-amz-request-id", "1".parse().expect("a value"));
    if vice != Vice::NoDate {
        let now = httpdate::fmt_http_date(SystemTime::now());
        headers.insert(DATE, now.parse().expect("a value"));
    }
    Ok(response)
}

fn tagged(etag: &str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(ETAG, etag.parse().expect("a value"));
    response
}

fn refused(status: StatusCode, code: &str) -> Response<Full<Bytes>> {
    let document =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>no</Message></Error>");
    let mut response = Response::new(Full::new(document.into()));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", "application/xml".parse().expect("a value"));
    response
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error of the service closes the connection without an answer.
#[derive(Debug)]
struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is lost")
    }
}

impl std::error::Error for Lost {}
