//! Words about what is at the broker otherwise than it should be, and about asking for it.

use super::terminal::plain;
use crate::amqp::{Difference, Effect, ManagementError, PolicyFinding};

/// `x-delivery-limit = 5 (should be 20), durable = false (should be true)`
pub(super) fn listed(differences: &[Difference]) -> String {
    let parts: Vec<String> = differences
        .iter()
        .map(|difference| format!("{} = {} (should be {})", difference.argument, difference.found, difference.wanted))
        .collect();
    parts.join(", ")
}

/// What to do about an object that differs.
pub(super) fn remedy(object: &str, vhost: &str) -> String {
    let name = object.split_once(' ').map_or(object, |(_, name)| name);
    let empty = if object.starts_with("queue ") {
        let first = if name.ends_with(".parked") {
            "keep a copy of what is in it (docs/parked.md), since nothing else empties it"
        } else {
            "stop what publishes to it, let the workers empty it"
        };
        format!("{first}, `rabbitmqctl delete_queue -p {} {}`", quoted(vhost), quoted(name))
    } else {
        "delete it when nothing publishes to it (its bindings go with it)".to_owned()
    };
    format!(
        "this cannot be changed of what is there: {empty}, then `antispoofd topology apply` (docs/topology.md, \"Queues of an earlier version\"); or choose \
         another amqp.prefix"
    )
}

/// `queue antispoof.jobs: message-ttl = 3000 by policy "cap": a message that …`
pub(super) fn policy(finding: &PolicyFinding) -> String {
    let set_by: Vec<String> = finding.set_by.iter().map(ToString::to_string).collect();
    let (Effect::Removes(words) | Effect::Notable(words)) = &finding.effect;
    format!("{}: {} = {} by {}: {words}", finding.object, finding.key, finding.value, set_by.join(" and "))
}

/// What to do about a policy that is not meant so.
pub(super) fn policy_remedy(finding: &PolicyFinding, vhost: &str) -> String {
    let clear = finding.set_by.iter().map(|set_by| {
        let kind = if set_by.operator { "clear_operator_policy" } else { "clear_policy" };
        format!("`rabbitmqctl {kind} -p {} {}`", quoted(vhost), quoted(&set_by.name))
    });
    let clear: Vec<String> = clear.collect();
    format!(
        "take {} out of it, narrow its pattern so that it leaves this name alone, or clear it ({})",
        finding.key,
        clear.join(", ")
    )
}

/// As one word of a shell.
fn quoted(word: &str) -> String {
    let bare = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:@%".contains(c));
    if bare { word.to_owned() } else { format!("'{}'", plain(word).replace('\'', r"'\''")) }
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
        ManagementError::Refused { status, .. } if ![401, 403].contains(&status.as_u16()) => {
            "is this the address of the management API, without a path behind the port, and is the vhost of amqp.url there?"
        }
        ManagementError::Refused { .. } => {
            "the user of amqp.url needs the tag \"management\" (`rabbitmqctl set_user_tags`) and permissions in the vhost"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::PolicyName;

    #[test]
    fn a_queue_is_deleted_in_its_own_vhost_and_the_parked_one_is_not_waited_for() {
        let jobs = remedy("queue kyc.jobs", "kyc");
        assert!(jobs.contains("let the workers empty it, `rabbitmqctl delete_queue -p kyc kyc.jobs`"), "{jobs}");
        let parked = remedy("queue kyc.parked", "the bank's");
        assert!(parked.contains("keep a copy") && !parked.contains("workers"), "{parked}");
        assert!(parked.contains(r"`rabbitmqctl delete_queue -p 'the bank'\''s' kyc.parked`"), "{parked}");
    }

    #[test]
    fn a_policy_is_named_with_what_it_does_and_how_it_is_cleared() {
        let by = |operator, name: &str| PolicyName { operator, name: name.to_owned() };
        let finding = PolicyFinding {
            object: "queue kyc.jobs".to_owned(),
            set_by: vec![by(false, "cap"), by(true, "the bank's")],
            key: "max-length".to_owned(),
            value: "5".to_owned(),
            effect: Effect::Removes("when it is full, the oldest message is deleted".to_owned()),
        };
        assert_eq!(
            policy(&finding),
            "queue kyc.jobs: max-length = 5 by policy \"cap\" and operator policy \"the bank's\": \
             when it is full, the oldest message is deleted"
        );
        let remedy = policy_remedy(&finding, "/");
        assert!(remedy.starts_with("take max-length out of it, "), "{remedy}");
        let clear = r"(`rabbitmqctl clear_policy -p / cap`, `rabbitmqctl clear_operator_policy -p / 'the bank'\''s'`)";
        assert!(remedy.ends_with(clear), "{remedy}");
    }
}
