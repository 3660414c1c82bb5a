use super::*;

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// Reads a request's head, and as much of the body as comes with it.
async fn head(socket: &mut TcpStream) -> bool {
    let mut seen = Vec::new();
    while !seen.windows(4).any(|four| four == b"\r\n\r\n") {
        if socket.read_buf(&mut seen).await.unwrap_or(0) == 0 {
            return false;
        }
    }
    true
}

/// Answers each request on each connection as `answer` says, and tells how many requests each connection had.
fn serve(listener: TcpListener, answer: impl Fn(usize, usize) -> &'static [u8] + Send + Sync + 'static) -> Connections {
    let connections = Connections::default();
    let counts = connections.clone();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        for connection in 0.. {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            counts.0.lock().expect("counts").push(0);
            let (counts, answer) = (counts.clone(), answer.clone());
            tokio::spawn(async move {
                for request in 0.. {
                    if !head(&mut socket).await {
                        return;
                    }
                    counts.0.lock().expect("counts")[connection] += 1;
                    if socket.write_all(answer(connection, request)).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    connections
}

#[derive(Clone, Default)]
struct Connections(Arc<std::sync::Mutex<Vec<usize>>>);

impl Connections {
    fn requests(&self) -> Vec<usize> {
        self.0.lock().expect("counts").clone()
    }
}

/// As Fastify, gunicorn and axum do: the refusal is written when the head is there, and the socket is closed with most of the body unread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_comes_before_the_body_was_read_is_found() {
    const TRIES: usize = 100;
    let (listener, uri) = listening().await;
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            tokio::spawn(async move {
                head(&mut socket).await;
                let refusal = b"HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno";
                socket.write_all(refusal).await.expect("an answer");
                // Dropped with bytes unread: the kernel resets the connection.
            });
        }
    });
    let client = Client::<Blocks>::new(OPTIONS).expect("a client");
    for _ in 0..TRIES {
        let answer = send(&client, post(&uri, Blocks(9 << 20))).await;
        let answer = answer.unwrap_or_else(|error| panic!("the answer is lost: {error}"));
        assert_eq!(answer.status(), 401);
        assert!(answer.body().request_incomplete(), "most of it has never left");
    }
}

#[tokio::test]
async fn a_request_that_is_cut_off_is_known_to_be_incomplete() {
    let (listener, uri) = listening().await;
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            head(&mut socket).await;
        }
    });
    let client = Client::<Blocks>::new(OPTIONS).expect("a client");
    for _ in 0..20 {
        let error = send(&client, post(&uri, Blocks(9 << 20))).await.err().expect("it is cut");
        assert!(error.request_incomplete() && !error.is_unprocessed() && !error.is_timeout(), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_stops_to_read_has_not_had_the_request() {
    let (listener, uri) = listening().await;
    let client = Client::<Blocks>::new(OPTIONS).expect("a client");
    let sent = client.send(post(&uri, Blocks(64 << 20)), Instant::now() + Duration::from_millis(300));
    let (error, _open) = tokio::join!(sent, listener.accept());
    let error = error.err().expect("there is no answer");
    assert!(error.is_timeout() && error.request_incomplete(), "{error}");
}

#[tokio::test]
async fn a_connection_is_used_again_until_its_server_does_not_serve() {
    let (listener, uri) = listening().await;
    let connections = serve(listener, |connection, request| match (connection, request) {
        (0, 2) => b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy",
        (1, 1) => b"HTTP/1.1 429 Slow\r\ncontent-length: 0\r\n\r\n",
        (2, 1) => b"HTTP/1.1 413 Large\r\ncontent-length: 0\r\n\r\n",
        _ => HELLO,
    });
    let client = Client::<Full<Bytes>>::new(OPTIONS).expect("a client");
    let mut statuses = Vec::new();
    for _ in 0..9 {
        statuses.push(status_and_body(send(&client, post(&uri, Full::default())).await).await.0);
    }
    assert_eq!(statuses, [200, 200, 503, 200, 429, 200, 413, 200, 200]);
    assert_eq!(connections.requests(), [3, 2, 4], "one that does not serve is left, a refusal of a request is none");
}

#[tokio::test]
async fn an_answer_that_is_not_read_costs_its_connection() {
    let (listener, uri) = listening().await;
    let connections = serve(listener, |_, _| HELLO);
    let client = Client::<Full<Bytes>>::new(OPTIONS).expect("a client");
    drop(send(&client, post(&uri, Full::default())).await.expect("an answer"));
    status_and_body(send(&client, post(&uri, Full::default())).await).await;
    assert_eq!(connections.requests(), [1, 1]);
}

/// Closes each connection after it has been idle for a while, as servers with a keep-alive limit do.
fn close_idle(listener: TcpListener, limit: Duration, answer: &'static [u8]) -> Connections {
    let connections = Connections::default();
    let counts = connections.clone();
    tokio::spawn(async move {
        for connection in 0.. {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            counts.0.lock().expect("counts").push(0);
            let counts = counts.clone();
            tokio::spawn(async move {
                while let Ok(true) = tokio::time::timeout(limit, head(&mut socket)).await {
                    counts.0.lock().expect("counts")[connection] += 1;
                    socket.write_all(answer).await.expect("an answer");
                }
            });
        }
    });
    connections
}

/// Sends a request after each of these pauses.
async fn paced(client: &Client<Full<Bytes>>, uri: &Uri, pauses: &[u64]) {
    for &pause in pauses {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        status_and_body(send(client, post(uri, Full::default())).await).await;
    }
}

#[tokio::test]
async fn what_a_server_shows_of_its_limit_is_learned() {
    let (listener, uri) = listening().await;
    let connections = close_idle(listener, Duration::from_millis(400), HELLO);
    let client = Client::<Full<Bytes>>::new(OPTIONS).expect("a client");
    paced(&client, &uri, &[0, 300]).await;
    assert_eq!(connections.requests(), [2], "nothing is known yet");
    // Closed at 400 ms: from now on none is used that is older than half of that.
    paced(&client, &uri, &[600, 300, 20]).await;
    assert_eq!(connections.requests(), [2, 1, 2]);
}

#[tokio::test]
async fn a_limit_that_is_announced_is_kept() {
    const ANNOUNCES: &[u8] = b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=1, max=100\r\ncontent-length: 0\r\n\r\n";
    let (listener, uri) = listening().await;
    let connections = close_idle(listener, SOON, ANNOUNCES);
    let client = Client::<Full<Bytes>>::new(OPTIONS).expect("a client");
    paced(&client, &uri, &[0, 100, 700]).await;
    assert_eq!(connections.requests(), [2, 1], "half of what is too short to take a second off");
}

#[tokio::test]
async fn a_request_that_met_a_closed_connection_goes_on_another() {
    let (listener, uri) = listening().await;
    let (closed, mut closing) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            head(&mut socket).await;
            socket.write_all(HELLO).await.expect("an answer");
            drop(socket);
            closed.send(()).expect("the test waits");
        }
    });
    let client = Client::<Full<Bytes>>::new(OPTIONS).expect("a client");
    for _ in 0..50 {
        let (status, body) = status_and_body(send(&client, post(&uri, Full::default())).await).await;
        assert_eq!((status, &body[..]), (200, &b"hello"[..]));
        closing.recv().await;
    }
}

#[tokio::test]
async fn an_answer_with_many_or_folded_headers_is_read_and_one_that_is_not_http_is_named() {
    let many = format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "x: y\r\n".repeat(190)).leak();
    let folded = "HTTP/1.1 200 OK\r\nx-folded: a\r\n b\r\ncontent-length: 0\r\n\r\n";
    let (listener, uri) = listening().await;
    let answers = [many.as_bytes(), folded.as_bytes(), b"SSH-2.0-OpenSSH_9.2\r\n\r\n"];
    let _connections = serve(listener, move |connection, request| answers[connection + request]);
    let client = Client::<Full<Bytes>>::new(OPTIONS).expect("a client");
    for _ in 0..2 {
        assert_eq!(status_and_body(send(&client, post(&uri, Full::default())).await).await.0, 200);
    }
    let error = send(&client, post(&uri, Full::default())).await.err().expect("that is no HTTP");
    assert!(error.is_unreadable() && !error.request_incomplete(), "{error}");
}

#[tokio::test]
async fn idle_connections_are_closed_in_time() {
    let (listener, uri) = listening().await;
    let options = Options { idle_timeout: Duration::from_millis(50), ..OPTIONS };
    let client = Client::<Full<Bytes>>::new(options).expect("a client");
    let serve = async {
        let (mut socket, _) = listener.accept().await.expect("a connection");
        head(&mut socket).await;
        socket.write_all(HELLO).await.expect("an answer");
        head(&mut socket).await
    };
    let (answer, more) =
        tokio::join!(async { status_and_body(send(&client, post(&uri, Full::default())).await).await }, serve);
    assert_eq!(answer.0, 200);
    assert!(!more, "the connection came to its end");
}
