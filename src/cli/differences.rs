//! Words about what is at the broker otherwise than it should be, and about asking for it.

use crate::amqp::{Difference, ManagementError};

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

/// What to do when the management API does not tell.
pub(super) fn management_remedy(error: &ManagementError) -> &'static str {
    match error {
        ManagementError::Url(_) => "write --management http://host:15672",
        ManagementError::Client(_) => {
            "correct amqp.url; certificate authorities are those of the system, or of SSL_CERT_FILE"
        }
        ManagementError::Unreachable { .. } => {
            "is the plugin enabled (`rabbitmq-plugins enable rabbitmq_management`), and are host and port right?"
        }
        ManagementError::Refused { .. } => {
            "the user of amqp.url needs the tag \"management\" (`rabbitmqctl set_user_tags`) and permissions in the vhost"
        }
    }
}
