//! What real servers do at the two edges, and the worker's side of it (docs/decisions/0015).

mod balanced;
mod early;
mod http2;
mod reach;

use crate::harness::daemon::DaemonBuilder;
use crate::harness::simulator::Simulator;
use crate::harness::tls::TlsFront;
use crate::harness::world::World;

/// A daemon that calls the simulator through a TLS front which offers HTTP/2, as the vendor is called.
fn over_tls(world: &World, front: &TlsFront) -> DaemonBuilder {
    let plain = Simulator::endpoint_at(format!("localhost:{}", front.addr().port()));
    world
        .daemon()
        .set("api.url", plain.replacen("http://", "https://", 1))
        .env("SSL_CERT_FILE", front.ca_file().display().to_string())
}
