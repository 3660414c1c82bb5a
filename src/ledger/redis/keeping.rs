//! Whether a server keeps its records: one that evicts them, or loses them at its next start, has jobs paid for again unnoticed.

use super::link::Link;
use redis::Cmd;
use std::collections::BTreeMap;

/// What a server does that is bad for records, and what it does not say about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keeping {
    evicts: Answer,
    forgets: Answer,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Answer {
    #[default]
    No,
    /// The setting to blame.
    Yes(String),
    Unknown,
}

impl Keeping {
    /// What is paid for again because of it, and how to end that; one line.
    pub fn warning(&self) -> Option<String> {
        let evicts = match &self.evicts {
            Answer::Yes(policy) => Some(format!(
                "evicts records when its memory is full (maxmemory-policy {policy}; set it to noeviction)"
            )),
            Answer::No | Answer::Unknown => None,
        };
        let forgets = match &self.forgets {
            Answer::Yes(how) => Some(format!("forgets all records when it is restarted ({how}; set appendonly yes)")),
            Answer::No | Answer::Unknown => None,
        };
        let does: Vec<String> = evicts.into_iter().chain(forgets).collect();
        (!does.is_empty()).then(|| {
            format!("the ledger's server {}: a job that comes again after that is paid for again", does.join(", and "))
        })
    }

    /// What the server would not say.
    pub fn unknown(&self) -> Option<&'static str> {
        match (self.evicts == Answer::Unknown, self.forgets == Answer::Unknown) {
            (true, true) => Some("whether the server evicts records, or forgets them when it is restarted"),
            (true, false) => Some("whether the server evicts records"),
            (false, true) => Some("whether the server forgets records when it is restarted"),
            (false, false) => None,
        }
    }

    /// `INFO` and `CONFIG GET` may be forbidden, not there, or end the connection (to a proxy): what then cannot be known is no error.
    pub(super) async fn of(link: &Link) -> Self {
        let mut known = ServerSettings::default();
        known.add(link.query::<String>(&redis::cmd("INFO")).await.ok().as_deref().map(info));
        // Of snapshots INFO says only when they are made, not that they never are.
        let missing: &[&str] = if known.0.is_empty() {
            &["maxmemory", "maxmemory-policy", "appendonly", "save"]
        } else if known.is("appendonly", "no") {
            &["save"]
        } else {
            &[]
        };
        for name in missing {
            let Ok(pair) = link.query::<Vec<String>>(&get(name)).await else { break };
            known.add(Some(pair.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()));
        }
        known.keeping()
    }
}

/// The settings that a server has shown, under the names of its own configuration.
#[derive(Default)]
struct ServerSettings(BTreeMap<String, String>);

impl ServerSettings {
    fn add(&mut self, settings: Option<Vec<(String, String)>>) {
        self.0.extend(settings.unwrap_or_default());
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.0.get(name).is_some_and(|found| found == value)
    }

    fn keeping(&self) -> Keeping {
        let evicts = match (self.0.get("maxmemory"), self.0.get("maxmemory-policy")) {
            (Some(limit), _) if limit == "0" => Answer::No,
            (_, Some(policy)) if policy == "noeviction" => Answer::No,
            (Some(_), Some(policy)) => Answer::Yes(policy.clone()),
            (None, _) | (_, None) => Answer::Unknown,
        };
        let forgets = match (self.0.get("appendonly").map(String::as_str), self.0.get("save").map(String::as_str)) {
            (Some("yes"), _) => Answer::No,
            (Some(_), Some("")) => Answer::Yes("neither appendonly nor save is set".to_owned()),
            (_, Some(save)) if !save.is_empty() => Answer::No,
            _ => Answer::Unknown,
        };
        Keeping { evicts, forgets }
    }
}

/// What `INFO` has of them.
fn info(text: &str) -> Vec<(String, String)> {
    let known = |name: &str, value: &str| {
        let (name, value) = match name {
            "maxmemory" => ("maxmemory", value),
            "maxmemory_policy" => ("maxmemory-policy", value),
            "aof_enabled" => ("appendonly", if value == "0" { "no" } else { "yes" }),
            _ => return None,
        };
        Some((name.to_owned(), value.to_owned()))
    };
    text.lines().filter_map(|line| line.trim().split_once(':')).filter_map(|(name, value)| known(name, value)).collect()
}

fn get(name: &str) -> Cmd {
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg(name);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(settings: &[(&str, &str)]) -> Keeping {
        let settings = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        ServerSettings(settings.collect()).keeping()
    }

    #[test]
    fn a_server_that_evicts_or_forgets_is_told_from_one_that_keeps() {
        let keeps = [("maxmemory", "1024"), ("maxmemory-policy", "noeviction"), ("appendonly", "yes")];
        assert_eq!(known(&keeps), Keeping::default());
        let unlimited =
            [("maxmemory", "0"), ("maxmemory-policy", "allkeys-lru"), ("appendonly", "no"), ("save", "60 1")];
        assert_eq!(known(&unlimited), Keeping::default(), "nothing is evicted without a limit, and it saves");

        let lossy = [("maxmemory", "1024"), ("maxmemory-policy", "allkeys-lru"), ("appendonly", "no"), ("save", "")];
        let warning = known(&lossy).warning().expect("a warning");
        assert!(warning.contains("allkeys-lru") && warning.contains("forgets") && !warning.contains('\n'), "{warning}");
        assert_eq!(known(&lossy).unknown(), None);

        assert_eq!(known(&[]).warning(), None);
        assert!(known(&[]).unknown().is_some_and(|what| what.contains("evicts") && what.contains("restarted")));
        let half = known(&[("maxmemory", "0"), ("appendonly", "no")]);
        assert_eq!(
            (half.warning(), half.unknown()),
            (None, Some("whether the server forgets records when it is restarted"))
        );
    }

    #[test]
    fn info_has_most_of_it() {
        let text = "# Memory\r\nmaxmemory:0\r\nmaxmemory_human:0B\r\nmaxmemory_policy:noeviction\r\n# Persistence\r\naof_enabled:1\r\n";
        let expected = [("maxmemory", "0"), ("maxmemory-policy", "noeviction"), ("appendonly", "yes")];
        assert_eq!(info(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
