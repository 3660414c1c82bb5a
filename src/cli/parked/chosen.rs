//! The jobs that a command is about: what was seen of them before it does anything.

use super::super::problem::Problem;
use super::filter::Filter;
use super::group::{By, Groups};
use super::source::Source;
use crate::amqp::Fingerprint;
use antispoof_core::failure::{Code, Stage};
use std::collections::HashMap;

pub(super) struct Chosen {
    /// How many of each there are.
    pub(super) fingerprints: HashMap<Fingerprint, u32>,
    pub(super) count: u64,
    /// How many messages the queue had.
    pub(super) of: u32,
    pub(super) groups: Groups,
    /// Those that a replay makes at most one call for: all but those that were not read as a job.
    pub(super) callable: u64,
    /// Those with a call in doubt.
    pub(super) in_doubt: u64,
    /// Those that the broker gave up because no worker brought them to an end.
    pub(super) suspects: u64,
}

impl Chosen {
    /// Looks at all messages, and chooses those that match, the first `limit` of them. A message that equals a chosen one is chosen, too:
    /// once one of them has left the queue, they cannot be told apart.
    pub(super) async fn look(source: &Source, filter: &Filter, limit: Option<u64>) -> Result<Self, Problem> {
        let mut chosen = Self {
            fingerprints: HashMap::new(),
            count: 0,
            of: 0,
            groups: Groups::new(By::Code),
            callable: 0,
            in_doubt: 0,
            suspects: 0,
        };
        let limit = limit.unwrap_or(u64::MAX);
        chosen.of = source
            .look(|held| {
                let entry = held.message.entry();
                if !filter.matches(entry) {
                    return Ok(());
                }
                let fingerprint = held.message.fingerprint();
                if chosen.count >= limit && !chosen.fingerprints.contains_key(&fingerprint) {
                    return Ok(());
                }
                chosen.count += 1;
                *chosen.fingerprints.entry(fingerprint).or_default() += 1;
                chosen.groups.add(entry);
                let code = entry.code.as_deref().and_then(Code::from_name);
                chosen.callable += u64::from(code.is_none_or(|code| code.stage() != Stage::Decode));
                chosen.in_doubt += u64::from(entry.in_doubt > 0);
                chosen.suspects += u64::from(code == Some(Code::DeliveryLimit));
                Ok(())
            })
            .await?;
        Ok(chosen)
    }
}

/// `1 job`, `2 jobs`.
pub(super) fn jobs(count: u64) -> String {
    format!("{count} {}", if count == 1 { "job" } else { "jobs" })
}
