//! The client against answers that no sane vendor gives.

use super::*;
use crate::settings::{Sources, load};
use antispoof_core::image::{Facts, Format, Verify};
use futures_util::stream;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const VERDICT: &str = r#"{"spoof_detected":false,"accuracy":0.9}"#;
const TIMEOUT: Duration = Duration::from_secs(1);

fn vendor(listener: &TcpListener) -> Vendor {
    let address = listener.local_addr().expect("it is bound");
    let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let sources = Sources {
        env: [set("VIDEOSDK_API_KEY", "key"), set("VIDEOSDK_SECRET", "secret")].into(),
        overrides: vec![
            set("api.url", &format!("http://{address}/detect")),
            set("api.timeout", &format!("{}ms", TIMEOUT.as_millis())),
            set("api.connect_timeout", "500ms"),
            set("api.statuses.207", "verdict"),
            set("s3.buckets", "kyc-uploads"),
        ],
        ..Sources::default()
    };
    let loaded = load(sources).unwrap_or_else(|problems| panic!("{problems}"));
    Vendor::new(loaded.settings.api, 1, DigestKind::Off, Verify::Structure).expect("a client")
}

async fn detect(vendor: &Vendor) -> Result<Answer, Failure> {
    let image = Inspected {
        head: vec![Bytes::from_static(&[0xFF, 0xD8, 0xFF, 0xD9])],
        rest: Some(stream::iter(Vec::<Result<Bytes, Failure>>::new())),
        bytes: 4,
        checksum: None,
        facts: Facts { scan_from: 2, ..Facts::upright(Format::Jpeg, 1, 1) },
    };
    vendor.detect(image, "identity").await
}

/// Reads a request to the end of its JSON.
async fn request(socket: &mut TcpStream) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\"}") {
        assert!(socket.read_buf(&mut seen).await.expect("a request") > 0, "it breaks off: {seen:?}");
    }
}

#[tokio::test]
async fn a_verdict_comes_with_the_statuses_that_the_settings_name_and_with_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let vendor = vendor(&listener);
    for status in [200, 201, 202, 203, 205, 206, 207, 226, 299] {
        let serve = async {
            let (mut socket, _) = listener.accept().await.expect("a call");
            request(&mut socket).await;
            let length = VERDICT.len();
            let answer =
                format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{VERDICT}");
            socket.write_all(answer.as_bytes()).await.expect("an answer");
            socket
        };
        let (answer, _socket) = tokio::join!(detect(&vendor), serve);
        match answer {
            Ok(answer) => {
                assert!([200, 201, 207].contains(&status), "{status} is read as a verdict");
                assert_eq!(answer.http_status, status);
            }
            Err(call) => {
                assert_eq!(call.code(), Code::ApiBadResponse, "{status}: {call}");
                assert_eq!(call.http_status(), Some(status));
                assert!(![200, 201, 207].contains(&status), "{status} is no verdict");
                assert!(call.request_sent(), "{status}: it may have been paid for");
            }
        }
    }
}

/// The HTTP library reads interim answers for as long as they come, and reqwest hands neither a limit nor hyper's callback for them through. What ends
/// them is the limit of the call, and tokio makes the connection pause after some 128 reads, so that the limit is noticed.
#[tokio::test]
async fn interim_answers_without_end_last_no_longer_than_a_call_may() {
    const LATE: Duration = Duration::from_secs(30);

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let vendor = vendor(&listener);
    // On a thread of its own: a flood, not what one thread manages to write and to read in turns.
    let flood = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener.into_std().expect("a socket")).expect("a socket");
            let (mut socket, _) = listener.accept().await.expect("a call");
            request(&mut socket).await;
            let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(4000);
            let mut sent = 0;
            while socket.write_all(interim.as_bytes()).await.is_ok() {
                sent += interim.len();
            }
            sent
        })
    });
    let started = Instant::now();
    let Err(call) = detect(&vendor).await else { panic!("there was no answer") };
    let took = started.elapsed();
    assert_eq!(call.code(), Code::ApiInDoubt, "{call}");
    assert!(took >= TIMEOUT && took < LATE, "{took:?}");
    drop(vendor);
    // The connection is closed with the call: the flood has nowhere to go.
    let sent = tokio::task::spawn_blocking(|| flood.join()).await.expect("it can be waited for").expect("it ends");
    assert!(sent > 1_000_000, "it was a flood: {sent} bytes");
    eprintln!("figure: {sent} bytes of interim answers, call given up after {took:?}");
}
