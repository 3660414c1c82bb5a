//! The policies that the broker applies to our queues and exchanges. Of all policies that match one applies, and of all operator policies one.
//!
//! The object names them, and the lists of policies hold their definitions; a user needs the tag `management` for all of it. Up to 3.10
//! at least, a queue's operator policy is only in its samples; 4.3 shows it at once.

use super::compare::{items, text};
use super::effect::{Effect, on_exchange, on_queue};
use super::error::ManagementError;
use serde_json::{Map, Value};
use std::fmt;

/// How often, a second apart, the samples are read until each queue of ours has one.
pub(super) const SAMPLES: usize = 12;

/// What policies do to what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// Exchanges first; without those keys of policies that do nothing here.
    pub findings: Vec<PolicyFinding>,
    /// What could not be seen, and why: a sentence each.
    pub unknown: Vec<String>,
}

/// One key of a policy, and what it does to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFinding {
    /// `queue antispoof.jobs`, `exchange antispoof.results`.
    pub object: String,
    /// The policy that sets it, the operator policy, or both to the same value.
    pub set_by: Vec<PolicyName>,
    /// `message-ttl`, …
    pub key: String,
    /// As it is in effect: of two numbers the smaller.
    pub value: String,
    /// What it does.
    pub effect: Effect,
}

/// A policy by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyName {
    /// An operator policy (`rabbitmqctl list_operator_policies`); else an ordinary one.
    pub operator: bool,
    /// Unique among its kind in the vhost.
    pub name: String,
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", if self.operator { "operator policy" } else { "policy" }, self.name)
    }
}

impl Policies {
    /// The user may look at queues, and not at policies.
    pub(super) fn unseen(error: &ManagementError) -> Self {
        Self { findings: Vec::new(), unknown: vec![format!("policies cannot be seen: {error}")] }
    }

    /// Those that drop messages, let them expire, or move them.
    pub fn removing(&self) -> impl Iterator<Item = &PolicyFinding> {
        self.findings.iter().filter(|finding| matches!(finding.effect, Effect::Removes(_)))
    }
}

/// All policies of the vhost, as the API lists them.
pub(super) struct Defined {
    pub(super) user: Vec<Value>,
    pub(super) operator: Vec<Value>,
}

impl Defined {
    /// Whether the list of queues leaves open which operator policies apply.
    pub(super) fn wants_samples(&self, wanted: &Value, queues: &[Value]) -> bool {
        !self.operator.is_empty() && !all_name_operator_policy(wanted, queues)
    }

    /// `sampled`: the queues once more, where [`wants_samples`](Self::wants_samples) says so.
    pub(super) fn findings(
        &self,
        wanted: &Value,
        exchanges: &[Value],
        queues: &[Value],
        sampled: &[Value],
    ) -> Policies {
        let mut policies = Policies::default();
        for (name, exchange) in ours(&wanted["exchanges"], exchanges) {
            let applied = self.find(false, &exchange["policy"]);
            policies.add(&format!("exchange {name}"), &[applied], on_exchange);
        }
        for (name, queue) in ours(&wanted["queues"], queues) {
            let none = Map::new();
            let arguments = queue["arguments"].as_object().unwrap_or(&none);
            let operator = [queue]
                .into_iter()
                .chain(sampled.iter().filter(|sampled| sampled["name"] == name))
                .find_map(|queue| queue.get("operator_policy"));
            let operator = match operator {
                Some(operator) => self.find(true, operator),
                None if self.operator.is_empty() => Applied::None,
                None => Applied::Unknown(format!(
                    "no sample says yet which operator policy it has, ask once more in {SAMPLES} s"
                )),
            };
            let applied = [self.find(false, &queue["policy"]), operator];
            policies.add(&format!("queue {name}"), &applied, |key, set| on_queue(key, arguments, set));
        }
        policies
    }

    fn find(&self, operator: bool, name: &Value) -> Applied<'_> {
        let Some(name) = name.as_str().filter(|name| !name.is_empty()) else { return Applied::None };
        let named = PolicyName { operator, name: name.to_owned() };
        let defined = if operator { &self.operator } else { &self.user };
        match defined.iter().find(|policy| policy["name"] == name).and_then(|policy| policy["definition"].as_object()) {
            Some(definition) => Applied::Policy(named, definition),
            None => Applied::Unknown(format!("it has the {named}, which is not in the list of policies")),
        }
    }
}

/// Whether each of our queues names its operator policy, or says that it has none.
pub(super) fn all_name_operator_policy(wanted: &Value, queues: &[Value]) -> bool {
    ours(&wanted["queues"], queues).all(|(_, queue)| queue.get("operator_policy").is_some())
}

/// What applies to an object.
enum Applied<'a> {
    None,
    Policy(PolicyName, &'a Map<String, Value>),
    Unknown(String),
}

impl Policies {
    fn add(
        &mut self,
        object: &str,
        applied: &[Applied<'_>],
        effect: impl Fn(&str, &Map<String, Value>) -> Option<Effect>,
    ) {
        let mut set = Map::new();
        for applied in applied {
            match applied {
                Applied::None => {}
                Applied::Policy(_, definition) => merge(&mut set, definition),
                Applied::Unknown(why) => self.unknown.push(format!("{object}: {why}")),
            }
        }
        for (key, value) in &set {
            let Some(effect) = effect(key, &set) else { continue };
            let set_by = applied.iter().filter_map(|applied| match applied {
                Applied::Policy(name, definition) if definition.get(key) == Some(value) => Some(name.clone()),
                _ => None,
            });
            self.findings.push(PolicyFinding {
                object: object.to_owned(),
                set_by: set_by.collect(),
                key: key.clone(),
                value: text(value),
                effect,
            });
        }
    }
}

/// Adds an operator policy to a policy: of two numbers the smaller counts (below zero is no limit), else the operator's value.
fn merge(set: &mut Map<String, Value>, definition: &Map<String, Value>) {
    for (key, value) in definition {
        let both = set.get(key).and_then(Value::as_i64).zip(value.as_i64());
        let keep = both.is_some_and(|(before, new)| if before.min(new) < 0 { before >= new } else { before <= new });
        if !keep {
            set.insert(key.clone(), value.clone());
        }
    }
}

/// Those of `wanted` that are there, by name.
fn ours<'a>(wanted: &'a Value, there: &'a [Value]) -> impl Iterator<Item = (&'a str, &'a Value)> {
    items(wanted).filter_map(|wanted| {
        let name = wanted["name"].as_str()?;
        Some((name, there.iter().find(|object| object["name"] == name)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wanted() -> Value {
        json!({ "exchanges": [{ "name": "results" }], "queues": [{ "name": "jobs" }, { "name": "parked" }] })
    }

    fn queue(name: &str, policy: &str, operator: &str) -> Value {
        json!({ "name": name, "policy": policy, "operator_policy": operator, "arguments": {} })
    }

    fn defined(user: Value, operator: Value) -> Defined {
        let list = |policies: Value| {
            let policies = policies.as_object().unwrap().clone();
            policies.into_iter().map(|(name, definition)| json!({ "name": name, "definition": definition })).collect()
        };
        Defined { user: list(user), operator: list(operator) }
    }

    /// `object key value, policy, policy`
    fn said(policies: &Policies) -> Vec<String> {
        let one = |finding: &PolicyFinding| {
            let set_by: Vec<String> = finding.set_by.iter().map(ToString::to_string).collect();
            format!("{} {} {}, {}", finding.object, finding.key, finding.value, set_by.join(", "))
        };
        policies.findings.iter().map(one).collect()
    }

    #[test]
    fn each_key_names_the_policy_whose_value_is_in_effect() {
        let defined = defined(
            json!({ "p": { "message-ttl": 9, "max-length": 5, "expires": 7, "delivery-limit": 3, "ha-mode": "all" }, "other": { "expires": 1 } }),
            json!({ "o": { "message-ttl": 4, "max-length": 6, "expires": 7, "delivery-limit": -1 } }),
        );
        let policies = defined.findings(&wanted(), &[], &[queue("jobs", "p", "o"), queue("theirs", "other", "")], &[]);
        assert_eq!(
            said(&policies),
            [
                r#"queue jobs delivery-limit 3, policy "p""#,
                r#"queue jobs expires 7, policy "p", operator policy "o""#,
                r#"queue jobs max-length 5, policy "p""#,
                r#"queue jobs message-ttl 4, operator policy "o""#,
            ]
        );
        assert_eq!((policies.removing().count(), policies.unknown.len()), (4, 0));
    }

    #[test]
    fn of_two_overflows_the_operators_counts() {
        let defined = defined(
            json!({ "p": { "overflow": "drop-head", "max-length": 5 } }),
            json!({ "o": { "overflow": "reject-publish" } }),
        );
        let policies = defined.findings(&wanted(), &[], &[queue("parked", "p", "o")], &[]);
        assert_eq!(said(&policies), [r#"queue parked max-length 5, policy "p""#]);
        assert_eq!(policies.removing().count(), 0);
    }

    #[test]
    fn an_exchange_has_no_operator_policy() {
        let defined = defined(json!({ "p": { "alternate-exchange": "attic", "expires": 5 } }), json!({}));
        let exchange = json!({ "name": "results", "policy": "p" });
        let policies = defined.findings(&wanted(), &[exchange], &[queue("jobs", "", "")], &[]);
        assert_eq!(said(&policies), [r#"exchange results alternate-exchange attic, policy "p""#]);
    }

    #[test]
    fn a_sample_tells_what_the_list_leaves_open() {
        let defined = defined(json!({}), json!({ "o": { "expires": 5 } }));
        let bare = |name: &str| json!({ "name": name, "arguments": {} });
        let queues = [bare("jobs"), bare("parked")];
        assert!(defined.wants_samples(&wanted(), &queues));
        let sampled = [queue("jobs", "", "o"), bare("parked")];
        assert!(!all_name_operator_policy(&wanted(), &sampled));
        let policies = defined.findings(&wanted(), &[], &queues, &sampled);
        assert_eq!(said(&policies), [r#"queue jobs expires 5, operator policy "o""#]);
        assert_eq!(policies.unknown.len(), 1);
        assert!(policies.unknown[0].starts_with("queue parked: no sample says yet "), "{policies:?}");

        let without = Defined { user: Vec::new(), operator: Vec::new() };
        assert!(!without.wants_samples(&wanted(), &queues), "there is none that could apply");
        assert_eq!(without.findings(&wanted(), &[], &queues, &[]), Policies::default());
    }

    #[test]
    fn a_policy_that_is_not_in_the_list_is_not_known() {
        let policies = defined(json!({}), json!({})).findings(&wanted(), &[], &[queue("jobs", "gone", "")], &[]);
        assert_eq!(policies.unknown, [r#"queue jobs: it has the policy "gone", which is not in the list of policies"#]);
    }
}
