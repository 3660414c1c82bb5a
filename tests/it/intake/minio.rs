//! MinIO publishes to our exchange by itself: an upload becomes a verdict with no producer in between.

use std::path::Path;
use std::process::{Command, Stdio};

use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::types::{Event, NotificationConfiguration, QueueConfiguration};
use tokio::task::spawn_blocking;

use super::{events_about, settled};
use crate::contract::assert_valid_event;
use crate::harness::services::Services;
use crate::harness::store::{BUCKET, Store};
use crate::harness::wait::{EVENTUALLY, STARTED, eventually_equals};
use crate::harness::world::World;
use crate::images::{jpeg, sha256};

#[tokio::test]
async fn an_upload_to_minio_is_a_job() {
    let world = World::new("an_upload_to_minio").await;
    // Declares the exchange; MinIO declares it again with every message, and must mean the same.
    let daemon = world.daemon().start_ready().await;
    daemon.term();
    assert!(daemon.wait_exit(STARTED).await.success());
    let minio = OwnMinio::start(&world).await;
    let store = Store::new(&minio.services, "users/".to_owned()).await;
    let queue = QueueConfiguration::builder().queue_arn("arn:minio:sqs::IT:amqp");
    let queue = queue.events(Event::from("s3:ObjectCreated:*")).events(Event::from("s3:ObjectRemoved:*")).build();
    let all = NotificationConfiguration::builder().queue_configurations(queue.expect("a queue")).build();
    let client = Store::client(&minio.services);
    let set = client.put_bucket_notification_configuration().bucket(BUCKET).notification_configuration(all);
    set.send().await.unwrap_or_else(|problem| {
        panic!(
            "no notifications from this store ({}); MinIO is needed, see CONTRIBUTING.md",
            DisplayErrorContext(problem)
        )
    });
    let daemon = world.daemon().set("s3.endpoint_url", &minio.services.s3_endpoint).start_ready().await;

    let bytes = jpeg::tiny(1);
    let stored = store.put("red flower+1 é%2F.jpg", bytes.clone()).await;
    let event = events_about(&world, &stored.key, 1).await.remove(0);
    assert_valid_event(&event);
    assert!(event.routing_key.starts_with("verdict."), "{}", event.json);
    assert_eq!(event.json["data"]["image"]["etag"], stored.etag.trim_matches('"'));
    assert_eq!(event.json["data"]["image"]["digest"], format!("sha256:{}", sha256(&bytes)));
    assert!(event.job_id().is_some_and(|id| id.starts_with("obj-")), "{}", event.json);

    // What leaves the content as it is, and what takes it away.
    let tags = aws_sdk_s3::types::Tagging::builder();
    let tag = aws_sdk_s3::types::Tag::builder().key("seen").value("yes").build().expect("a tag");
    let tagged = client.put_object_tagging().bucket(BUCKET).key(&stored.key);
    tagged.tagging(tags.tag_set(tag).build().expect("tags")).send().await.expect("it can be tagged");
    store.delete("red flower+1 é%2F.jpg").await;
    let dismissed = async || daemon.metric(&settled("dismissed")).await;
    eventually_equals("both to be acked", EVENTUALLY, Some(2.0), dismissed).await;
    daemon.term();
    world.assert_drained().await;
    assert_eq!(world.events().await.len(), 1);
    assert!(world.broker.parked().await.is_empty());
    assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 1);
}

/// A MinIO that publishes to the job exchange of a world. Stopped, and its data deleted, when dropped.
struct OwnMinio {
    instance: String,
    services: Services,
}

impl OwnMinio {
    async fn start(world: &World) -> Self {
        let instance = format!("it-minio-{}", std::process::id());
        let url = world.services.amqp_url(&world.services.amqp_address(), world.broker.vhost());
        let mut up = services(&["up", "--instance", &instance, "--only", "minio", "--force-native"]);
        for (name, value) in [
            ("ENABLE", "on"),
            ("URL", &url),
            ("EXCHANGE", "antispoof.jobs"),
            ("EXCHANGE_TYPE", "direct"),
            ("ROUTING_KEY", "antispoof.jobs"),
            ("DURABLE", "on"),
            ("DELIVERY_MODE", "2"),
            ("MANDATORY", "on"),
            ("PUBLISHING_CONFIRMS", "on"),
        ] {
            up.env(format!("MINIO_NOTIFY_AMQP_{name}_IT"), value);
        }
        run(up).await;
        let printed = run(services(&["env", "--instance", &instance])).await;
        let lookup = |name: &str| {
            let start = format!("export {name}=");
            printed.lines().find_map(|line| line.strip_prefix(&start).map(ToOwned::to_owned))
        };
        let services = Services::from_lookup(|name| lookup(name).or_else(|| std::env::var(name).ok()));
        Self { instance, services: services.unwrap_or_else(|problem| panic!("{problem}")) }
    }
}

impl Drop for OwnMinio {
    fn drop(&mut self) {
        // A store that does not stop is litter, and no reason to fail.
        services(&["clean", "--instance", &self.instance]).output().ok();
    }
}

fn services(arguments: &[&str]) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/services"));
    command.args(arguments).stdin(Stdio::null());
    // The store that the other tests run against publishes nothing.
    for variable in ["ANTISPOOF_TEST_S3_ENDPOINT", "ANTISPOOF_TEST_S3_ACCESS_KEY", "ANTISPOOF_TEST_S3_SECRET_KEY"] {
        command.env_remove(variable);
    }
    command
}

async fn run(mut command: Command) -> String {
    let output = spawn_blocking(move || command.output()).await.expect("a command does not panic");
    let output = output.expect("scripts/services can be run");
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
