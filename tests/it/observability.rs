//! The alerts and the dashboard in a real Prometheus that scrapes a worker under load.

use std::fs;

use serde_json::{Value, json};

use crate::batch::Batch;
use crate::harness::prometheus::Prometheus;
use crate::harness::wait::{EVENTUALLY, eventually};
use crate::harness::world::World;

fn file(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|problem| panic!("{path}: {problem}"))
}

/// The rules with a second for each of their minutes.
fn hurried() -> String {
    let rules = file("deploy/observability/rules.yaml");
    let mut hurried = String::new();
    let mut rest = rules.as_str();
    while let Some(at) = rest.find('m') {
        let (before, after) = rest.split_at(at);
        let duration = before.ends_with(|c: char| c.is_ascii_digit()) && after[1..].starts_with([']', ':', '\n']);
        hurried.push_str(before);
        hurried.push(if duration { 's' } else { 'm' });
        rest = &after[1..];
    }
    hurried + rest
}

/// Title and expression of each query of the dashboard that is about the worker, for this Prometheus.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&file("deploy/observability/dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(|target| (panel["title"].as_str().expect("a title").to_owned(), target))
    });
    targets
        .map(|(title, target)| (title, target["expr"].as_str().expect("an expression").to_owned()))
        .filter(|(_, expression)| expression.contains("antispoofd_"))
        .map(|(title, expression)| {
            let expression = expression.replace("$__rate_interval", "2m");
            (title, expression.replace("$namespace", ".*").replace("$instance", ".*"))
        })
        .collect()
}

#[tokio::test]
async fn a_real_prometheus_fires_and_every_panel_has_data() {
    let world = World::new("observability").await;
    let daemon = world.daemon().set("api.probe_interval", "1s").set("api.call_price", "0.1").start_ready().await;
    let prometheus = Prometheus::start(&[daemon.admin()], &hurried()).await;
    // Before the load, so that its first events are an increase.
    eventually("the worker to be scraped", EVENTUALLY, async || {
        match prometheus.query("antispoofd_jobs_total").await {
            Ok(series) if series.len() == 4 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    Batch::submitted(&world, 20).await.verdicts(&world).await;
    let text = world.upload("notes.txt", "no image".as_bytes()).await;
    world.event_for(&world.submit(&text.key).await).await;
    for (title, expression) in queries() {
        eventually(&format!("data for {title:?}: {expression}"), EVENTUALLY, async || {
            let series = prometheus.query(&expression).await?;
            let value = series.first().and_then(|series| series["value"][1].as_str());
            value.filter(|value| *value != "NaN").map(drop).ok_or_else(|| format!("{series:?}"))
        })
        .await;
    }
    let names = |alerts: &[Value]| {
        let mut names: Vec<_> =
            alerts.iter().map(|alert| alert["labels"]["alertname"].as_str().unwrap_or_default().to_owned()).collect();
        names.sort();
        names.dedup();
        names
    };
    let firing = names(&prometheus.firing().await);
    assert!(!firing.contains(&"AntispoofdGateClosed".to_owned()), "{firing:?}");

    world.simulator.configure(json!({ "faults": "403=100%" })).await;
    let waiting = Batch::stored(&world, 3).await;
    let mut waiting = waiting;
    waiting.submit(&world).await;
    let alert = eventually("AntispoofdGateClosed to fire", EVENTUALLY, async || {
        let firing = prometheus.firing().await;
        let found = firing.iter().find(|alert| alert["labels"]["alertname"] == "AntispoofdGateClosed");
        found.cloned().ok_or_else(|| format!("{:?}", names(&firing)))
    })
    .await;
    assert_eq!(alert["labels"]["reason"], "api_forbidden");
    assert_eq!(alert["labels"]["instance"], daemon.admin().to_string());
    let summary = alert["annotations"]["summary"].as_str().expect("a summary");
    assert_eq!(summary, format!("{} consumes nothing: api_forbidden", daemon.admin()));

    world.simulator.configure(json!({ "faults": "" })).await;
    waiting.ended(&world, EVENTUALLY).await;
    eventually("AntispoofdGateClosed to be over", EVENTUALLY, async || {
        let firing = names(&prometheus.firing().await);
        if firing.contains(&"AntispoofdGateClosed".to_owned()) { Err(format!("{firing:?}")) } else { Ok(()) }
    })
    .await;
}
