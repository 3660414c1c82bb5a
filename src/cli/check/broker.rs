//! The broker: who we are there, and whether exchanges and queues are as they should be.

use super::report::Line;
use crate::amqp::{
    Compatibility, ConnectError, Effect, Found, Link, Management, ManagementError, Names, NotTaken, Policies, Product,
    Role, State, close, connect, inspect, takes_messages,
};
use crate::cli::differences::{listed, management_remedy, policy, policy_remedy, remedy};
use crate::settings::{Amqp, Settings, TopologyMode};
use std::time::Duration;

const BROKER: &str = "broker";
const TOPOLOGY: &str = "topology";
const PUBLISH: &str = "publish";
const RESULTS: &str = "results";
const POLICIES: &str = "policies";
const BIND: &str = "bind a queue before the first job: without one verdicts are held and nothing is consumed";

/// Far above what some twenty round trips take; a broker that does not answer is not waited for.
const LIMIT: Duration = Duration::from_secs(30);

pub(super) async fn probe(settings: &Settings, management: Option<&str>) -> Vec<Line> {
    let amqp = &settings.amqp;
    let link = match connect(amqp, &settings.worker.instance, Role::Tool).await {
        Ok(link) => link,
        Err(error) => return vec![refused(&error)],
    };
    let mut lines = vec![standing(link.broker(), &amqp.url.to_string())];
    let names = Names::new(&amqp.prefix, &settings.retry.delays);
    lines.extend(match management {
        Some(url) => through(url, settings, &names).await,
        None => over_amqp(&link, settings, &names).await,
    });
    lines.extend(publishing(&link, &names, settings).await);
    close(&link).await;
    lines
}

/// Last, because a connection that the broker blocks is of no use any more.
async fn publishing(link: &Link, names: &Names, settings: &Settings) -> Option<Line> {
    let exchange = &names.internal;
    let limit = settings.amqp.publish_timeout.min(LIMIT);
    Some(match takes_messages(link, exchange, limit).await {
        Ok(()) => {
            Line::ok(PUBLISH, format!("{exchange} takes messages: no alarm, and the right to write to it is there"))
        }
        // Said in the line about the topology.
        Err(NotTaken::Missing) => return None,
        Err(NotTaken::Blocked(why)) => Line::unreachable(
            PUBLISH,
            format!("the broker blocks what publishes: {why}"),
            "its alarm is over when it has memory and disk again: `rabbitmq-diagnostics alarms`. Until then no call is made",
        ),
        Err(NotTaken::Forbidden) => Line::wrong(
            PUBLISH,
            format!("the user may not write to {exchange}"),
            "give the user the rights of docs/rights.md",
        ),
        Err(NotTaken::Unconfirmed(why)) => Line::unreachable(
            PUBLISH,
            format!("{exchange} took no message: {why}"),
            "is the broker overloaded? its log says more",
        ),
    })
}

async fn over_amqp(link: &Link, settings: &Settings, names: &Names) -> Vec<Line> {
    let mut lines = match tokio::time::timeout(LIMIT, inspect(link, names)).await {
        Ok(Ok(found)) => topology(&found, &settings.amqp),
        Ok(Err(error)) => {
            let why = anyhow::Error::from(error);
            vec![Line::unreachable(TOPOLOGY, format!("{why:#}"), "try again; the broker's log says more")]
        }
        Err(_) => vec![Line::unreachable(
            TOPOLOGY,
            format!("not told within {} s", LIMIT.as_secs()),
            "is the broker overloaded, or has its quorum no majority? its log says more",
        )],
    };
    lines.push(
        Line::note(RESULTS, format!("whether a queue is bound to {} cannot be asked over AMQP", names.results))
            .help(format!("{BIND}; with --management, this is looked at")),
    );
    lines.push(
        Line::note(POLICIES, "whether policies drop, expire or move messages cannot be asked over AMQP")
            .help("with --management http://host:15672, they are looked at"),
    );
    lines
}

async fn through(url: &str, settings: &Settings, names: &Names) -> Vec<Line> {
    let compared = match Management::new(url, &settings.amqp) {
        Ok(management) => management.compare(names).await,
        Err(error) => Err(error),
    };
    let compared = match compared {
        Ok(compared) => compared,
        Err(error) => {
            let (words, remedy) = (error.to_string(), management_remedy(&error));
            return vec![match error {
                ManagementError::Unreachable { .. } => Line::unreachable(TOPOLOGY, words, remedy),
                _ => Line::wrong(TOPOLOGY, words, remedy),
            }];
        }
    };
    let mut lines = topology(&compared.found, &settings.amqp);
    let results = format!("exchange {}", names.results);
    let there = compared.found.iter().any(|found| found.object == results && found.state != State::Missing);
    lines.push(match (compared.results_bound, there) {
        (true, _) => Line::ok(RESULTS, format!("{} has a binding", names.results)),
        (false, true) => Line::wrong(RESULTS, format!("nothing is bound to {}", names.results), BIND),
        (false, false) => Line::note(RESULTS, format!("{} is not there yet", names.results)).help(BIND),
    });
    lines.extend(policies(&compared.policies, settings.amqp.url.vhost()));
    lines
}

fn policies(policies: &Policies, vhost: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = policies
        .findings
        .iter()
        .map(|finding| {
            let (words, remedy) = (policy(finding), policy_remedy(finding, vhost));
            match finding.effect {
                Effect::Removes(_) => Line::wrong(POLICIES, words, remedy),
                Effect::Notable(_) => Line::note(POLICIES, words).help(format!("if it is not meant so: {remedy}")),
            }
        })
        .collect();
    lines.extend(policies.unknown.iter().map(|why| Line::note(POLICIES, why.as_str())));
    if lines.is_empty() {
        lines.push(Line::ok(POLICIES, "none drops, expires or moves messages"));
    }
    lines
}

fn standing(broker: &Product, url: &str) -> Line {
    let words = format!("logged in at {url} ({broker})");
    match broker.compatibility() {
        Compatibility::Doubtful(why) => Line::note(BROKER, words).help(why),
        Compatibility::Supported | Compatibility::TooOld => Line::ok(BROKER, words),
    }
}

fn refused(error: &ConnectError) -> Line {
    let words = error.to_string();
    match error {
        ConnectError::Url(_) => Line::wrong(BROKER, words, "correct amqp.url"),
        ConnectError::CaFile { .. } => Line::wrong(BROKER, words, "let the file be read, or correct amqp.ca_file"),
        ConnectError::TooOld { .. } => Line::wrong(BROKER, words, ConnectError::UPGRADE),
        ConnectError::Refused { .. } if error.is_refusal() => Line::wrong(
            BROKER,
            words,
            "correct amqp.url (amqp.url_file, ANTISPOOFD__AMQP__URL); `rabbitmqctl authenticate_user` and \
             `rabbitmqctl list_user_permissions` tell what the broker thinks of the user",
        ),
        ConnectError::Timeout(_) | ConnectError::Refused { .. } => Line::unreachable(
            BROKER,
            words,
            "is the broker up, and are host and port of amqp.url right? TLS needs amqps:// and its port, 5671",
        ),
    }
}

fn topology(found: &[Found], amqp: &Amqp) -> Vec<Line> {
    let (mode, vhost) = (amqp.topology, amqp.url.vhost());
    let mut lines = Vec::new();
    let (mut missing, mut unknown) = (Vec::new(), Vec::new());
    for Found { object, state } in found {
        match state {
            State::AsItShould => {}
            State::Missing => missing.push(object.as_str()),
            State::Differs(differences) => lines.push(Line::wrong(
                TOPOLOGY,
                format!("{object} is there with {}", listed(differences)),
                remedy(object, vhost),
            )),
            State::Unknown(why) => unknown.push((object.as_str(), why.as_str())),
        }
    }
    if let Some((_, why)) = unknown.first() {
        let objects: Vec<&str> = unknown.iter().map(|(object, _)| *object).collect();
        let objects = objects.join(", ");
        lines.push(match mode {
            TopologyMode::Declare => Line::wrong(
                TOPOLOGY,
                format!("there, but `run` may not declare: {objects} ({why})"),
                "give the user the right to configure; or set amqp.topology = \"check\", and let another user declare \
                 with `antispoofd topology apply`",
            ),
            TopologyMode::Check | TopologyMode::None => {
                Line::note(TOPOLOGY, format!("there, but not compared: {objects} ({why})")).help(
                    "comparing needs the right to configure, with which nothing is changed either, or --management",
                )
            }
        });
    }
    if !missing.is_empty() {
        let words = format!("not there: {}", missing.join(", "));
        lines.push(match mode {
            TopologyMode::Declare => Line::note(TOPOLOGY, format!("{words}; `run` declares them")),
            TopologyMode::Check | TopologyMode::None => Line::wrong(
                TOPOLOGY,
                words,
                "run `antispoofd topology apply` as a user with the right to configure, or set amqp.topology = \"declare\"; \
                 are vhost and amqp.prefix right?",
            ),
        });
    }
    if lines.is_empty() {
        lines.push(Line::ok(TOPOLOGY, format!("{} objects are as they should be", found.len())));
    }
    lines
}
