//! The alerts and the dashboard name what a worker serves, and nothing else; each alert has a test in which it fires.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use antispoofd::telemetry::Metrics;
use serde_json::Value;

const RULES: &str = "deploy/observability/rules.yaml";
const TEMPLATE: &str = "deploy/helm/antispoofd/templates/prometheusrule.yaml";
const TESTS: &str = "deploy/helm/antispoofd/alerts-test.yaml";
const DASHBOARD: &str = "deploy/observability/dashboard.json";

/// Labels that a scrape adds, and those of the broker's metrics.
const OTHERS: [&str; 5] = ["namespace", "pod", "instance", "alertname", "vhost"];

/// Label, operator and value.
type Matcher = (String, String, String);

/// The label values of each series, by name and label.
type Served = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn file(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|problem| panic!("{path}: {problem}"))
}

fn served() -> Served {
    let metrics = Metrics::new();
    metrics.broker_is("RabbitMQ", "4.3.6");
    let page = metrics.render().expect("it can be put into words");
    let mut served = Served::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let series = line.rsplit_once(' ').expect("a value").0;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let known = served.entry(name.to_owned()).or_default();
        for (label, value) in matchers(labels).into_iter().map(|(label, _, value)| (label, value)) {
            known.entry(label).or_default().insert(value);
        }
    }
    served
}

/// Label, operator and value of each matcher up to the closing brace.
fn matchers(text: &str) -> Vec<Matcher> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('"') {
        if before.contains('}') {
            break;
        }
        let (value, after) = after.split_once('"').expect("a value ends");
        let name = before.trim_start_matches([',', ' ']);
        let at = name.find(['=', '!']).expect("an operator");
        found.push((name[..at].trim().to_owned(), name[at..].trim().to_owned(), value.to_owned()));
        rest = after;
    }
    found
}

/// Each series that an expression names, with the matchers behind it.
fn named(expression: &str) -> Vec<(String, Vec<Matcher>)> {
    let mut found = Vec::new();
    let ours = ["antispoofd_", "process_"].into_iter().flat_map(|prefix| expression.match_indices(prefix));
    for (at, _) in ours {
        let name: String = expression[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let rest = &expression[at + name.len()..];
        let matchers = rest.strip_prefix('{').map(matchers).unwrap_or_default();
        found.push((name, matchers));
    }
    found
}

/// The labels that an expression groups by.
fn grouped(expression: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for word in ["by (", "on ("] {
        for (at, _) in expression.match_indices(word) {
            let labels = expression[at + word.len()..].split(')').next().unwrap_or_default();
            found.extend(labels.split(',').map(|label| label.trim().to_owned()));
        }
    }
    found
}

/// Whether a pattern of Prometheus, of the forms that are used here, fits some of these values.
fn fits(pattern: &str, operator: &str, values: &BTreeSet<String>) -> bool {
    if !operator.contains('~') {
        return values.contains(pattern);
    }
    pattern.split('|').all(|one| match one.strip_suffix(".*") {
        Some(start) => values.iter().any(|value| value.starts_with(start)),
        None => values.contains(one),
    })
}

fn faults(expression: &str, served: &Served) -> Vec<String> {
    let mut faults = Vec::new();
    let mut known: BTreeSet<&str> = OTHERS.into_iter().chain(["le", "queue"]).collect();
    for (name, matchers) in named(expression) {
        let Some(labels) = served.get(&name) else {
            faults.push(format!("{name} is not served"));
            continue;
        };
        known.extend(labels.keys().map(String::as_str));
        for (label, operator, value) in matchers {
            match labels.get(&label) {
                Some(values) if fits(&value, &operator, values) => {}
                Some(values) => faults.push(format!("{name}: {label}{operator}{value:?} fits none of {values:?}")),
                None if OTHERS.contains(&label.as_str()) => {}
                None => faults.push(format!("{name} has no label {label}")),
            }
        }
    }
    faults.extend(
        grouped(expression)
            .iter()
            .filter(|label| !known.contains(label.as_str()))
            .map(|label| format!("nothing in it has the label {label}: {expression}")),
    );
    faults
}

/// Name and expression of each rule.
fn rules() -> Vec<(String, String)> {
    let text = file(RULES);
    let mut rules: Vec<(String, String)> = Vec::new();
    let mut within = false;
    for line in text.lines() {
        let words = line.trim();
        if let Some(alert) = words.strip_prefix("- alert: ") {
            rules.push((alert.to_owned(), String::new()));
        } else if let Some((_, expression)) = rules.last_mut() {
            if let Some(start) = words.strip_prefix("expr: ") {
                (within, *expression) = (true, start.to_owned());
            } else if within && (words.starts_with("for: ") || words == "labels:") {
                within = false;
            } else if within {
                expression.push(' ');
                expression.push_str(words);
            }
        }
    }
    rules
}

fn dashboard() -> Value {
    serde_json::from_str(&file(DASHBOARD)).expect("JSON")
}

/// Title, expression and legend of each query.
fn queries(dashboard: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| Some((panel, panel["targets"].as_array()?)));
    targets
        .flat_map(|(panel, targets)| {
            targets.iter().map(|target| (text(&panel["title"]), text(&target["expr"]), text(&target["legendFormat"])))
        })
        .collect()
}

#[test]
fn alerts_and_dashboard_name_only_what_a_worker_serves() {
    let served = served();
    let rules = rules();
    assert!(rules.len() > 20, "{rules:?}");
    let queries = queries(&dashboard());
    assert!(queries.len() > 30, "{queries:?}");
    let expressions = rules.into_iter().chain(queries.into_iter().map(|(title, expression, _)| (title, expression)));
    let mut found = Vec::new();
    for (name, expression) in expressions {
        assert!(expression.contains("antispoofd_") || expression.contains("rabbitmq_") || expression.contains("up{"));
        found.extend(faults(&expression, &served).into_iter().map(|fault| format!("{name}: {fault}")));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn what_is_not_served_is_noticed() {
    let served = served();
    for (expression, fault) in [
        ("sum(rate(antispoofd_job_total[5m]))", "is not served"),
        (r#"antispoofd_jobs_total{outcome="alive"}"#, "fits none"),
        (r#"antispoofd_failures_total{code=~"api_.*|shop_.*"}"#, "fits none"),
        (r#"antispoofd_jobs_total{kind="live"}"#, "no label kind"),
        ("process_memory_bytes", "is not served"),
        ("sum by (reason) (antispoofd_jobs_total)", "the label reason"),
    ] {
        let found = faults(expression, &served);
        assert!(found.len() == 1 && found[0].contains(fault), "{expression}: {found:?}");
    }
    let good = r#"sum by (code) (rate(antispoofd_failures_total{code!~"api_.*|store_timeout",pod="x"}[5m]))"#;
    assert_eq!(faults(good, &served), Vec::<String>::new());
}

#[test]
fn the_plain_rules_are_those_of_the_chart_and_each_fires_in_a_test() {
    let of_the_chart: Vec<String> =
        file(TEMPLATE).lines().filter_map(|line| line.trim().strip_prefix("- alert: ").map(str::to_owned)).collect();
    let plain: Vec<String> = rules().into_iter().map(|(alert, _)| alert).collect();
    assert_eq!(plain, of_the_chart, "run make chart-update");
    let tests = file(TESTS);
    for alert in &plain {
        let fires = tests.lines().any(|line| {
            line.contains(&format!("alertname=\"{alert}\"")) && line.contains("value: ") && !line.contains("value: 0")
        });
        assert!(fires, "{alert} fires in no test of {TESTS}");
    }
    assert!(tests.contains("exp_samples: []"), "and on a healthy worker none does");
}

#[test]
fn the_dashboard_can_be_provisioned() {
    let dashboard = dashboard();
    assert_eq!(dashboard["uid"], "antispoofd");
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    assert!(variables.iter().any(|variable| variable["name"] == "datasource" && variable["type"] == "datasource"));
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().expect("a number")).collect();
    assert_eq!(ids.len(), panels.len(), "each has an id of its own");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        assert!(panel["description"].as_str().is_some_and(|text| text.len() > 10), "{}", panel["title"]);
    }
    for (title, expression, legend) in queries(&dashboard) {
        for label in legend.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(label, _)| label) {
            let there = grouped(&expression).contains(label) || OTHERS.contains(&label);
            assert!(there, "{title}: {expression} has no label {label}");
        }
    }
    let linked = fs::canonicalize("deploy/helm/antispoofd/dashboard.json").expect("the chart's link");
    assert_eq!(linked, fs::canonicalize(DASHBOARD).expect("a file"), "the chart has no copy of its own");
}
