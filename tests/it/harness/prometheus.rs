//! A real Prometheus for one test.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use reqwest::{Client, StatusCode, Url};
use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;
use super::wait::{STARTED, eventually};
use super::{http, ports, services};

/// Ended, and its data deleted, when dropped.
pub(crate) struct Prometheus {
    address: SocketAddr,
    client: Client,
    process: Process,
    _folder: TempDir,
}

impl Prometheus {
    /// Scrapes these admin ports every second, as the job `antispoofd`, and evaluates these rules as often.
    pub(crate) async fn start(targets: &[SocketAddr], rules: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let targets = targets.iter().map(|target| format!("'{target}'")).collect::<Vec<_>>().join(", ");
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yaml]\n\
             scrape_configs: [{{job_name: antispoofd, static_configs: [{{targets: [{targets}]}}]}}]\n"
        );
        fs::write(folder.path().join("prometheus.yaml"), config).expect("ours");
        fs::write(folder.path().join("rules.yaml"), rules).expect("ours");
        let address = ports::reserve();
        let mut command = Command::new(services::program("prometheus").await);
        command.arg(format!("--config.file={}", folder.path().join("prometheus.yaml").display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        let prometheus =
            Self { address, client: http::client(), process: Process::start("prometheus", command), _folder: folder };
        eventually("Prometheus to be ready", STARTED, async || match prometheus.get("/-/ready", &[]).await {
            Ok(_) => Ok(()),
            Err(why) => Err(format!("{why}; {:?}", prometheus.process.last_words())),
        })
        .await;
        prometheus
    }

    /// The result of an instant query: each series with its labels and its value now.
    pub(crate) async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let answer = self.get("/api/v1/query", &[("query", expression)]).await?;
        let answer: Value = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
        answer["data"]["result"].as_array().cloned().ok_or_else(|| answer.to_string())
    }

    /// The alerts that fire, as `/api/v1/alerts` has them.
    pub(crate) async fn firing(&self) -> Vec<Value> {
        let answer = self.get("/api/v1/alerts", &[]).await.expect("it runs");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let alerts = answer["data"]["alerts"].as_array().cloned().expect("a list");
        alerts.into_iter().filter(|alert| alert["state"] == "firing").collect()
    }

    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<String, String> {
        let url = format!("http://{}{path}", self.address);
        let url = Url::parse_with_params(&url, parameters).map_err(|error| error.to_string())?;
        match http::get(&self.client, url.as_str()).await? {
            (StatusCode::OK, body) => Ok(body),
            (status, body) => Err(format!("{status}: {body}")),
        }
    }
}
