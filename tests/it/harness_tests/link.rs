//! A link carries, cuts, freezes and breaks as it says.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::harness::link::{Direction, Link};
use crate::harness::ports;
use crate::harness::wait::{SOON, eventually_equals, holds};

/// How long nothing must happen where nothing may happen.
const QUIET: Duration = Duration::from_millis(150);

#[tokio::test]
async fn it_carries_both_ways_and_counts() {
    let link = Link::to(echo().await.to_string()).await;
    let mut stream = connect(&link).await;
    assert_eq!(say(&mut stream, b"hello").await, b"hello");
    assert_eq!((link.connections(), link.open()), (1, 1));
    assert_eq!((link.bytes(Direction::ToService), link.bytes(Direction::ToDaemon)), (5, 5));

    stream.shutdown().await.expect("our side can be closed");
    assert_eq!(read_all(&mut stream).await.expect("the other side closes as well"), b"");
    eventually_equals("the connection to be gone", SOON, 0, async || link.open()).await;
}

#[tokio::test]
async fn a_cut_resets_and_refuses_until_restored() {
    let link = Link::to(echo().await.to_string()).await;
    let mut stream = connect(&link).await;
    say(&mut stream, b"hello").await;

    link.cut().await;
    assert_eq!(link.open(), 0);
    assert_eq!(read_all(&mut stream).await.expect_err("it was reset").kind(), ErrorKind::ConnectionReset);
    let refused = TcpStream::connect(link.addr()).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    link.restore().await;
    let mut stream = connect(&link).await;
    assert_eq!(say(&mut stream, b"again").await, b"again");
}

#[tokio::test]
async fn a_frozen_link_holds_what_is_sent_and_loses_nothing() {
    let link = Link::to(echo().await.to_string()).await;
    let mut old = connect(&link).await;
    say(&mut old, b"hello").await;

    link.freeze();
    let mut new = connect(&link).await;
    old.write_all(b"old").await.expect("the kernel takes it");
    new.write_all(b"new").await.expect("the kernel takes it");
    let before = (link.bytes(Direction::ToService), link.bytes(Direction::ToDaemon));
    holds("the freeze", QUIET, async || match (link.bytes(Direction::ToService), link.bytes(Direction::ToDaemon)) {
        now if now == before => Ok(()),
        now => Err(format!("{before:?} became {now:?}")),
    })
    .await;

    link.thaw();
    assert_eq!(hear::<3>(&mut old).await, *b"old");
    assert_eq!(hear::<3>(&mut new).await, *b"new");
}

#[tokio::test]
async fn a_frozen_link_can_be_cut() {
    let link = Link::to(echo().await.to_string()).await;
    let mut stream = connect(&link).await;
    say(&mut stream, b"hello").await;
    link.freeze();
    stream.write_all(b"held").await.expect("the kernel takes it");
    link.cut().await;
    assert_eq!(read_all(&mut stream).await.expect_err("it was reset").kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn it_breaks_once_after_so_many_bytes() {
    let link = Link::to(echo().await.to_string()).await;
    let mut stream = connect(&link).await;
    say(&mut stream, b"before it is armed").await;

    link.drop_after(4, Direction::ToDaemon);
    stream.write_all(b"hello").await.expect("the link is open");
    assert_eq!(hear::<4>(&mut stream).await, *b"hell");
    assert_eq!(read_all(&mut stream).await.expect_err("it was reset").kind(), ErrorKind::ConnectionReset);

    let mut stream = connect(&link).await;
    assert_eq!(say(&mut stream, b"hello").await, b"hello");
}

#[tokio::test]
async fn it_ends_in_an_orderly_way_after_so_many_bytes() {
    let link = Link::to(echo().await.to_string()).await;
    let mut stream = connect(&link).await;
    link.close_after(4, Direction::ToDaemon);
    stream.write_all(b"hello").await.expect("the link is open");
    assert_eq!(read_all(&mut stream).await.expect("no reset"), b"hell");
}

#[tokio::test]
async fn bytes_are_counted_over_all_connections_and_can_be_called_off() {
    let link = Link::to(echo().await.to_string()).await;
    let (mut one, mut two) = (connect(&link).await, connect(&link).await);
    link.drop_after(6, Direction::ToService);
    assert_eq!(say(&mut one, b"four").await, b"four");
    two.write_all(b"four").await.expect("the link is open");
    // The reset may overtake the echo of the two bytes that passed.
    read_all(&mut two).await.expect_err("it was reset");
    assert_eq!(link.bytes(Direction::ToService), 6);
    assert_eq!(say(&mut one, b"unharmed").await, b"unharmed");

    link.drop_after(1, Direction::ToService);
    assert!(link.disarm(Direction::ToService));
    assert!(!link.disarm(Direction::ToService));
    assert_eq!(say(&mut one, b"unharmed").await, b"unharmed");
}

#[tokio::test]
async fn a_service_that_is_down_looks_like_a_reset() {
    let link = Link::to(ports::reserve().to_string()).await;
    let mut stream = connect(&link).await;
    assert_eq!(read_all(&mut stream).await.expect_err("nobody is there").kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_dropped_link_leaves_nothing_open() {
    let link = Link::to(echo().await.to_string()).await;
    let mut stream = connect(&link).await;
    say(&mut stream, b"hello").await;
    drop(link);
    assert_eq!(read_all(&mut stream).await.expect_err("it was reset").kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_length_that_is_announced_is_raised_once() {
    let link = Link::to(echo().await.to_string()).await;
    let mut stream = connect(&link).await;
    link.swell_length();
    assert_eq!(say(&mut stream, b"no length here").await, b"no length here");
    assert_eq!(say(&mut stream, b"a\r\nContent-Length: 912\r\n").await, b"a\r\nContent-Length: 912\r\n");
    assert!(link.swells(), "what cannot be raised is left alone");
    assert_eq!(say(&mut stream, b"a\r\ncontent-length: 12\r\n").await, b"a\r\ncontent-length: 22\r\n");
    assert!(!link.swells());
    assert_eq!(say(&mut stream, b"a\r\ncontent-length: 12\r\n").await, b"a\r\ncontent-length: 12\r\n");
}

#[tokio::test]
async fn bytes_are_damaged_as_often_as_asked_for_however_they_arrive() {
    let link = Link::to(echo().await.to_string()).await;
    let mut stream = connect(&link).await;
    assert_eq!(say(&mut stream, b"a face").await, b"a face");
    link.damage(b"face", 2);
    assert_eq!(say(&mut stream, b"a fa").await, b"a fa");
    assert_eq!(say(&mut stream, b"ce, a fac").await, b"cd, a fac");
    assert_eq!(say(&mut stream, b"e, a face").await, b"d, a face");
    link.damage(b"ce", 1);
    assert_eq!(say(&mut stream, b", a face").await, b", a facd");
}

/// A service that says what it hears, until its runtime ends.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind(ports::reserve()).await.expect("a reserved port is free");
    let addr = listener.local_addr().expect("a listener has an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reads, mut writes) = stream.split();
                // Ends with the stream, one way or the other.
                tokio::io::copy(&mut reads, &mut writes).await.ok();
            });
        }
    });
    addr
}

async fn connect(link: &Link) -> TcpStream {
    TcpStream::connect(link.addr()).await.expect("the link listens")
}

async fn say(stream: &mut TcpStream, words: &[u8]) -> Vec<u8> {
    stream.write_all(words).await.expect("the link is open");
    let mut heard = vec![0; words.len()];
    let read = timeout(SOON, stream.read_exact(&mut heard)).await.expect("the echo comes in time");
    read.expect("the link is open");
    heard
}

async fn hear<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut heard = [0; N];
    let read = timeout(SOON, stream.read_exact(&mut heard)).await.expect("the bytes come in time");
    read.expect("the link is open");
    heard
}

async fn read_all(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut heard = Vec::new();
    timeout(SOON, stream.read_to_end(&mut heard)).await.expect("the stream ends in time")?;
    Ok(heard)
}
