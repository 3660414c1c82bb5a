//! Words about what is at the broker with other arguments than ours.

use crate::amqp::Difference;

/// `x-delivery-limit = 5 (should be 20), durable = false (should be true)`
pub(super) fn listed(differences: &[Difference]) -> String {
    let parts: Vec<String> = differences
        .iter()
        .map(|difference| format!("{} = {} (should be {})", difference.argument, difference.found, difference.wanted))
        .collect();
    parts.join(", ")
}

/// What to do about an object that differs.
pub(super) fn remedy(object: &str) -> String {
    let name = object.split_once(' ').map_or(object, |(_, name)| name);
    let empty = if object.starts_with("queue ") {
        format!("stop what publishes to it, let the workers empty it, `rabbitmqctl delete_queue {name}`")
    } else {
        "delete it when nobody publishes to it (its bindings go with it)".to_owned()
    };
    format!(
        "nobody can change this of what is there: {empty}, then `antispoofd topology apply`; or choose another amqp.prefix"
    )
}
