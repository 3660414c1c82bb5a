//! HTTP/2: what proves that nothing was processed, and connections that hang.

use super::tls::{at, trusting};
use super::*;
use ::h2::server::{Connection, SendResponse, handshake};
use ::h2::{Reason, RecvStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

type Server = Connection<TlsStream<TcpStream>, Bytes>;

struct Setting {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    client: Client<Full<Bytes>>,
    uri: Uri,
}

async fn setting() -> Setting {
    let (acceptor, tls) = trusting(|_| {}, &[b"h2"]);
    let (listener, _) = listening().await;
    let uri = at(&listener, "https", "localhost");
    Setting { listener, acceptor, client: Client::over(OPTIONS, tls), uri }
}

impl Setting {
    async fn accept(&self) -> Server {
        let (socket, _) = self.listener.accept().await.expect("a connection");
        let stream = self.acceptor.accept(socket).await.expect("TLS");
        handshake(stream).await.expect("HTTP/2")
    }

    async fn ask(&self) -> Result<Response<Body<Full<Bytes>>>, SendError> {
        send(&self.client, post(&self.uri, Full::from("an image"))).await
    }
}

fn answer(mut respond: SendResponse<Bytes>) {
    let response = Response::builder().status(200).body(()).expect("a response");
    respond.send_response(response, true).expect("a stream");
}

async fn request(server: &mut Server) -> (Request<RecvStream>, SendResponse<Bytes>) {
    server.accept().await.expect("a request").expect("a request")
}

#[tokio::test]
async fn a_refused_stream_and_a_goaway_before_it_prove_that_nothing_was_done() {
    let setting = setting().await;
    let serve = async {
        let mut server = setting.accept().await;
        let (_, mut respond) = request(&mut server).await;
        respond.send_reset(Reason::REFUSED_STREAM);
        drop(respond);
        while server.accept().await.is_some() {}
    };
    let asked = async {
        let error = setting.ask().await.err().expect("it is refused");
        assert!(error.is_unprocessed() && error.request_incomplete(), "{error}");
    };
    tokio::select! {
        () = asked => {}
        () = serve => panic!("the client left"),
    }
}

/// As nginx after its `keepalive_requests`: GOAWAY names the last stream that is served, and later ones are not looked at.
#[tokio::test]
async fn streams_after_a_goaway_are_unprocessed_and_those_before_it_are_served() {
    let setting = setting().await;
    let count = AtomicUsize::new(0);
    let serve = async {
        loop {
            let mut server = setting.accept().await;
            let first = request(&mut server).await;
            // Without waiting for others that may be on their way.
            server.graceful_shutdown();
            count.fetch_add(1, Ordering::Relaxed);
            answer(first.1);
            while let Some(Ok((_, respond))) = server.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                answer(respond);
            }
        }
    };
    let asked = async {
        let (mut answered, mut unprocessed) = (0, 0);
        for _ in 0..20 {
            let all = futures_util::future::join_all((0..8).map(|_| setting.ask())).await;
            for asked in all {
                match asked {
                    Ok(_) => answered += 1,
                    Err(error) if error.is_unprocessed() => unprocessed += 1,
                    Err(error) => panic!("in doubt: {error}"),
                }
            }
        }
        (answered, unprocessed)
    };
    let (answered, unprocessed) = tokio::select! {
        asked = asked => asked,
        () = serve => unreachable!("it serves for ever"),
    };
    assert_eq!(answered, count.load(Ordering::Relaxed), "an answer for each that was served");
    assert_eq!(answered + unprocessed, 160);
}

#[tokio::test]
async fn many_requests_share_one_connection_and_one_that_hangs_is_left() {
    let setting = setting().await;
    let connections = AtomicUsize::new(0);
    let serve = async {
        // The first connection is read and never answered, as by a process that has been stopped.
        let hung = setting.accept().await;
        connections.fetch_add(1, Ordering::Relaxed);
        loop {
            let mut server = setting.accept().await;
            connections.fetch_add(1, Ordering::Relaxed);
            let _held = &hung;
            while let Some(Ok((_, respond))) = server.accept().await {
                answer(respond);
            }
        }
    };
    let asked = async {
        let limit = Duration::from_millis(300);
        let send = || setting.client.send(post(&setting.uri, Full::from("x")), Instant::now() + limit);
        for error in futures_util::future::join_all((0..8).map(|_| send())).await {
            assert!(error.err().expect("it hangs").is_timeout());
        }
        assert_eq!(connections.load(Ordering::Relaxed), 1, "all were on one");
        for answer in futures_util::future::join_all((0..8).map(|_| setting.ask())).await {
            assert_eq!(answer.expect("another connection serves").status(), 200);
        }
        assert_eq!(connections.load(Ordering::Relaxed), 2);
    };
    tokio::select! {
        () = asked => {}
        () = serve => unreachable!("it serves for ever"),
    }
}
