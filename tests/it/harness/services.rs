//! Where the real services are. `scripts/services env` says so in environment variables.

use std::env;
use std::path::Path;
use std::process::Command;

use lapin::uri::AMQPUri;
use tokio::net::TcpStream;

/// What to do when a service is not there. It stands in every message about a missing one.
pub(crate) const HINT: &str = "run make test, or: eval \"$(scripts/services env)\"";

/// The addresses and credentials of the services the tests run against.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    /// Host, port and user of the broker; the virtual host in it is not used.
    pub(crate) amqp: AMQPUri,
    /// Base URL of the management API, without a slash at its end. Its user is that of the AMQP URL.
    pub(crate) management: String,
    /// Base URL of the object store.
    pub(crate) s3_endpoint: String,
    pub(crate) s3_access_key: String,
    pub(crate) s3_secret_key: String,
    /// `redis://…`
    pub(crate) redis: String,
}

impl Services {
    /// The services named by the environment.
    ///
    /// # Panics
    ///
    /// When a variable is missing: without services a test fails, it never passes by not running.
    pub(crate) fn from_env() -> Self {
        Self::from_lookup(|name| env::var(name).ok()).unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// The services named by `lookup`, or a message that names what is missing and how to come by it.
    pub(crate) fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let require = |name: &str| {
            lookup(name).filter(|value| !value.is_empty()).ok_or_else(|| format!("{name} is not set; {HINT}"))
        };
        let amqp = require("ANTISPOOF_TEST_AMQP_URL")?;
        Ok(Self {
            amqp: amqp
                .parse()
                .map_err(|problem| format!("ANTISPOOF_TEST_AMQP_URL is not an AMQP URL ({problem}); {HINT}"))?,
            management: without_user(require("ANTISPOOF_TEST_MGMT_URL")?.trim_end_matches('/')),
            s3_endpoint: require("ANTISPOOF_TEST_S3_ENDPOINT")?.trim_end_matches('/').to_owned(),
            s3_access_key: require("ANTISPOOF_TEST_S3_ACCESS_KEY")?,
            s3_secret_key: require("ANTISPOOF_TEST_S3_SECRET_KEY")?,
            redis: require("ANTISPOOF_TEST_REDIS_URL")?,
        })
    }

    /// `host:port` of the broker.
    pub(crate) fn amqp_address(&self) -> String {
        format!("{}:{}", self.amqp.authority.host, self.amqp.authority.port)
    }

    /// `host:port` of the object store.
    pub(crate) fn s3_address(&self) -> String {
        host_and_port(&self.s3_endpoint)
    }

    /// `host:port` of Redis.
    pub(crate) fn redis_address(&self) -> String {
        host_and_port(&self.redis)
    }

    /// Reaches out to Redis. The other services are reached by whoever makes a virtual host or a bucket.
    ///
    /// # Panics
    ///
    /// When nothing listens there.
    pub(crate) async fn assert_redis(&self) {
        let address = self.redis_address();
        let reached = TcpStream::connect(&address).await;
        reached.unwrap_or_else(|problem| panic!("no Redis at {address} ({problem}); {HINT}"));
    }

    /// `amqp://user:password@ADDRESS/VHOST`
    pub(crate) fn amqp_url(&self, address: &str, vhost: &str) -> String {
        let user = &self.amqp.authority.userinfo;
        amqp_url(&user.username, &user.password, address, vhost)
    }

    /// The Redis URL with another address in it.
    pub(crate) fn redis_url(&self, address: &str) -> String {
        self.redis.replacen(&self.redis_address(), address, 1)
    }
}

/// `amqp://USER:PASSWORD@ADDRESS/VHOST`
pub(crate) fn amqp_url(user: &str, password: &str, address: &str, vhost: &str) -> String {
    let [user, password, vhost] = [user, password, vhost].map(percent_encoded);
    format!("amqp://{user}:{password}@{address}/{vhost}")
}

/// `text` as one segment of a URL's path.
pub(crate) fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;

    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a String cannot fail");
        }
        out
    })
}

fn host_and_port(url: &str) -> String {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = after_scheme.split('/').next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_owned()
}

fn without_user(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let address = rest.rsplit_once('@').map_or(rest, |(_, address)| address);
            format!("{scheme}://{address}")
        }
        None => url.to_owned(),
    }
}

/// The path of a program that `scripts/services` fetches where the machine has none.
pub(crate) async fn program(name: &'static str) -> String {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/services"));
    command.arg(name);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
    let output = output.expect("scripts/services can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
