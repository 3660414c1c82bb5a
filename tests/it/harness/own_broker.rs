//! Services for one test, for what happens to a whole service: a restart, a crash, an alarm.

use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tokio::task::spawn_blocking;

use super::services::Services;

/// What says where each service is, so that one of our own is not taken for the environment's.
const VARIABLES: [(&str, &[&str]); 3] = [
    ("rabbitmq", &["ANTISPOOF_TEST_AMQP_URL", "ANTISPOOF_TEST_MGMT_URL"]),
    ("minio", &["ANTISPOOF_TEST_S3_ENDPOINT", "ANTISPOOF_TEST_S3_ACCESS_KEY", "ANTISPOOF_TEST_S3_SECRET_KEY"]),
    ("redis", &["ANTISPOOF_TEST_REDIS_URL"]),
];

/// A running broker, and maybe more. Stopped, and its data deleted, when dropped: it has to be declared before the world that uses it.
pub(crate) struct OwnBroker {
    instance: String,
    own: Vec<&'static str>,
    services: Services,
}

impl OwnBroker {
    /// Starts one. `name` is its own among the tests; a broker that an interrupted run left behind is used again.
    ///
    /// # Panics
    ///
    /// When it does not come up, with what the script says.
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_with(name, &[]).await
    }

    /// As `start`, with others of the services for itself: `redis`, `minio`. Redis writes each step to its disk before it answers.
    pub(crate) async fn start_with(name: &str, others: &[&'static str]) -> Self {
        let instance = format!("it-{name}");
        let own = [&["rabbitmq"], others].concat();
        run(services(&own, &["up", "--instance", &instance, "--only", &own.join(",")])).await;
        let printed = run(services(&own, &["env", "--instance", &instance])).await;
        let lookup = |name: &str| {
            let start = format!("export {name}=");
            let value = printed.lines().find_map(|line| line.strip_prefix(&start))?;
            // Bash escapes what it would otherwise interpret.
            Some(value.replace('\\', ""))
        };
        let services = Services::from_lookup(|name| lookup(name).or_else(|| std::env::var(name).ok()))
            .unwrap_or_else(|problem| panic!("{problem}"));
        let broker = Self { instance, own, services };
        broker.clear_alarm().await;
        broker
    }

    /// These services, and the others of the environment.
    pub(crate) fn services(&self) -> Services {
        self.services.clone()
    }

    /// A clean stop and a start on the same port. Returns when it answers again.
    pub(crate) async fn restart(&self) {
        self.restart_one("rabbitmq").await;
    }

    /// As `restart`, of any of them.
    pub(crate) async fn restart_one(&self, service: &str) {
        run(services(&self.own, &["restart", service, "--instance", &self.instance])).await;
    }

    /// SIGKILL. Returns when it is gone; `restart_one` brings it back.
    pub(crate) async fn kill_one(&self, service: &str) {
        run(services(&self.own, &["kill", service, "--instance", &self.instance])).await;
    }

    /// Raises the memory alarm: the broker blocks every connection that publishes.
    pub(crate) async fn raise_alarm(&self) {
        self.rabbitmqctl(&["set_vm_memory_high_watermark", "0.0001"]).await;
    }

    /// Takes `raise_alarm` back.
    pub(crate) async fn clear_alarm(&self) {
        self.rabbitmqctl(&["set_vm_memory_high_watermark", "0.6"]).await;
    }

    /// Makes a queue of a virtual host deaf: it confirms nothing, as a quorum queue without a majority does. `false` ends it.
    pub(crate) async fn silence(&self, vhost: &str, queue: &str, silent: bool) {
        let change = if silent { "suspend" } else { "resume" };
        self.rabbitmqctl(&["eval", &format!(
            r#"{{ok, Q}} = rabbit_amqqueue:lookup({{resource, <<"{vhost}">>, queue, <<"{queue}">>}}), sys:{change}(amqqueue:get_pid(Q))."#
        )])
        .await;
    }

    /// `rabbitmqctl import_definitions`. What it imports is there some time later.
    pub(crate) async fn import_definitions(&self, definitions: &str) {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(definitions.as_bytes()).and_then(|()| file.rewind()).expect("it can be written");
        let mut command = services(&self.own, &["import-definitions", "--instance", &self.instance]);
        command.stdin(file);
        run(command).await;
    }

    async fn rabbitmqctl(&self, arguments: &[&str]) {
        let mut command = services(&self.own, &["rabbitmqctl", "--instance", &self.instance, "--"]);
        command.args(arguments);
        run(command).await;
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        // A service that does not stop is litter, and no reason to fail.
        services(&self.own, &["clean", "--instance", &self.instance]).output().ok();
    }
}

fn services(own: &[&str], arguments: &[&str]) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/services"));
    command.args(arguments).stdin(Stdio::null()).env("ANTISPOOF_SERVICES_REDIS_FSYNC", "always");
    // What the tests run against is not what these are.
    for (_, variables) in VARIABLES.iter().filter(|(service, _)| own.contains(service)) {
        for variable in *variables {
            command.env_remove(variable);
        }
    }
    command
}

/// Runs it on a thread of its own, so that the links of the test keep working. Returns what it printed.
async fn run(mut command: Command) -> String {
    let output = spawn_blocking(move || command.output().map(|output| (output, format!("{command:?}"))));
    let (Output { status, stdout, stderr }, command) =
        output.await.expect("a command does not panic").expect("scripts/services can be run");
    assert!(status.success(), "{command} ended with {status}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}
