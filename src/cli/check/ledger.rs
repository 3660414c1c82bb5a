//! The ledger: whether it takes a step.

use super::report::Line;
use crate::app::{self, StartError};
use crate::cli::exit::Exit;
use crate::settings::{LedgerBackend, RedisUrl, Settings};
use std::path::Path;

const LEDGER: &str = "ledger";

pub(super) async fn probe(settings: &Settings) -> Vec<Line> {
    let line = match &settings.ledger.backend {
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
        LedgerBackend::Redis(url) => return server(settings, url).await,
    };
    vec![line]
}

async fn server(settings: &Settings, url: &RedisUrl) -> Vec<Line> {
    let ledger = match app::open_ledger(settings).await {
        Ok(ledger) => ledger,
        Err(error) => return vec![Line::wrong(LEDGER, error.to_string(), "correct ledger.url")],
    };
    let keeping = match ledger.try_out().await {
        Ok(keeping) => keeping,
        Err(refused) if refused.passes => return vec![Line::unreachable(LEDGER, refused.what, refused.remedy)],
        Err(refused) => return vec![Line::wrong(LEDGER, refused.what, refused.remedy)],
    };
    let takes = Line::ok(LEDGER, format!("{url} takes and gives back a claim"));
    let warns = keeping.warning().map(|warning| Line::note(LEDGER, warning));
    let unknown = keeping.unknown().map(|what| {
        let remedy = "look at its maxmemory-policy, appendonly and save; or let its user ask, by +info and +config|get";
        Line::note(LEDGER, format!("cannot know {what}: it does not say")).help(remedy)
    });
    [takes].into_iter().chain(warns).chain(unknown).collect()
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
