//! The ledger: whether it takes a step.

use super::report::Line;
use crate::app::{self, StartError};
use crate::cli::exit::Exit;
use crate::settings::{LedgerBackend, Settings};
use std::path::Path;

const LEDGER: &str = "ledger";

/// Below the first the ledger's file may not be able to grow: jobs wait then. Below the second there is little time to see to it: the file grows by 1.8 kB for each job.
const FULL: u64 = 16 << 20;
const NEARLY_FULL: u64 = 1 << 30;

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
        LedgerBackend::Redis(url) => return server(settings, &url.to_string(), "takes and gives back a claim").await,
        LedgerBackend::S3 { bucket, prefix } => {
            let place = format!("s3://{bucket}/{prefix}");
            return server(settings, &place, "enforces conditional writes, also of many writers at the same time")
                .await;
        }
    };
    let disk = match &settings.ledger.backend {
        LedgerBackend::File(path) => disk(path),
        _ => None,
    };
    [line].into_iter().chain(disk).collect()
}

/// The space that is left for the file; nothing where there is enough, or it cannot be asked.
fn disk(path: &Path) -> Option<Line> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let stat = rustix::fs::statvfs(folder).ok()?;
    space_left(path, stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn space_left(path: &Path, free: u64) -> Option<Line> {
    let words = format!("{} has {} MiB left on its disk", path.display(), free >> 20);
    match free {
        ..FULL => Some(Line::wrong(
            LEDGER,
            words,
            "make room: while the file cannot be written, jobs wait or are checked without a record, as ledger.on_error says",
        )),
        FULL..NEARLY_FULL => {
            Some(Line::note(LEDGER, words).help("make room; docs/sizing.md says how much the ledger takes"))
        }
        _ => None,
    }
}

/// A ledger that workers share: it is at this place, and that is what it does when it is tried.
async fn server(settings: &Settings, place: &str, does: &str) -> Vec<Line> {
    let ledger = match app::open_ledger(settings).await {
        Ok(ledger) => ledger,
        Err(error) => {
            let remedy = error.remedy().unwrap_or("correct ledger.url");
            return vec![Line::wrong(LEDGER, error.to_string(), remedy)];
        }
    };
    let keeping = match ledger.try_out().await {
        Ok(keeping) => keeping,
        Err(refused) if refused.passes => return vec![Line::unreachable(LEDGER, refused.what, refused.remedy)],
        Err(refused) => return vec![Line::wrong(LEDGER, refused.what, refused.remedy)],
    };
    let takes = Line::ok(LEDGER, format!("{place} {does}"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_runs_full_is_told() {
        let said = |free| space_left(Path::new("/var/lib/ledger"), free).map(|line| line.to_string());
        assert_eq!(said(NEARLY_FULL), None);
        assert!(said(100 << 20).is_some_and(|said| said.starts_with("note ") && said.contains("has 100 MiB left")));
        assert!(said(1 << 20).is_some_and(|said| said.starts_with("failed ")));
    }

    #[test]
    fn the_disk_of_a_file_is_that_of_its_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let stat = rustix::fs::statvfs(folder.path()).expect("a file system");
        let told = disk(&folder.path().join("not-there-yet")).is_some();
        assert_eq!(told, stat.f_bavail.saturating_mul(stat.f_frsize) < NEARLY_FULL);
    }
}
