//! Everything a scenario needs, for one test and nobody else.

use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use lapin::BasicProperties;
use serde_json::{Value, json};

use super::broker::{Broker, Message, PARKED};
use super::daemon::DaemonBuilder;
use super::link::Link;
use super::services::Services;
use super::simulator::Simulator;
use super::store::{BUCKET, LEDGER_BUCKET, REGION, Store, Stored, VERSIONED_BUCKET};
use super::tls::TlsFront;
use super::wait::{EVENTUALLY, STARTED, eventually};

/// What the daemon signs its tokens with, and the simulator accepts. No real ones.
const API_KEY: &str = "it-api-key";
const API_SECRET: &str = "it-secret-0123456789abcdef0123456789abcdef";

/// A virtual host, a prefix in the bucket, a simulator, and a link in front of each service. All of it goes when it is dropped; a daemon
/// started from it should be dropped first, that is, declared later.
pub(crate) struct World {
    pub(crate) services: Services,
    pub(crate) broker: Broker,
    pub(crate) store: Store,
    pub(crate) simulator: Simulator,
    /// Before the simulator and behind its link, where the world has one.
    pub(crate) tls: Option<TlsFront>,
    pub(crate) amqp_link: Link,
    pub(crate) s3_link: Link,
    pub(crate) api_link: Link,
    pub(crate) redis_link: Link,
    name: String,
    jobs: AtomicU64,
}

impl World {
    /// A world of its own for the test called `test`.
    ///
    /// # Panics
    ///
    /// When a service is not there, with a message that says how to start it.
    pub(crate) async fn new(test: &str) -> Self {
        Self::with(test, Services::from_env()).await
    }

    /// As `new`, with these services: for a test that has one of them for itself.
    pub(crate) async fn with(test: &str, services: Services) -> Self {
        Self::built(test, services, false).await
    }

    /// As `with`, and the daemon reaches the simulator by `https://`, over HTTP/2 where it wants to.
    pub(crate) async fn with_tls(test: &str, services: Services) -> Self {
        Self::built(test, services, true).await
    }

    async fn built(test: &str, services: Services, tls: bool) -> Self {
        services.assert_redis().await;
        let name = unique(test);
        let broker = Broker::new(&services, &name).await;
        let store = Store::new(&services, format!("{name}/")).await;
        let simulator = Simulator::start(&["--api-key", API_KEY, "--secret", API_SECRET]).await;
        let tls = if tls { Some(TlsFront::to(simulator.address()).await) } else { None };
        let vendor = tls.as_ref().map_or_else(|| simulator.address().to_owned(), |front| front.addr().to_string());
        Self {
            amqp_link: Link::to(services.amqp_address()).await,
            s3_link: Link::to(services.s3_address()).await,
            api_link: Link::to(vendor).await,
            redis_link: Link::to(services.redis_address()).await,
            services,
            broker,
            store,
            simulator,
            tls,
            name,
            jobs: AtomicU64::new(0),
        }
    }

    /// Makes the topology, and leaves no worker that would take the jobs.
    pub(crate) async fn declare(&self) {
        let daemon = self.daemon().start_ready().await;
        daemon.term();
        assert!(daemon.wait_exit(STARTED).await.success());
    }

    /// A daemon that reaches this world through its links. Retries are quick (delay queues of one and two seconds), object keys plain in
    /// the log, the ledger in memory; everything else is the program's default.
    pub(crate) fn daemon(&self) -> DaemonBuilder {
        let (endpoint, authorities) = match &self.tls {
            None => (Simulator::endpoint_at(self.api_link.addr()), None),
            Some(front) => (Simulator::secure_endpoint_at(self.api_link.addr()), front.ca_file().to_str()),
        };
        let builder = match authorities {
            None => DaemonBuilder::default(),
            Some(file) => DaemonBuilder::default().env("SSL_CERT_FILE", file),
        };
        builder
            .set("amqp.url", self.services.amqp_url(&self.amqp_link.addr().to_string(), self.broker.vhost()))
            .set("s3.region", REGION)
            .set("s3.endpoint_url", format!("http://{}", self.s3_link.addr()))
            .set("s3.path_style", "true")
            .set("s3.buckets", [BUCKET, VERSIONED_BUCKET].join(","))
            .set("s3.default_bucket", BUCKET)
            .set("api.url", endpoint)
            .set("api.api_key", API_KEY)
            .set("api.secret", API_SECRET)
            .set("retry.quick_min", "20ms")
            .set("retry.quick_max", "100ms")
            .set("retry.delays", "1s,2s")
            .set("log.format", "json")
            .set("log.object_keys", "plain")
            .env("AWS_ACCESS_KEY_ID", &self.services.s3_access_key)
            .env("AWS_SECRET_ACCESS_KEY", &self.services.s3_secret_key)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("RUST_BACKTRACE", "1")
    }

    /// As `daemon`, with the ledger in Redis behind its link. All tests share one Redis: job ids and object keys of a world are its
    /// own, but bytes that two tests upload are the same.
    pub(crate) fn daemon_with_redis(&self) -> DaemonBuilder {
        let url = self.services.redis_url(&self.redis_link.addr().to_string());
        self.daemon().set("ledger.backend", "redis").set("ledger.url", url)
    }

    /// As `daemon`, with the ledger in a bucket of the store behind its link, under a prefix of this world's own.
    pub(crate) fn daemon_with_bucket(&self) -> DaemonBuilder {
        self.daemon().set("ledger.backend", "s3").set("ledger.bucket", LEDGER_BUCKET).set("ledger.prefix", &self.name)
    }

    /// Stores an image under `name`. The key in the answer is for `submit`.
    pub(crate) async fn upload(&self, name: &str, bytes: impl Into<Vec<u8>>) -> Stored {
        self.store.put(name, bytes).await
    }

    /// Publishes a job for the object with this key, and returns the job's id.
    pub(crate) async fn submit(&self, key: &str) -> String {
        self.submit_job(json!({ "key": key })).await
    }

    /// Publishes a job with these fields; `id` and `bucket` are added where they are missing. Returns the id.
    pub(crate) async fn submit_job(&self, job: Value) -> String {
        let (id, body) = self.complete(job);
        self.broker.publish_job(&body, job_properties()).await;
        id
    }

    /// Publishes a job for each key, all on one channel, and returns their ids in the same order.
    pub(crate) async fn submit_all<'a>(&self, keys: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let jobs = keys.into_iter().map(|key| self.complete(json!({ "key": key })));
        let (ids, bodies): (Vec<_>, Vec<_>) = jobs.unzip();
        let messages = bodies.into_iter().map(|body| (body, job_properties()));
        self.broker.publish("", super::broker::JOBS, messages).await;
        ids
    }

    /// A job that is not submitted: its id, and its body with bucket and id filled in.
    pub(crate) fn job(&self, job: Value) -> (String, Vec<u8>) {
        self.complete(job)
    }

    /// All terminal events so far, oldest first.
    pub(crate) async fn events(&self) -> Vec<Message> {
        self.broker.events().await
    }

    /// The terminal events of one job so far.
    pub(crate) async fn events_for(&self, job: &str) -> Vec<Message> {
        let mut events = self.events().await;
        events.retain(|event| event.job_id() == Some(job));
        events
    }

    /// Waits for the first terminal event of a job.
    pub(crate) async fn event_for(&self, job: &str) -> Message {
        eventually(&format!("the terminal event of job {job}"), EVENTUALLY, async || {
            let events = self.events().await;
            let found = events.iter().find(|event| event.job_id() == Some(job));
            found.cloned().ok_or_else(|| {
                let others: Vec<_> = events.iter().map(Message::job_id).collect();
                format!("{} events, of the jobs {others:?}", events.len())
            })
        })
        .await
    }

    /// Waits until every one of `jobs` has a terminal event, and returns all events so far.
    pub(crate) async fn events_for_all(&self, jobs: &[String]) -> Vec<Message> {
        eventually(&format!("the terminal events of {} jobs", jobs.len()), EVENTUALLY, async || {
            let events = self.events().await;
            let done: std::collections::HashSet<_> = events.iter().filter_map(Message::job_id).collect();
            let missing = jobs.iter().filter(|job| !done.contains(job.as_str())).count();
            if missing == 0 { Ok(events) } else { Err(format!("{missing} without one")) }
        })
        .await
    }

    /// Waits until no job is in a queue or in anybody's hands: all `antispoof.*` queues but the parked one are empty, and nothing in them
    /// is unacknowledged.
    ///
    /// Ready messages are counted exactly. The unacknowledged ones are known from samples that are up to five seconds old: where that matters, end the
    /// daemon first, which turns what it held into ready messages.
    ///
    /// # Panics
    ///
    /// When there is no work queue at all, or they are not empty in time.
    pub(crate) async fn assert_drained(&self) {
        eventually("the work queues to be empty", EVENTUALLY, async || {
            let mut queues = self.broker.queues().await;
            queues.retain(|queue| queue.starts_with("antispoof.") && queue != PARKED);
            assert!(!queues.is_empty(), "there is no work queue; nobody declared the topology");
            let mut left = Vec::new();
            for queue in queues {
                let ready = self.broker.depth(&queue).await.unwrap_or(0);
                let unacked = self.broker.sampled(&queue).await.unacked;
                if ready > 0 || unacked > 0 {
                    left.push(format!("{queue}: {ready} ready, {unacked} unacknowledged"));
                }
            }
            if left.is_empty() { Ok(()) } else { Err(left.join("; ")) }
        })
        .await;
    }

    fn complete(&self, mut job: Value) -> (String, Vec<u8>) {
        let number = self.jobs.fetch_add(1, Ordering::Relaxed);
        let fields = job.as_object_mut().expect("a job is a JSON object");
        fields.entry("bucket").or_insert_with(|| json!(BUCKET));
        let id = fields.entry("id").or_insert_with(|| json!(format!("{}-job-{number}", self.name)));
        let id = id.as_str().expect("a job's id is a string").to_owned();
        (id, job.to_string().into_bytes())
    }
}

/// A name that no other test of this process, nor of another one on the same services, has.
pub(crate) fn unique(test: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);

    format!("it-{}-{}-{test}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn job_properties() -> BasicProperties {
    BasicProperties::default().with_content_type("application/json".into())
}
