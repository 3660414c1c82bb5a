//! One HTTP client for both edges, the store's and the vendor's.
//!
//! It makes one request at a time and hands out one answer, on hyper's connections. What it adds is what general clients do not have and a paid
//! call needs: an answer that came before the request was over is found even when a write has failed (`wire`); what proves that a server
//! has processed nothing is told apart from what proves nothing ([`SendError`]); and a connection that does not serve is not used again
//! (`pool`). It follows no redirect and repeats nothing, except a request that never left this process. docs/decisions/0015 says why.

mod body;
mod connect;
mod error;
mod pool;
mod proxy;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

pub use body::Body;
pub use connect::{Options, host_header};
pub use error::{ConnectError, SendError};
pub use request::RequestBody;

use connect::{Connector, Peer, Target};
use error::Unsent;
use http::header::{CONNECTION, HOST, PROXY_AUTHORIZATION};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri, Version};
use pool::{Lease, Pool};
use std::sync::{Arc, Mutex, PoisonError};
use tls::Tls;

pub use tls::certificate_authorities;
use tokio::time::{Instant, timeout_at};

/// So many servers are remembered. With `s3.allow_any_bucket` a producer chooses their names.
const MOST_TARGETS: usize = 16;

/// An HTTP client whose requests have bodies of type `B`. Cheap to clone.
pub struct Client<B: RequestBody> {
    connector: Arc<Connector>,
    pool: Arc<Pool<B>>,
    targets: Arc<Mutex<Vec<Arc<Target>>>>,
}

impl<B: RequestBody> Client<B> {
    /// A client that is not connected to anything yet. Fails when the system's certificate authorities cannot be read.
    pub fn new(options: Options) -> std::io::Result<Self> {
        Ok(Self::over(options, Tls::new(options.http2)?))
    }

    fn over(options: Options, tls: Tls) -> Self {
        Self {
            connector: Arc::new(Connector::new(options, tls)),
            pool: Arc::new(Pool::new(options.idle_timeout)),
            targets: Arc::default(),
        }
    }

    /// Sends a request with an absolute URI and waits for the head of the answer until `deadline`, connecting included.
    ///
    /// The answer's body may be read for as long as the caller likes. A body that is dropped before its end, an error and a status that says that
    /// the server does not serve (5xx, 429) close the connection behind it, or take it out of use where other requests are on it.
    pub async fn send(&self, request: Request<B>, deadline: Instant) -> Result<Response<Body<B>>, SendError> {
        let target = self.target(request.uri())?;
        let uri = request.uri().clone();
        let mut unsent = match self.send_once(&target, &uri, request, deadline, Freshness::Any).await {
            Err(Unsent::TakenBack(request)) => *request,
            Err(Unsent::Failed(error)) => return Err(error),
            Ok(response) => return Ok(response),
        };
        *unsent.version_mut() = Version::HTTP_11;
        match self.send_once(&target, &uri, unsent, deadline, Freshness::New).await {
            Ok(response) => Ok(response),
            Err(Unsent::Failed(error)) => Err(error),
            Err(Unsent::TakenBack(_)) => {
                Err(SendError::unprocessed("the connection was closed before the request was written"))
            }
        }
    }

    /// Whether what listens at `uri`, an `http://` address, speaks TLS. Bounded by the limit for a connection; sends nothing but the
    /// beginning of a handshake.
    pub async fn speaks_tls(&self, uri: &Uri) -> bool {
        self.connector.speaks_tls(uri).await
    }

    /// The certificate of the server at `uri`, as DER; `None` where it has none or cannot be reached. By the way of requests, and bounded by the limit for a
    /// connection.
    pub async fn certificate(&self, uri: &Uri) -> Option<Vec<u8>> {
        self.connector.certificate(uri).await
    }

    /// Made once for each server: a worker has one or two.
    fn target(&self, uri: &Uri) -> Result<Arc<Target>, SendError> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = targets.iter().find(|known| known.is_of(uri)) {
            return Ok(known.clone());
        }
        let target = Arc::new(Target::of(uri)?);
        if targets.len() >= MOST_TARGETS {
            targets.remove(0);
        }
        targets.push(target.clone());
        Ok(target)
    }

    async fn send_once(
        &self,
        target: &Target,
        uri: &Uri,
        mut request: Request<B>,
        deadline: Instant,
        freshness: Freshness,
    ) -> Result<Response<Body<B>>, Unsent<B>> {
        let idle = if freshness == Freshness::Any { self.pool.take(&target.origin) } else { None };
        let mut lease = match idle {
            Some(lease) => lease,
            // Boxed: few requests need a connection of their own, and the future of making one is long.
            None => timeout_at(deadline, Box::pin(self.connect(target, freshness)))
                .await
                .map_err(|_| SendError::connect(ConnectError::TimedOut))?
                .map_err(SendError::connect)?,
        };
        address(&mut request, uri, &lease, target);
        let answered = timeout_at(deadline, lease.send(request)).await;
        // Asked before anything else: it is about the request as it stood when the answer, or its absence, was noticed.
        let incomplete = lease.request_incomplete();
        let response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(mut refused)) => {
                if let Some(request) = refused.take_message() {
                    return Err(Unsent::TakenBack(Box::new(request)));
                }
                let error = refused.into_error();
                lease.broke_before_answer();
                return Err(SendError::broken(&error, incomplete).into());
            }
            Err(_) => return Err(SendError::timed_out(incomplete).into()),
        };
        let serves = !response.status().is_server_error() && response.status() != StatusCode::TOO_MANY_REQUESTS;
        lease.answered(response.headers(), serves && !incomplete);
        Ok(response.map(|incoming| Body::new(incoming, lease, incomplete)))
    }

    async fn connect(&self, target: &Target, freshness: Freshness) -> Result<Lease<B>, ConnectError> {
        // While it is not known whether the server speaks HTTP/2, connections are made one after the other: the first may serve all.
        let turn = self.pool.turn(&target.origin, self.connector.offers_http2(target)).await;
        if turn.is_some()
            && freshness == Freshness::Any
            && let Some(lease) = self.pool.take(&target.origin)
        {
            return Ok(lease);
        }
        let made = self.connector.connect(target).await;
        self.pool.made(&target.origin, made.as_ref().map(connect::Made::is_http2).ok());
        Ok(self.pool.hold(&target.origin, made?))
    }
}

/// Which connections will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freshness {
    Any,
    New,
}

impl<B: RequestBody> Clone for Client<B> {
    fn clone(&self) -> Self {
        Self { connector: self.connector.clone(), pool: self.pool.clone(), targets: self.targets.clone() }
    }
}

/// Writes the request's target in the form that its connection wants (RFC 9112, 3.2; RFC 9113, 8.3.1).
fn address<B: RequestBody>(request: &mut Request<B>, uri: &Uri, lease: &Lease<B>, target: &Target) {
    if lease.is_http2() {
        *request.version_mut() = Version::HTTP_2;
        request.headers_mut().remove(CONNECTION);
        request.headers_mut().remove(HOST);
        *request.uri_mut() = uri.clone();
        return;
    }
    if !request.headers().contains_key(HOST) {
        request.headers_mut().insert(HOST, target.host_header.clone());
    }
    *request.uri_mut() = match lease.peer() {
        Peer::Server => uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")).into(),
        // It wants the whole address.
        Peer::Proxy(authorization) => {
            if let Some(authorization) = authorization {
                request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
            }
            uri.clone()
        }
    };
}
