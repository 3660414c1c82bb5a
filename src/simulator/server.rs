//! Connections: accepting, serving and ending them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::admin;
use super::call::{self, DETECT_SPOOF};
use super::reply::{self, Reply};
use super::session::{CutOff, Session};
use super::state::State;
use super::wire::Wire;

/// After a failed accept: time for connections to close, when file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts and serves until `stop`, then lets what is in flight end for at most `drain`.
pub(super) async fn serve(
    listener: TcpListener,
    state: Arc<State>,
    header_timeout: Duration,
    drain: Duration,
    stop: CancellationToken,
) {
    // Dropping the set, as happens when this future is dropped, ends every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&state), header_timeout, stop.clone()));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "connection not accepted; pausing");
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                    }
                }
            },
        }
    }
    drop(listener);
    state.stopping.cancel();
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(drain, all_ended).await.is_err() {
        tracing::warn!(left = connections.len(), "connections cut off at the end of the drain time");
        connections.shutdown().await;
    }
}

/// Whether a failed accept concerns only the connection that was to be accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn connection(stream: TcpStream, state: Arc<State>, header_timeout: Duration, stop: CancellationToken) {
    let _line = state.counters.connect();
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY not set");
    }
    let session = Arc::new(Session::new(Arc::clone(&state)));
    let service = {
        let session = Arc::clone(&session);
        service_fn(move |request| route(Arc::clone(&state), Arc::clone(&session), request))
    };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(header_timeout);
    builder.http2().timer(TokioTimer::new());
    let serving = builder.serve_connection(TokioIo::new(Wire::new(stream, Arc::clone(&session))), service);
    let mut serving = std::pin::pin!(serving);

    // The server's own header timeout begins when it knows which HTTP is spoken; a client that says nothing never gets so far.
    let mut silence = std::pin::pin!(tokio::time::sleep(header_timeout));
    let mut idle = std::pin::pin!(session.idle());
    let mut listening = true;
    let mut open = true;
    loop {
        tokio::select! {
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error = %error, "connection ended early");
                }
                return;
            }
            () = silence.as_mut(), if listening => {
                if !session.has_spoken() {
                    return;
                }
                listening = false;
            }
            // Over HTTP/1.1 there is nothing to say: it is closed, and a request that is on its way is answered by a reset.
            () = idle.as_mut(), if open => {
                if !session.speaks_http2() {
                    return;
                }
                serving.as_mut().graceful_shutdown();
                open = false;
            }
            () = stop.cancelled(), if open => {
                serving.as_mut().graceful_shutdown();
                open = false;
            }
        }
    }
}

async fn route(
    state: Arc<State>,
    session: Arc<Session>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, CutOff> {
    let version = request.version();
    let busy = session.begin(version);
    let response = match request.uri().path() {
        DETECT_SPOOF => call::detect(Arc::clone(&state), Arc::clone(&session), request).await?,
        path if path.starts_with(admin::PREFIX) => admin::serve(&state, request).await,
        // The worker's own paths, so that `antispoofd health` can ask a simulator, too.
        "/livez" | "/readyz" => admin::alive(request.method()),
        _ => call::unknown_path(&state, request),
    };
    let response = reply::with_busy(response, busy);
    if version >= Version::HTTP_2 {
        return Ok(response);
    }
    Ok(if session.is_at_its_last() {
        reply::closing(response)
    } else {
        reply::kept_alive(response, state.keep_alive())
    })
}
