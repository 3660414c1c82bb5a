//! What a server refuses a step with, and what to do about it. One place for the log, the gate and `check --connect`.

use redis::{ErrorKind, RedisError};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

/// Why a step was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    kind: Kind,
    /// The server's or the system's own words.
    said: String,
    /// The connection is gone, or leads to a server that is not (or no longer) the one to be asked.
    pub(super) over: bool,
    /// The same step may succeed at once.
    pub(super) again: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Login,
    Rights,
    NoScripts,
    NoDatabase,
    Full,
    ReadOnly,
    Orphaned,
    Loading,
    Busy,
    Disk,
    Replicas,
    Elsewhere,
    ClusterDown,
    Crowded,
    Protected,
    Certificate,
    Away,
    Other,
}

/// What servers say behind `ERR`, which is no code of its own, and in a script without any: there are the words alone to tell the kind by.
const WORDS: &[(&str, Kind)] = &[
    ("ACL failure in script", Kind::Rights),
    ("can't run this command", Kind::Rights),
    ("AUTH <password> called without any password", Kind::Login),
    ("invalid password", Kind::Login),
    ("unknown command", Kind::NoScripts),
    ("DB index is out of range", Kind::NoDatabase),
    ("SELECT is not allowed", Kind::NoDatabase),
    ("max number of clients", Kind::Crowded),
];

impl Kind {
    /// By the server's code. `None` for those that do not say what is wrong.
    fn of_code(code: &str) -> Option<Self> {
        Some(match code {
            "NOPERM" => Self::Rights,
            "WRONGPASS" | "NOAUTH" => Self::Login,
            "OOM" => Self::Full,
            "READONLY" => Self::ReadOnly,
            "MASTERDOWN" => Self::Orphaned,
            "LOADING" => Self::Loading,
            "BUSY" => Self::Busy,
            "MISCONF" => Self::Disk,
            "NOREPLICAS" => Self::Replicas,
            "MOVED" | "ASK" | "TRYAGAIN" => Self::Elsewhere,
            "CLUSTERDOWN" => Self::ClusterDown,
            "DENIED" => Self::Protected,
            _ => return None,
        })
    }

    /// Of a refusal by the server. `said` begins with its code: up to 6.2 a script is refused with `ERR`, and the code is what [`bare`] has left of it.
    fn of_refusal(said: &str) -> Option<Self> {
        let code = said.split(' ').next().unwrap_or_default();
        Self::of_code(code).or_else(|| WORDS.iter().find(|(words, _)| said.contains(words)).map(|(_, kind)| *kind))
    }
}

impl Fault {
    pub(super) fn of(error: &RedisError) -> Self {
        let said = match (error.code(), error.detail()) {
            (Some(code), Some(detail)) => bare(&format!("{code} {detail}")).to_owned(),
            (Some(code), None) => code.to_owned(),
            (None, _) => error.to_string(),
        };
        let lost = error.is_io_error() || error.is_connection_dropped() || error.is_unrecoverable_error();
        let known = if error.code().is_some() { Kind::of_refusal(&said) } else { None };
        let known = known.or_else(|| is_certificate(error).then_some(Kind::Certificate));
        let kind = known.unwrap_or(if lost || error.kind() == ErrorKind::Parse { Kind::Away } else { Kind::Other });
        // After a failover, what an address leads to may be known to a new connection only.
        let moved = matches!(
            kind,
            Kind::Login
                | Kind::ReadOnly
                | Kind::Orphaned
                | Kind::Loading
                | Kind::Replicas
                | Kind::Elsewhere
                | Kind::ClusterDown
        );
        // Scripts can be flushed in the moment between loading one and running it.
        let again = error.is_connection_dropped() || kind == Kind::ReadOnly || error.code() == Some("NOSCRIPT");
        Self { kind, said, over: lost || moved, again }
    }

    /// No answer came within the limit of a step.
    pub(super) fn silence(limit: Duration) -> Self {
        Self { kind: Kind::Away, said: format!("no answer within {limit:?}"), over: true, again: false }
    }

    /// What is wrong, in our words and the server's.
    pub(super) fn cause(&self) -> String {
        let Self { kind, said, .. } = self;
        let cause = match kind {
            Kind::Login => "it refuses the user or the password",
            Kind::Rights => "its user lacks a right",
            Kind::NoScripts => "it has no scripts",
            Kind::NoDatabase => "it has no such database",
            Kind::Full => "its memory is full",
            Kind::ReadOnly => "it is a replica that takes no writes",
            Kind::Orphaned => "it is a replica that has lost its primary",
            Kind::Loading => "it is still reading its data from its disk",
            Kind::Busy => "it is busy with a script",
            Kind::Disk => "it cannot write to its disk, so it takes no writes",
            Kind::Replicas => "it has too few replicas, so it takes no writes",
            Kind::Elsewhere => "it is a node of a cluster, and another one has the keys",
            Kind::ClusterDown => "its cluster is down",
            Kind::Crowded => "it has no connection to spare",
            Kind::Protected => "it is in protected mode",
            Kind::Certificate | Kind::Away | Kind::Other => return said.clone(),
        };
        format!("{cause} ({said})")
    }

    /// What to do about it.
    pub(super) fn remedy(&self) -> &'static str {
        match self.kind {
            Kind::Login => {
                "correct user and password in ledger.url, or in the file of ledger.url_file, which is read again before each connection"
            }
            Kind::Rights => {
                "give the user of ledger.url the rights that docs/ledger-backends.md lists: +evalsha +script|load +get +set +del +pttl +time (and +select) on its keys"
            }
            Kind::NoScripts => "the ledger needs EVALSHA and SCRIPT LOAD: let the server have them, or name another",
            Kind::NoDatabase => "correct the database, the number at the end of ledger.url",
            Kind::Full => {
                "raise its maxmemory, or remove what does not belong to the ledger; a shorter ledger.ttl makes later records go sooner"
            }
            Kind::ReadOnly | Kind::Orphaned => {
                "name the primary in ledger.url, by an address that follows it in a failover"
            }
            Kind::Loading => "it answers when that is done",
            Kind::Busy => "wait for it, or end it with SCRIPT KILL",
            Kind::Disk => "make room on its disk, or mend what its log says",
            Kind::Replicas => "bring its replicas back, or lower its min-replicas-to-write",
            Kind::Elsewhere => {
                "the ledger speaks to one server: name one that is no node of a cluster, or a proxy in front of the cluster"
            }
            Kind::ClusterDown => "bring back the nodes of the cluster that are missing",
            Kind::Crowded => "raise its maxclients, or end connections that are not used",
            Kind::Protected => {
                "give it a password, and write it into ledger.url; protected mode refuses connections from other machines"
            }
            Kind::Certificate => {
                "name its certificate authority by SSL_CERT_FILE, and the server by the name that its certificate has"
            }
            Kind::Away => {
                "is the server up, and are host and port of ledger.url right? TLS needs rediss://, and no TLS redis://"
            }
            Kind::Other => "see the server's log, and docs/ledger.md",
        }
    }

    /// Whether it may pass by itself.
    pub(super) fn passes(&self) -> bool {
        match self.kind {
            Kind::Loading
            | Kind::Busy
            | Kind::Replicas
            | Kind::ClusterDown
            | Kind::Crowded
            | Kind::Away
            | Kind::Other => true,
            Kind::Login
            | Kind::Rights
            | Kind::NoScripts
            | Kind::NoDatabase
            | Kind::Full
            | Kind::ReadOnly
            | Kind::Orphaned
            | Kind::Disk
            | Kind::Elsewhere
            | Kind::Protected
            | Kind::Certificate => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.cause(), self.remedy())
    }
}

/// True when TLS ended because of the server's certificate. The client keeps the cause in an `Arc`, and an `io::Error` does not give what it wraps as its source.
fn is_certificate(error: &RedisError) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<Arc<dyn Error + Send + Sync>>());
    let wrapped = cause.and_then(|cause| cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref());
    matches!(wrapped, Some(rustls::Error::InvalidCertificate(_)))
}

/// Without the place in our own script, which tells an operator nothing: `… script: <digest>, on @user_script:5.` from 7.0 on, before that
/// `ERR Error running script (call to f_<digest>): @user_script:5: @user_script: 5: -…`. And without what a server repeats of a command that it does not
/// know, since that may be a password.
fn bare(said: &str) -> &str {
    let said = said.split_once(", with args beginning with").map_or(said, |(said, _)| said);
    let said = match said.rsplit_once(" script: ") {
        Some((said, place)) if place.contains("@user_script:") => said,
        _ => said,
    };
    let at = said.rfind("@user_script: ").map(|at| &said[at..]);
    let said = at.and_then(|said| said.splitn(3, ": ").nth(2)).unwrap_or(said);
    said.trim_start_matches('-').trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::ServerErrorKind;

    /// As the client makes it from a line of the server.
    fn fault(line: &str) -> Fault {
        let (code, detail) = line.split_once(' ').expect("a code and words");
        let known = [
            ("ERR", ServerErrorKind::ResponseError),
            ("LOADING", ServerErrorKind::BusyLoading),
            ("MOVED", ServerErrorKind::Moved),
            ("CLUSTERDOWN", ServerErrorKind::ClusterDown),
            ("MASTERDOWN", ServerErrorKind::MasterDown),
            ("READONLY", ServerErrorKind::ReadOnly),
            ("NOPERM", ServerErrorKind::NoPerm),
        ];
        let error = match known.iter().find(|(known, _)| *known == code) {
            Some((_, kind)) => RedisError::from((ErrorKind::Server(*kind), "refused", detail.to_owned())),
            None => redis::make_extension_error(code.to_owned(), Some(detail.to_owned())),
        };
        Fault::of(&error)
    }

    /// Each line as one of 6.2.14, 7.0.15, 7.4.1, 8.0.6 or Valkey 9.1.2 has said it.
    #[test]
    fn each_refusal_is_known_by_what_the_servers_say() {
        const SCRIPT: &str = "ERR Error running script (call to f_b4526a1370582b5f26908fd1d89bb49c100b5eae): @user_script:1: @user_script: 1: ";
        let known = [
            ("@user_script: 1: The user executing the script can't run this command or subcommand", Kind::Rights),
            (
                "ERR The user executing the script can't run this command or subcommand script: b45, on @user_script:1.",
                Kind::Rights,
            ),
            ("ERR ACL failure in script: User u has no permissions to run the 'get' command", Kind::Rights),
            ("NOPERM this user has no permissions to run the 'script|load' command", Kind::Rights),
            ("NOPERM No permissions to access a key", Kind::Rights),
            ("WRONGPASS invalid username-password pair or user is disabled.", Kind::Login),
            ("NOAUTH Authentication required.", Kind::Login),
            (
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
                Kind::Login,
            ),
            ("ERR unknown command `EVALSHA`, with args beginning with: `a`, ", Kind::NoScripts),
            ("ERR unknown command 'AUTH', with args beginning with: 'user' 'f_b45' ", Kind::NoScripts),
            ("ERR DB index is out of range", Kind::NoDatabase),
            ("OOM command not allowed when used memory > 'maxmemory'. script: b45, on @user_script:1.", Kind::Full),
            (&format!("{SCRIPT}-OOM command not allowed when used memory > 'maxmemory'."), Kind::Full),
            ("READONLY You can't write against a read only replica. script: on @user_script:1.", Kind::ReadOnly),
            (&format!("{SCRIPT}-READONLY You can't write against a read only replica."), Kind::ReadOnly),
            ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", Kind::Orphaned),
            ("LOADING Redis is loading the dataset in memory", Kind::Loading),
            ("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", Kind::Busy),
            (
                "MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk.",
                Kind::Disk,
            ),
            ("NOREPLICAS Not enough good replicas to write.", Kind::Replicas),
            (&format!("{SCRIPT}-NOREPLICAS Not enough good replicas to write."), Kind::Replicas),
            ("MOVED 12182 127.0.0.1:7001", Kind::Elsewhere),
            ("CLUSTERDOWN Hash slot not served", Kind::ClusterDown),
            ("ERR max number of clients reached", Kind::Crowded),
            ("ERR something else", Kind::Other),
        ];
        for (line, kind) in known {
            let fault = fault(line);
            assert_eq!(fault.kind, kind, "{line}");
            let words = fault.to_string();
            assert!(!words.contains("user_script") && !words.contains("f_b45"), "{words}");
            assert!(words.ends_with(fault.remedy()), "{words}");
        }
    }

    #[test]
    fn a_certificate_is_known_by_its_type() {
        let wrong = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let fault = Fault::of(&io::Error::new(io::ErrorKind::InvalidData, wrong).into());
        assert_eq!((fault.kind, fault.over), (Kind::Certificate, true));
        let broken = Fault::of(&io::Error::from(io::ErrorKind::ConnectionReset).into());
        assert_eq!(broken.kind, Kind::Away);
    }

    #[test]
    fn a_demoted_server_is_left_at_once_in_whatever_words_it_says_so() {
        let inside = "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can't write against a read only replica.";
        for line in [inside, "READONLY You can't write against a read only replica. script: f, on @user_script:5."] {
            let fault = fault(line);
            assert!(fault.over && fault.again, "{fault:?}");
            assert_eq!(
                fault.cause(),
                "it is a replica that takes no writes (READONLY You can't write against a read only replica)"
            );
        }
        let full = fault("OOM command not allowed when used memory > 'maxmemory'.");
        assert!(!full.over && !full.again, "another connection leads to the same memory: {full:?}");
    }
}
