//! Which broker it says it is, and what follows: the real one behind a front that has another name and version.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::harness::daemon::DaemonBuilder;
use crate::harness::store::BUCKET;
use crate::harness::wait::{EVENTUALLY, STARTED, eventually};
use crate::harness::world::World;
use crate::images::jpeg;

const DOUBT: &str = "which this program does not know";

/// What is worked with, told of, and known.
const KNOWN: [&str; 7] = ["3.10.8", "3.13.1", "3.13.7", "4.0.5", "4.2.1", "4.3.6", "4.4.1"];

#[tokio::test]
async fn a_version_that_is_known_is_logged_shown_and_counted() {
    for version in KNOWN {
        let (world, front) = behind("version_known", "RabbitMQ", version).await;
        let daemon = settings(&world, &front).start_ready().await;
        let job = world.submit(&world.upload("face.jpg", jpeg::tiny(1)).await.key).await;
        assert_eq!(world.event_for(&job).await.failure_code(), None, "{version}");
        daemon.wait_logged(&format!("connected to the broker, RabbitMQ {version}, consuming")).await;
        assert!(!daemon.logs_contain(DOUBT), "{version}");
        let series = format!("antispoofd_amqp_broker_info{{product=\"RabbitMQ\",version=\"{version}\"}}");
        assert_eq!(daemon.metric(&series).await, Some(1.0));
        let (code, said) = check(&world, &front).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("ok      broker    logged in at ") && said.contains(&format!(" (RabbitMQ {version})")));
    }
}

#[tokio::test]
async fn a_broker_that_is_too_old_is_refused_with_a_remedy() {
    let (world, front) = behind("version_old", "RabbitMQ", "3.9.29").await;
    let daemon = settings(&world, &front).start();
    assert_eq!(daemon.wait_output(STARTED).await.code(), Some(78), "{:?}", daemon.logs());
    let words = "it is RabbitMQ 3.9.29, and quorum queues that keep a message for a time";
    assert!(daemon.logs().iter().any(|line| line.contains(words)), "{:?}", daemon.logs());
    assert_eq!(world.broker.queues().await, Vec::<String>::new(), "nothing is declared there");

    let (code, said) = check(&world, &front).await;
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("failed  broker    connect to the broker at ") && said.contains(words), "{said}");
    assert!(said.contains("= help: upgrade the broker to RabbitMQ 3.10 or newer"), "{said}");
}

#[tokio::test]
async fn a_broker_that_is_not_known_is_worked_with_and_told_of_once() {
    for (product, version, why) in [
        ("LavinMQ", "2.1.0", "it does not say that it is RabbitMQ"),
        ("RabbitMQ", "5.0", "newer than what this program knows"),
        ("RabbitMQ", "four", "its version cannot be read"),
    ] {
        let (world, front) = behind("version_unknown", product, version).await;
        let daemon = settings(&world, &front).start_ready().await;
        world.broker.close_connections().await;
        eventually("a second session", EVENTUALLY, async || {
            let sessions = daemon.metric("antispoofd_amqp_reconnects_total").await;
            let connected = daemon.metric("antispoofd_amqp_connected").await;
            if sessions >= Some(1.0) && connected == Some(1.0) { Ok(()) } else { Err(format!("{sessions:?}")) }
        })
        .await;
        let job = world.submit(&world.upload("face.jpg", jpeg::tiny(1)).await.key).await;
        assert_eq!(world.event_for(&job).await.failure_code(), None, "{product} {version}");
        daemon.wait_logged(DOUBT).await;
        let told: Vec<_> = daemon.logs().into_iter().filter(|line| line.contains(DOUBT)).collect();
        assert!(told.len() == 1 && told[0].contains(why) && told[0].contains("\"level\":\"WARN\""), "{told:?}");

        let (code, said) = check(&world, &front).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("note    broker    logged in at ") && said.contains(why), "{said}");
    }
}

/// A broker in front of the real one, which differs from it by its name and version. Nothing else of the greeting is passed on.
struct Front {
    address: SocketAddr,
    listening: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn behind(test: &str, product: &'static str, version: &'static str) -> (World, Front) {
    let world = World::new(test).await;
    let target = world.services.amqp_address();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let listening = tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let target = target.clone();
            tokio::spawn(async move { carry(client, &target, product, version).await.ok() });
        }
    });
    (world, Front { address, listening })
}

async fn carry(mut client: TcpStream, target: &str, product: &str, version: &str) -> std::io::Result<()> {
    const PREFIX: usize = 7;
    /// Class, method and version of the protocol.
    const BEFORE_TABLE: usize = 6;

    let mut server = TcpStream::connect(target).await?;
    let mut header = [0; 8];
    client.read_exact(&mut header).await?;
    server.write_all(&header).await?;
    let mut prefix = [0; PREFIX];
    server.read_exact(&mut prefix).await?;
    let mut rest = vec![0; size(&prefix[3..]) + 1];
    server.read_exact(&mut rest).await?;
    let (start, after) = rest.split_at(BEFORE_TABLE);
    let after = &after[4 + size(after)..];
    let table = [field("product", product), field("version", version)].concat();
    let payload = [start, &length(table.len()), &table, after].concat();
    client.write_all(&[&prefix[..3], &length(payload.len() - 1), &payload].concat()).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

fn field(name: &str, value: &str) -> Vec<u8> {
    let short = u8::try_from(name.len()).expect("a short name");
    [&[short][..], name.as_bytes(), b"S", &length(value.len()), value.as_bytes()].concat()
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).expect("a short text").to_be_bytes()
}

fn size(bytes: &[u8]) -> usize {
    u32::from_be_bytes(*bytes.first_chunk().expect("four octets")) as usize
}

fn settings(world: &World, front: &Front) -> DaemonBuilder {
    let url = world.services.amqp_url(&front.address.to_string(), world.broker.vhost());
    world.daemon().set("amqp.url", url).set("s3.buckets", BUCKET)
}

/// Exit code and stdout of `check --connect`.
async fn check(world: &World, front: &Front) -> (Option<i32>, String) {
    let process = settings(world, front).command(&["check", "--connect"]);
    let code = process.wait_output(STARTED).await.code();
    (code, process.stdout().join("\n"))
}
