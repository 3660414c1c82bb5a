//! Where broker, Redis and a real store are: the variables of `scripts/services env`.

use anyhow::{Context as _, Result, anyhow};
use lapin::uri::AMQPUri;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::env;

pub(crate) struct Services {
    amqp: AMQPUri,
    /// Base URL of the management API, without user and trailing slash.
    pub(crate) management: String,
    pub(crate) redis_url: Option<String>,
    /// Of the servers, where they are known: those of `scripts/bench`.
    pub(crate) pids: Vec<(String, u32)>,
}

/// Where an S3 store is, and who asks it.
pub(crate) struct S3 {
    pub(crate) endpoint: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
}

impl S3 {
    pub(crate) fn from_env() -> Result<Self> {
        Ok(Self {
            endpoint: var("ANTISPOOF_TEST_S3_ENDPOINT")?.trim_end_matches('/').to_owned(),
            access_key: var("ANTISPOOF_TEST_S3_ACCESS_KEY")?,
            secret_key: var("ANTISPOOF_TEST_S3_SECRET_KEY")?,
        })
    }
}

impl Services {
    pub(crate) fn from_env() -> Result<Self> {
        let amqp = var("ANTISPOOF_TEST_AMQP_URL")?;
        Ok(Self {
            amqp: amqp.parse().map_err(|problem| anyhow!("read ANTISPOOF_TEST_AMQP_URL: {problem}"))?,
            management: without_user(var("ANTISPOOF_TEST_MGMT_URL")?.trim_end_matches('/')),
            redis_url: env::var("ANTISPOOF_TEST_REDIS_URL").ok(),
            pids: pids(&env::var("BENCH_SERVER_PIDS").unwrap_or_default()),
        })
    }

    pub(crate) fn user(&self) -> (&str, &str) {
        let user = &self.amqp.authority.userinfo;
        (&user.username, &user.password)
    }

    /// The URL of a virtual host.
    pub(crate) fn amqp_url(&self, vhost: &str) -> String {
        let (host, port) = self.broker();
        self.amqp_url_at(&format!("{host}:{port}"), vhost)
    }

    /// The same by way of another address.
    pub(crate) fn amqp_url_at(&self, address: &str, vhost: &str) -> String {
        let (user, password) = self.user();
        let (user, password, vhost) = (escaped(user), escaped(password), escaped(vhost));
        format!("amqp://{user}:{password}@{address}/{vhost}")
    }

    pub(crate) fn broker(&self) -> (&str, u16) {
        (&self.amqp.authority.host, self.amqp.authority.port)
    }
}

/// `rabbitmq=123,redis=456`
fn pids(text: &str) -> Vec<(String, u32)> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.filter_map(|(name, pid)| Some((name.to_owned(), pid.parse().ok()?))).collect()
}

pub(crate) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn var(name: &str) -> Result<String> {
    env::var(name).with_context(|| format!("{name} is not set; run `make bench`, or: eval \"$(scripts/services env)\""))
}

fn without_user(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, address)| address))
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_numbers() {
        assert_eq!(pids("rabbitmq=12,redis=7"), [("rabbitmq".to_owned(), 12), ("redis".to_owned(), 7)]);
        assert_eq!(pids(""), []);
    }

    #[test]
    fn the_user_in_the_management_url_goes_elsewhere() {
        assert_eq!(without_user("http://guest:p%40ss@host:1"), "http://host:1");
        assert_eq!(without_user("http://host:1"), "http://host:1");
    }
}
