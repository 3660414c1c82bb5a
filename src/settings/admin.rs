//! `[admin]`: the port for probes and metrics.

use std::net::SocketAddr;

use super::reader::{Reader, Wrong, quoted};

/// The port for probes and metrics.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Address and port to listen on; port 0 takes any that is free.
    pub listen: SocketAddr,
}

impl Admin {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let listen = r.text("admin.listen", |text| {
            text.parse().map_err(|_| {
                Wrong::new(
                    format!("{} is not a socket address", quoted(text)),
                    "write an IP address and a port, as \"127.0.0.1:9464\" or \"[::]:9464\"",
                )
            })
        });
        Self { listen }
    }
}
