//! `[admin]`: the port for probes and metrics.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::invalid::{InvalidValue, quoted};
use super::values::text;

/// The port for probes and metrics.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Address and port to listen on; port 0 takes any that is free.
    #[serde(deserialize_with = "listen")]
    #[schemars(with = "String")]
    pub listen: SocketAddr,
}

fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    text(deserializer, |text| {
        let remedy = "write an IP address and a port, as \"127.0.0.1:9464\" or \"[::]:9464\"";
        text.parse().map_err(|_| InvalidValue::new(format!("{} is not a socket address", quoted(text)), remedy))
    })
}
