//! Two nodes behind a balancer of connections, one of them bad.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::batch::Batch;
use crate::harness::simulator::Simulator;
use crate::harness::stand_in::StandIn;
use crate::harness::world::World;

/// Leads its connections to its targets in turn.
struct Balancer {
    addr: SocketAddr,
    _serving: JoinSet<()>,
}

impl Balancer {
    async fn between(targets: [SocketAddr; 2]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("it has an address");
        let turn = Arc::new(AtomicUsize::new(0));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let target = targets[turn.fetch_add(1, Ordering::Relaxed) % targets.len()];
                connections.spawn(async move {
                    let mut server = TcpStream::connect(target).await.expect("a node");
                    // An error is the end of the connection, which is all that becomes of it.
                    copy_bidirectional(&mut client, &mut server).await.ok();
                });
            }
        });
        Self { addr, _serving: serving }
    }
}

#[tokio::test]
async fn a_bad_node_of_the_store_is_left() {
    const JOBS: u64 = 100;
    let world = World::new("bad_store_node").await;
    let bad = StandIn::bad_store_node().await;
    let balancer = Balancer::between([bad.addr(), world.s3_link.addr()]).await;
    let _daemon = world.daemon().set("s3.endpoint_url", format!("http://{}", balancer.addr)).start_ready().await;
    let batch = Batch::submitted(&world, usize::try_from(JOBS).expect("a few")).await;
    batch.verdicts(&world).await;
    assert!(bad.served() <= 2 * JOBS, "{} GETs at the bad node", bad.served());
    batch.assert_paid_once(&world).await;
    world.assert_drained().await;
}

#[tokio::test]
async fn a_bad_node_of_the_vendor_is_left() {
    const JOBS: u64 = 60;
    let world = World::new("bad_vendor_node").await;
    let bad = Simulator::start(&["--no-auth", "--faults", "503=100%", "--retry-after", "0s"]).await;
    let bad_addr = bad.address().parse().expect("an address");
    let balancer = Balancer::between([bad_addr, world.api_link.addr()]).await;
    let _daemon = world.daemon().set("api.url", Simulator::endpoint_at(balancer.addr)).start_ready().await;
    let batch = Batch::submitted(&world, usize::try_from(JOBS).expect("a few")).await;
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    world.assert_drained().await;
}
