//! The ledger: whether it takes a step.

use super::report::Line;
use crate::app::{self, StartError};
use crate::cli::exit::Exit;
use crate::settings::{LedgerBackend, Settings};
use antispoof_core::ports::Ledger as _;
use std::path::Path;

const LEDGER: &str = "ledger";

/// What a server says to a user who may not do what a job needs, to one it does not know, and about a database that it does not have: in its own
/// words and in those of the client, in lower case.
const REFUSALS: [&str; 5] = ["auth", "wrongpass", "noperm", "readonly", "out of range"];

pub(super) async fn probe(settings: &Settings) -> Line {
    match &settings.ledger.backend {
        LedgerBackend::None => Line::note(LEDGER, "none: every job that comes again is paid for again"),
        LedgerBackend::Memory => Line::ok(LEDGER, "memory: what is paid for is forgotten when the process ends"),
        LedgerBackend::File(path) if !path.exists() => place_for(path),
        LedgerBackend::File(path) => match app::open_ledger(settings).await {
            Ok(ledger) => {
                ledger.close().await;
                Line::ok(LEDGER, format!("{} can be opened, and is sound", path.display()))
            }
            Err(error) => not_opened(path, &error),
        },
        LedgerBackend::Redis(url) => match step(settings).await {
            Ok(()) => Line::ok(LEDGER, format!("{url} takes and gives back a claim")),
            Err(why) => refused(why),
        },
    }
}

/// The file is made by the worker, as its user; so only what is needed for that is tried.
fn place_for(path: &Path) -> Line {
    let beside = path.with_file_name(format!(".antispoofd-check-{:016x}", fastrand::u64(..)));
    let made = std::fs::File::create_new(&beside).and_then(|_| std::fs::remove_file(&beside));
    match made {
        Ok(()) => Line::ok(LEDGER, format!("{} is not there yet and can be made", path.display())),
        Err(error) => Line::wrong(
            LEDGER,
            format!("{} cannot be made: {error}", path.display()),
            "let the user that runs antispoofd write to the folder, or correct ledger.path",
        ),
    }
}

fn not_opened(path: &Path, error: &StartError) -> Line {
    match error {
        StartError::LedgerFile(open) if open.is_in_use() => {
            Line::note(LEDGER, format!("{} is in use by another process, as by a worker that runs", path.display()))
        }
        // It says what to do about it.
        error => Line::failed(Exit::Failed, LEDGER, error.to_string(), "see docs/ledger.md"),
    }
}

/// What every job does first, and its taking back. Leaves nothing behind.
async fn step(settings: &Settings) -> Result<(), String> {
    let ledger = app::open_ledger(settings).await.map_err(|error| error.to_string())?;
    let key = format!("check-{:032x}", fastrand::u128(..));
    ledger.begin(&key).await.map_err(|error| error.to_string())?;
    ledger.release(&key, false).await.map_err(|error| error.to_string())?;
    ledger.close().await;
    Ok(())
}

fn refused(why: String) -> Line {
    // The server's name comes first, and may hold any word.
    let said = why.split_once(": ").map_or(why.as_str(), |(_, said)| said).to_lowercase();
    if REFUSALS.iter().any(|word| said.contains(word)) {
        let remedy =
            "correct user, password and database in ledger.url; docs/ledger.md lists the rights that the user needs";
        return Line::wrong(LEDGER, why, remedy);
    }
    Line::unreachable(LEDGER, why, "is the server up, and are host and port of ledger.url right? TLS needs rediss://")
}

#[cfg(test)]
mod tests {
    use super::super::report::exit;
    use super::*;

    #[test]
    fn a_refusal_is_told_from_an_outage() {
        for (why, end) in [
            ("Password authentication failed - AuthenticationFailed", Exit::Settings),
            ("NoPerm: this user has no permissions to run the 'evalsha' command", Exit::Settings),
            ("NOAUTH: Authentication required.", Exit::Settings),
            ("ERR: DB index is out of range", Exit::Settings),
            ("Connection refused (os error 111)", Exit::Unreachable),
            ("no answer within 5s", Exit::Unreachable),
        ] {
            assert_eq!(exit(&[refused(format!("the ledger at auth.internal:6379: {why}"))]), end, "{why}");
        }
    }
}
