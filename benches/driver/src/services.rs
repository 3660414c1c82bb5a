//! Where broker and store are: the variables of `scripts/services env`.

use anyhow::{Context as _, Result, anyhow};
use lapin::uri::AMQPUri;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::env;

pub(crate) struct Services {
    amqp: AMQPUri,
    /// Base URL of the management API, without user and trailing slash.
    pub(crate) management: String,
    pub(crate) s3_endpoint: String,
    pub(crate) s3_access_key: String,
    pub(crate) s3_secret_key: String,
    pub(crate) redis_url: Option<String>,
}

impl Services {
    pub(crate) fn from_env() -> Result<Self> {
        let amqp = var("ANTISPOOF_TEST_AMQP_URL")?;
        Ok(Self {
            amqp: amqp.parse().map_err(|problem| anyhow!("read ANTISPOOF_TEST_AMQP_URL: {problem}"))?,
            management: without_user(var("ANTISPOOF_TEST_MGMT_URL")?.trim_end_matches('/')),
            s3_endpoint: var("ANTISPOOF_TEST_S3_ENDPOINT")?.trim_end_matches('/').to_owned(),
            s3_access_key: var("ANTISPOOF_TEST_S3_ACCESS_KEY")?,
            s3_secret_key: var("ANTISPOOF_TEST_S3_SECRET_KEY")?,
            redis_url: env::var("ANTISPOOF_TEST_REDIS_URL").ok(),
        })
    }

    pub(crate) fn user(&self) -> (&str, &str) {
        let user = &self.amqp.authority.userinfo;
        (&user.username, &user.password)
    }

    /// The URL of a virtual host.
    pub(crate) fn amqp_url(&self, vhost: &str) -> String {
        let (user, password) = self.user();
        let authority = &self.amqp.authority;
        let (user, password, vhost) = (escaped(user), escaped(password), escaped(vhost));
        format!("amqp://{user}:{password}@{}:{}/{vhost}", authority.host, authority.port)
    }
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
    fn the_user_in_the_management_url_goes_elsewhere() {
        assert_eq!(without_user("http://guest:p%40ss@host:1"), "http://host:1");
        assert_eq!(without_user("http://host:1"), "http://host:1");
    }
}
