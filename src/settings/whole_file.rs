//! Reading a file that the settings name, which can be anything: a device, a dump, a pipe without a writer.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// For what a pipe brings (`<(…)`, `/dev/stdin`), up to its end. A file on a disk is not timed.
const PIPE_LIMIT: Duration = Duration::from_secs(10);

/// Reads at most `most` + 1 bytes, so that a longer file can be recognised. Opening and reading a pipe wait for its writer; a process that waits there
/// for ever would not even hear SIGTERM.
pub(super) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.is_file() {
        return read_now(path, most);
    }
    let (done, result) = mpsc::channel();
    let path = PathBuf::from(path);
    // Left behind when the time is up; it ends with the process.
    thread::Builder::new().name("settings-pipe".to_owned()).spawn(move || done.send(read_now(&path, most)))?;
    result.recv_timeout(PIPE_LIMIT).unwrap_or_else(|_| {
        let what = format!("it is no file, and did not come to an end within {} s", PIPE_LIMIT.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, what))
    })
}

fn read_now(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
