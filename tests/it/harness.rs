//! What every scenario is made of. `world::World` puts the pieces together.

pub(crate) mod broker;
pub(crate) mod browser;
pub(crate) mod collector;
pub(crate) mod daemon;
pub(crate) mod http;
pub(crate) mod iam;
pub(crate) mod link;
pub(crate) mod metrics;
pub(crate) mod own_broker;
pub(crate) mod own_redis;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod redis;
pub(crate) mod s3_double;
pub(crate) mod services;
pub(crate) mod simulator;
pub(crate) mod stand_in;
pub(crate) mod store;
pub(crate) mod tls;
pub(crate) mod wait;
pub(crate) mod world;
