//! Faults of address, certificate, protocol and proxy: nobody's job is blamed, and log and `check --connect` say the same.

use super::over_tls;
use crate::batch::Batch;
use crate::harness::broker::PARKED;
use crate::harness::daemon::DaemonBuilder;
use crate::harness::simulator::Simulator;
use crate::harness::stand_in::StandIn;
use crate::harness::tls::{Certificate, TlsFront};
use crate::harness::wait::{SOON, STARTED, eventually_equals};
use crate::harness::world::World;

/// The gate closes at once, one job probes, nothing is parked; and `says` is in the log and in what `check --connect` prints.
async fn is_systemic(world: &World, builder: impl Fn() -> DaemonBuilder, says: &str) {
    let batch = {
        let daemon = builder().start_ready().await;
        let batch = Batch::submitted(world, 6).await;
        eventually_equals("the gate to close", SOON, Some(0.0), async || daemon.metric("antispoofd_gate_open").await)
            .await;
        daemon.wait_logged(says).await;
        daemon.wait_logged("api_unreachable").await;
        assert_eq!(world.broker.depth(PARKED).await, Some(0), "nobody is blamed");
        assert!(world.events().await.is_empty());
        daemon.term();
        batch
    };
    let check = builder().command(&["check", "--connect"]);
    let status = check.wait_output(STARTED).await;
    let said = [check.stdout(), check.stderr()].concat().join("\n");
    assert_eq!(status.code(), Some(78), "{said}");
    assert!(said.contains(says), "{says}: {said}");
    // Put right, all are judged.
    let _daemon = world.daemon().start_ready().await;
    batch.verdicts(world).await;
    batch.assert_paid_once(world).await;
    world.assert_drained().await;
}

#[tokio::test]
async fn a_certificate_that_has_expired() {
    let world = World::new("reach_expired").await;
    let front = TlsFront::with(world.simulator.address(), Certificate::Expired).await;
    is_systemic(&world, || over_tls(&world, &front), "the server's certificate has expired").await;
}

#[tokio::test]
async fn a_certificate_for_another_name() {
    let world = World::new("reach_other_name").await;
    let front = TlsFront::with(world.simulator.address(), Certificate::OtherName).await;
    is_systemic(&world, || over_tls(&world, &front), "the server's certificate is for another name").await;
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted() {
    let world = World::new("reach_untrusted").await;
    let front = TlsFront::to(world.simulator.address()).await;
    let another = TlsFront::to(world.simulator.address()).await;
    let trusts = || over_tls(&world, &front).env("SSL_CERT_FILE", another.ca_file().display().to_string());
    is_systemic(&world, trusts, "of an authority that is not trusted here").await;
}

#[tokio::test]
async fn tls_to_a_plain_port_and_plain_http_to_a_port_that_speaks_tls() {
    let world = World::new("reach_protocol").await;
    let front = TlsFront::to(world.simulator.address()).await;
    let plain_port = || {
        let url = Simulator::endpoint_at(world.api_link.addr()).replacen("http://", "https://", 1);
        world.daemon().set("api.url", url)
    };
    is_systemic(&world, plain_port, "the port does not speak TLS").await;
    let world = World::new("reach_plain").await;
    let tls_port = || world.daemon().set("api.url", Simulator::endpoint_at(front.addr()));
    is_systemic(&world, tls_port, "write https:// in api.url").await;
}

#[tokio::test]
async fn a_name_that_does_not_resolve_and_a_proxy_that_refuses() {
    let world = World::new("reach_name").await;
    let nowhere = || world.daemon().set("api.url", "https://no-such-host.invalid/detect");
    is_systemic(&world, nowhere, "the name no-such-host.invalid does not resolve").await;

    let world = World::new("reach_proxy").await;
    let proxy = StandIn::answering("407 Proxy Authentication Required", "text/plain", "who are you?").await;
    let by_proxy = || {
        let proxy = format!("http://{}", proxy.addr());
        world.daemon().set("api.url", "https://api.vendor.example/detect").env("HTTPS_PROXY", proxy)
    };
    is_systemic(&world, by_proxy, "refuses the connection with 407").await;
}
