//! What a key of a policy does to a queue or an exchange of ours, as measured on RabbitMQ 3.10.8 and 4.3.6.
//!
//! Of a number in a policy and one in the queue's arguments the smaller is in effect, of two `dead-letter-…` the argument, of two `overflow` the policy.
//! `reject-publish-dlx` is not for quorum queues, which treat it as `drop-head`.

use super::compare::text;
use crate::amqp::topology::JOBS_DELIVERY_LIMIT;
use serde_json::{Map, Value};

/// What becomes of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Some are dropped, expire or are moved to where they should not be: these words say which.
    Removes(String),
    /// None is removed by this alone, and it may not be meant.
    Notable(String),
}

/// The effect of a key of `set`, which is what all policies of the queue amount to. None: nothing that matters here.
pub(super) fn on_queue(key: &str, arguments: &Map<String, Value>, set: &Map<String, Value>) -> Option<Effect> {
    let queue = Queue { arguments, set };
    match key {
        "message-ttl" => queue.message_ttl(),
        "expires" => {
            let after = text(&set["expires"]);
            Some(Effect::Removes(format!(
                "after {after} ms without a consumer the queue is deleted with all that is in it"
            )))
        }
        "max-length" | "max-length-bytes" => Some(if queue.refuses_when_full() {
            Effect::Notable("when it is full, what is published to it is refused".to_owned())
        } else {
            Effect::Removes(format!("when it is full, the oldest message {}", queue.leaves()))
        }),
        "delivery-limit" => queue.delivery_limit(),
        "overflow" => queue.overflow(),
        "dead-letter-exchange" if queue.argument(key).is_none() => {
            let exchange = text(&set[key]);
            Some(Effect::Notable(format!("what is rejected or dropped there goes to the exchange {exchange}")))
        }
        "dead-letter-routing-key" if queue.argument(key).is_none() && queue.dead_letter("exchange").is_some() => {
            Some(Effect::Notable(format!("what is rejected or dropped there goes on as {}", text(&set[key]))))
        }
        "dead-letter-strategy" if queue.argument(key).is_none() && queue.dead_letter("exchange").is_some() => (set
            [key]
            == "at-least-once")
            .then(|| Effect::Notable("what is rejected or dropped there stays until it is taken elsewhere".to_owned())),
        _ => None,
    }
}

/// As [`on_queue`], on an exchange.
pub(super) fn on_exchange(key: &str, set: &Map<String, Value>) -> Option<Effect> {
    let to = text(set.get(key)?);
    (key == "alternate-exchange").then(|| {
        Effect::Removes(format!(
            "what no binding takes goes to the exchange {to}, and who published it counts it as delivered"
        ))
    })
}

struct Queue<'a> {
    arguments: &'a Map<String, Value>,
    set: &'a Map<String, Value>,
}

impl Queue<'_> {
    fn argument(&self, key: &str) -> Option<&Value> {
        self.arguments.get(&format!("x-{key}"))
    }

    /// `exchange`, `routing-key` or `strategy`, from wherever it comes.
    fn dead_letter(&self, part: &str) -> Option<&Value> {
        let key = format!("dead-letter-{part}");
        self.argument(&key).or_else(|| self.set.get(&key))
    }

    fn refuses_when_full(&self) -> bool {
        self.set.get("overflow").or_else(|| self.argument("overflow")).is_some_and(|value| value == "reject-publish")
    }

    /// Where a message goes that the broker takes off the queue.
    fn leaves(&self) -> String {
        match (self.dead_letter("exchange"), self.dead_letter("routing-key")) {
            (None, _) => "is deleted".to_owned(),
            (Some(_), Some(key)) => format!("goes to {}", text(key)),
            (Some(exchange), None) => format!("goes to the exchange {}", text(exchange)),
        }
    }

    fn message_ttl(&self) -> Option<Effect> {
        let after = self.set["message-ttl"].as_u64()?;
        let leaves = self.leaves();
        match self.argument("message-ttl").and_then(Value::as_u64) {
            Some(meant) if after >= meant => None,
            Some(meant) => Some(Effect::Removes(format!("a message {leaves} after {after} ms instead of {meant} ms"))),
            None => Some(Effect::Removes(format!("a message that has waited {after} ms {leaves}"))),
        }
    }

    fn delivery_limit(&self) -> Option<Effect> {
        // Below zero: no limit, which the argument outweighs.
        let limit = self.set["delivery-limit"].as_i64().filter(|limit| *limit >= 0)?;
        let leaves = self.leaves();
        let back = if limit == 0 { "once".to_owned() } else { format!("more than {limit} times") };
        match self.argument("delivery-limit").and_then(Value::as_i64) {
            Some(meant) if (0..=limit).contains(&meant) => None,
            Some(meant) => {
                Some(Effect::Removes(format!("a message that came back {back} (should be {meant}) {leaves}")))
            }
            // A delay queue has no consumer, and from 4.0 on it has this limit without a policy.
            None if self.argument("message-ttl").is_some() => (limit < JOBS_DELIVERY_LIMIT).then(|| {
                Effect::Notable(format!(
                    "a message that was taken out to be looked at and came back {back} {leaves} early"
                ))
            }),
            None => Some(Effect::Removes(format!("a message that came back {back} {leaves}"))),
        }
    }

    fn overflow(&self) -> Option<Effect> {
        let at_least_once = self.dead_letter("strategy").is_some_and(|strategy| strategy == "at-least-once");
        let overridden = !self.refuses_when_full() && at_least_once && self.dead_letter("exchange").is_some();
        overridden.then(|| {
            let (is, leaves) = (text(&self.set["overflow"]), self.leaves());
            Effect::Removes(format!(
                "with {is} the broker dead-letters at most once: a message that {leaves} is lost where it cannot be taken"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::{Names, definitions};
    use crate::settings::Delay;
    use serde_json::json;
    use std::time::Duration;

    fn names() -> Names {
        Names::new("kyc", &[Delay { name: "10s".to_owned(), duration: Duration::from_secs(10) }])
    }

    /// Those of our queue, as it is declared.
    fn arguments(queue: &str) -> Map<String, Value> {
        let all = definitions(&names(), "/");
        let queues = all["queues"].as_array().unwrap();
        let found = queues.iter().find(|found| found["name"] == queue).unwrap();
        found["arguments"].as_object().unwrap().clone()
    }

    #[track_caller]
    fn effect(queue: &str, key: &str, set: &Value) -> Option<Effect> {
        on_queue(key, &arguments(queue), set.as_object().unwrap())
    }

    #[track_caller]
    fn removes(queue: &str, key: &str, set: &Value) -> String {
        match effect(queue, key, set) {
            Some(Effect::Removes(words)) => words,
            other => panic!("{queue}, {set}: {other:?}"),
        }
    }

    #[track_caller]
    fn notable(queue: &str, key: &str, set: &Value) -> String {
        match effect(queue, key, set) {
            Some(Effect::Notable(words)) => words,
            other => panic!("{queue}, {set}: {other:?}"),
        }
    }

    fn job_dead_letters() -> String {
        arguments("kyc.jobs")["x-dead-letter-routing-key"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_time_to_live_counts_where_it_is_shorter() {
        let (short, long) = (json!({ "message-ttl": 3000 }), json!({ "message-ttl": 10_000 }));
        let to = job_dead_letters();
        assert_eq!(
            removes("kyc.jobs", "message-ttl", &short),
            format!("a message that has waited 3000 ms goes to {to}")
        );
        assert_eq!(removes("kyc.parked", "message-ttl", &short), "a message that has waited 3000 ms is deleted");
        let early = "a message goes to kyc.jobs after 3000 ms instead of 10000 ms";
        assert_eq!(removes("kyc.retry.10s", "message-ttl", &short), early);
        assert_eq!(effect("kyc.retry.10s", "message-ttl", &long), None);
    }

    #[test]
    fn an_expiry_deletes_every_queue() {
        for queue in ["kyc.jobs", "kyc.parked", "kyc.retry.10s"] {
            let words = removes(queue, "expires", &json!({ "expires": 60_000 }));
            assert_eq!(words, "after 60000 ms without a consumer the queue is deleted with all that is in it");
        }
    }

    #[test]
    fn a_full_queue_refuses_or_drops() {
        let only = json!({ "max-length": 5 });
        let refused = "when it is full, what is published to it is refused";
        assert_eq!(notable("kyc.jobs", "max-length", &only), refused);
        assert_eq!(notable("kyc.retry.10s", "max-length-bytes", &json!({ "max-length-bytes": 5 })), refused);
        assert_eq!(notable("kyc.parked", "max-length", &only), refused);
        // The policy's overflow outweighs the queue's, and quorum queues take the third kind for the first.
        for overflow in ["drop-head", "reject-publish-dlx"] {
            let dropped = json!({ "max-length": 5, "overflow": overflow });
            assert_eq!(
                removes("kyc.retry.10s", "max-length", &dropped),
                "when it is full, the oldest message goes to kyc.jobs"
            );
            assert_eq!(removes("kyc.parked", "max-length", &dropped), "when it is full, the oldest message is deleted");
        }
        let elsewhere = json!({ "max-length": 5, "overflow": "drop-head", "dead-letter-exchange": "attic" });
        assert!(removes("kyc.parked", "max-length", &elsewhere).ends_with("goes to the exchange attic"));
    }

    #[test]
    fn a_delivery_limit_counts_where_it_is_smaller() {
        let (to, meant) = (job_dead_letters(), arguments("kyc.jobs")["x-delivery-limit"].clone());
        let limit = |limit: i64| json!({ "delivery-limit": limit });
        let words = format!("a message that came back more than 2 times (should be {meant}) goes to {to}");
        assert_eq!(removes("kyc.jobs", "delivery-limit", &limit(2)), words);
        assert!(
            removes("kyc.jobs", "delivery-limit", &limit(0)).starts_with("a message that came back once (should be ")
        );
        assert_eq!(effect("kyc.jobs", "delivery-limit", &limit(meant.as_i64().unwrap())), None);
        assert_eq!(effect("kyc.jobs", "delivery-limit", &limit(-1)), None);
        assert!(removes("kyc.parked", "delivery-limit", &limit(20)).ends_with("(should be 100000) is deleted"));
        assert!(notable("kyc.retry.10s", "delivery-limit", &limit(2)).ends_with("goes to kyc.jobs early"));
        assert_eq!(effect("kyc.retry.10s", "delivery-limit", &limit(20)), None);
    }

    #[test]
    fn dropping_the_head_undoes_at_least_once() {
        for overflow in ["drop-head", "reject-publish-dlx"] {
            let words = removes("kyc.retry.10s", "overflow", &json!({ "overflow": overflow }));
            assert!(words.contains("at most once: a message that goes to kyc.jobs is lost"), "{words}");
            assert_eq!(effect("kyc.parked", "overflow", &json!({ "overflow": overflow })), None);
        }
        assert_eq!(effect("kyc.jobs", "overflow", &json!({ "overflow": "reject-publish" })), None);
    }

    #[test]
    fn dead_letters_go_where_the_arguments_say() {
        let set = json!({
            "dead-letter-exchange": "attic", "dead-letter-routing-key": "old", "dead-letter-strategy": "at-most-once",
        });
        for key in ["dead-letter-exchange", "dead-letter-routing-key", "dead-letter-strategy"] {
            assert_eq!(effect("kyc.jobs", key, &set), None);
            assert_eq!(effect("kyc.retry.10s", key, &set), None);
        }
        assert!(notable("kyc.parked", "dead-letter-exchange", &set).ends_with("goes to the exchange attic"));
        assert!(notable("kyc.parked", "dead-letter-routing-key", &set).ends_with("goes on as old"));
        let alone = json!({ "dead-letter-routing-key": "old" });
        assert_eq!(effect("kyc.parked", "dead-letter-routing-key", &alone), None, "the broker has no exchange for it");
    }

    #[test]
    fn an_alternate_exchange_swallows_what_no_queue_is_bound_for() {
        let set = json!({ "alternate-exchange": "attic", "message-ttl": 5 });
        let set = set.as_object().unwrap();
        let Some(Effect::Removes(words)) = on_exchange("alternate-exchange", set) else { panic!() };
        assert!(words.starts_with("what no binding takes goes to the exchange attic"), "{words}");
        assert_eq!(on_exchange("message-ttl", set), None);
    }

    #[test]
    fn what_is_about_replicas_and_leaders_does_nothing_here() {
        let set = json!({ "queue-leader-locator": "client-local", "consumer-timeout": 60_000, "max-age": "1h", "target-group-size": 3 });
        for key in set.as_object().unwrap().keys() {
            assert_eq!(effect("kyc.jobs", key, &set), None, "{key}");
        }
    }
}
