//! The TLS front, and servers in the place of others.

use std::sync::Arc;

use reqwest::{Certificate as Authority, Client, Version};

use crate::harness::link::Link;
use crate::harness::simulator::Simulator;
use crate::harness::stand_in::StandIn;
use crate::harness::tls::{Certificate, TlsFront};

fn client_that_trusts(front: &TlsFront) -> Client {
    let pem = std::fs::read(front.ca_file()).expect("the authority is on file");
    let authority = Authority::from_pem(&pem).expect("a certificate");
    let builder = Client::builder().no_proxy().tls_certs_only([authority]).pool_max_idle_per_host(0);
    builder.build().expect("a client")
}

#[tokio::test]
async fn a_front_offers_http_2_or_not_and_the_simulator_answers_behind_it() {
    let simulator = Simulator::start(&["--no-auth"]).await;
    let front = TlsFront::to(simulator.address()).await;
    let client = client_that_trusts(&front);
    for (offered, version, host) in [(true, Version::HTTP_2, "127.0.0.1"), (false, Version::HTTP_11, "localhost")] {
        front.offer_http2(offered);
        let url = format!("https://{host}:{}/_sim/health", front.addr().port());
        let response = client.get(url).send().await.expect("an answer");
        assert_eq!((response.version(), response.status().as_u16()), (version, 200));
    }
    assert_eq!(front.http2_connections(), 1);
    // Who does not know the authority does not come in.
    let stranger = Client::builder().no_proxy().build().expect("a client");
    stranger.get(format!("https://{}/_sim/health", front.addr())).send().await.expect_err("it is not trusted");
}

#[tokio::test]
async fn a_certificate_can_be_wrong() {
    let simulator = Simulator::start(&["--no-auth"]).await;
    for (certificate, reason) in [(Certificate::Expired, "expired"), (Certificate::OtherName, "not valid for name")] {
        let front = TlsFront::with(simulator.address(), certificate).await;
        let sent = client_that_trusts(&front).get(format!("https://{}/_sim/health", front.addr())).send().await;
        let problem = format!("{:?}", anyhow::Error::from(sent.expect_err("it must not be believed")));
        assert!(problem.contains(reason), "{certificate:?}: {problem}");
    }
}

#[tokio::test]
async fn a_link_can_lead_some_connections_elsewhere() {
    let (right, wrong) = (StandIn::web_page().await, Arc::new(StandIn::bad_store_node().await));
    let link = Link::to(right.addr().to_string()).await;
    let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client");
    let status = async || {
        let answer = client.get(format!("http://{}/", link.addr())).send().await;
        answer.expect("an answer").status().as_u16()
    };
    assert_eq!(status().await, 200);
    link.divert(wrong.addr(), 2);
    assert_eq!([status().await, status().await, status().await], [503, 200, 503]);
    link.go_straight();
    assert_eq!(status().await, 200);
    assert_eq!((right.served(), wrong.served()), (3, 2));
}
