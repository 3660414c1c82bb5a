//! The topology as the management API shows it: all arguments at once, and the bindings and policies, which cannot be read over AMQP.

mod compare;
mod effect;
mod error;
mod policies;

use super::definitions::definitions;
use super::inspect::Found;
use super::topology::Names;
use crate::settings;
use antispoof_core::causes::innermost;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lapin::uri::AMQPUri;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use policies::{Defined, SAMPLES};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use url::Url;

pub use effect::Effect;
pub use error::ManagementError;
pub use policies::{Policies, PolicyFinding, PolicyName};

/// For one list. The API answers from samples, and a busy broker is slow.
const LIMIT: Duration = Duration::from_secs(15);

/// Thousands of queues.
const MOST_BYTES: usize = 32 << 20;

/// Without this the list shows samples that are up to ten seconds old, and nothing of a new queue.
const PRESENT: &str = "?disable_stats=true&enable_queue_totals=true";

/// The management API of the broker, asked as the user of `amqp.url`.
pub struct Management {
    http: Client,
    base: Url,
    vhost: String,
    authorization: HeaderValue,
}

/// What the comparison finds.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Exchanges, queues, then bindings.
    pub found: Vec<Found>,
    /// Whether anything is bound to the results exchange.
    pub results_bound: bool,
    /// What policies do to what is there.
    pub policies: Policies,
}

impl Management {
    /// Connects to nothing yet.
    pub fn new(url: &str, amqp: &settings::Amqp) -> Result<Self, ManagementError> {
        let wrong = || ManagementError::Url(url.split_once('@').map_or(url, |(_, rest)| rest).to_owned());
        let mut base = Url::parse(url).map_err(|_| wrong())?;
        let plain = base.username().is_empty() && base.password().is_none() && base.query().is_none();
        if !["http", "https"].contains(&base.scheme()) || base.host_str().is_none() || !plain {
            return Err(wrong());
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let uri: AMQPUri = amqp.url.expose().parse().map_err(ManagementError::Client)?;
        let user = &uri.authority.userinfo;
        let login = STANDARD.encode(format!("{}:{}", user.username, user.password));
        let authorization = HeaderValue::try_from(format!("Basic {login}"));
        let mut authorization = authorization.map_err(|error| ManagementError::Client(error.to_string()))?;
        authorization.set_sensitive(true);
        // There is no proxy, as for the broker itself, and a redirect must not carry the password elsewhere.
        let http = Client::builder().no_proxy().redirect(Policy::none()).connect_timeout(LIMIT).build();
        Ok(Self {
            http: http.map_err(|error| ManagementError::Client(innermost(&error)))?,
            base,
            vhost: utf8_percent_encode(amqp.url.vhost(), NON_ALPHANUMERIC).to_string(),
            authorization,
        })
    }

    /// Compares what is there with what should be.
    pub async fn compare(&self, names: &Names) -> Result<Compared, ManagementError> {
        let exchanges = self.list("exchanges", "").await?;
        let queues = self.list("queues", PRESENT).await?;
        let bindings = self.list("bindings", "").await?;
        // The vhost is part of the request, and is not compared.
        let wanted = definitions(names, "");
        let mut found = compare::objects("exchange", &wanted["exchanges"], &exchanges);
        found.extend(compare::objects("queue", &wanted["queues"], &queues));
        found.extend(compare::bindings(&wanted["bindings"], &bindings));
        let results_bound = bindings.iter().any(|binding| binding["source"] == names.results.as_str());
        let policies = match self.defined().await {
            Ok(defined) => {
                let sampled =
                    if defined.wants_samples(&wanted, &queues) { self.sampled(&wanted).await? } else { vec![] };
                defined.findings(&wanted, &exchanges, &queues, &sampled)
            }
            // Exchanges and queues were listed, so only the policies are refused.
            Err(error @ ManagementError::Refused { .. }) => Policies::unseen(&error),
            Err(error) => return Err(error),
        };
        Ok(Compared { found, results_bound, policies })
    }

    async fn defined(&self) -> Result<Defined, ManagementError> {
        Ok(Defined { user: self.list("policies", "").await?, operator: self.list("operator-policies", "").await? })
    }

    /// The queues with what is only sampled.
    async fn sampled(&self, wanted: &Value) -> Result<Vec<Value>, ManagementError> {
        let mut queues = self.list("queues", "").await?;
        for _ in 0..SAMPLES {
            if policies::all_name_operator_policy(wanted, &queues) {
                break;
            }
            sleep(Duration::from_secs(1)).await;
            queues = self.list("queues", "").await?;
        }
        Ok(queues)
    }

    async fn list(&self, what: &str, query: &str) -> Result<Vec<Value>, ManagementError> {
        let at = self.base.origin().ascii_serialization();
        let unreachable = |why: String| ManagementError::Unreachable { at: at.clone(), why };
        let address = format!("{}api/{what}/{}{query}", self.base, self.vhost);
        let asked = async {
            #[expect(clippy::disallowed_methods, reason = "no call of the paid API: the management API of the broker")]
            let answer = self.http.get(address).header(AUTHORIZATION, self.authorization.clone()).send().await;
            let mut answer = answer.map_err(|error| unreachable(innermost(&error)))?;
            if answer.status() != StatusCode::OK {
                return Err(ManagementError::Refused { at: at.clone(), status: answer.status() });
            }
            let mut body = Vec::new();
            let broken = |error: reqwest::Error| unreachable(format!("read its answer: {}", innermost(&error)));
            while let Some(chunk) = answer.chunk().await.map_err(broken)? {
                if body.len() + chunk.len() > MOST_BYTES {
                    return Err(unreachable(format!("its answer is longer than {MOST_BYTES} bytes")));
                }
                body.extend_from_slice(&chunk);
            }
            serde_json::from_slice(&body).map_err(|_| unreachable("its answer is no list".to_owned()))
        };
        timeout(LIMIT, asked).await.map_err(|_| unreachable(format!("no answer within {LIMIT:?}")))?
    }
}
