//! A program under test: started, signalled, watched, and ended with the test.
#![expect(clippy::print_stderr, reason = "the output of a program is printed when its test fails")]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{env, thread};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

use super::wait::eventually;

/// A child process whose output is kept. Killed, by its own handle, when dropped.
pub(crate) struct Process {
    name: String,
    child: Mutex<Child>,
    stdout: Arc<Mutex<Vec<String>>>,
    stderr: Arc<Mutex<Vec<String>>>,
    /// The end of a pipe that is never read.
    _unread: Option<ChildStderr>,
}

impl Process {
    /// Starts `antispoofd` with these arguments and this environment, and nothing else of the test's own environment but
    /// `PATH` and `HOME`.
    pub(crate) fn antispoofd<'a>(
        name: &str,
        arguments: impl IntoIterator<Item = &'a str>,
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        Self::start(name, antispoofd(arguments, environment))
    }

    /// As `antispoofd`, with a standard error that nobody reads.
    pub(crate) fn antispoofd_unread<'a>(
        name: &str,
        arguments: impl IntoIterator<Item = &'a str>,
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        Self::start_read(name, antispoofd(arguments, environment), false)
    }

    /// Starts `command` with its output captured and no input.
    pub(crate) fn start(name: &str, command: Command) -> Self {
        Self::start_read(name, command, true)
    }

    /// Starts `command` as `start` does, and reads its standard error only if `read`.
    fn start_read(name: &str, mut command: Command, read: bool) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|problem| panic!("failed to start {name} ({command:?}): {problem}"));
        let stdout = keep_lines(child.stdout.take().expect("stdout is piped"));
        let said = child.stderr.take().expect("stderr is piped");
        let (stderr, unread) = if read { (keep_lines(said), None) } else { (Arc::default(), Some(said)) };
        Self { name: name.to_owned(), child: Mutex::new(child), stdout, stderr, _unread: unread }
    }

    /// Sends a signal.
    ///
    /// # Panics
    ///
    /// When the process has ended already: its number may be somebody else's by now.
    pub(crate) fn signal(&self, signal: Signal) {
        let mut child = self.child();
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            panic!("{} cannot be sent {signal:?}: it has ended with {status}", self.name);
        }
        kill_process(Pid::from_child(&child), signal)
            .unwrap_or_else(|problem| panic!("failed to send {signal:?} to {}: {problem}", self.name));
    }

    /// The size beyond which it can write to no file, in bytes; `None` is no limit.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let child = self.child();
        let pid = Pid::from_child(&child);
        // The hard limit stays, so that the soft one can be raised again.
        let maximum = getrlimit(Resource::Fsize).maximum;
        prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum })
            .unwrap_or_else(|problem| panic!("failed to limit the files of {}: {problem}", self.name));
    }

    /// Its number, for a look into `/proc`.
    pub(crate) fn pid(&self) -> u32 {
        self.child().id()
    }

    /// How it ended. None while it runs.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        self.child().try_wait().expect("a child can be waited for")
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    ///
    /// When it still runs after `limit`.
    pub(crate) async fn wait_exit(&self, limit: Duration) -> ExitStatus {
        eventually(&format!("{} to end", self.name), limit, async || {
            self.status().ok_or_else(|| format!("it runs; its last words: {:?}", self.last_words()))
        })
        .await
    }

    /// As `wait_exit`, and until all that it wrote has been read, too.
    pub(crate) async fn wait_output(&self, limit: Duration) -> ExitStatus {
        let status = self.wait_exit(limit).await;
        eventually(&format!("the output of {} to end", self.name), limit, async || {
            // The threads that read hold the others.
            let reading = [&self.stdout, &self.stderr].iter().any(|lines| Arc::strong_count(lines) > 1);
            if reading { Err("it is still being read".to_owned()) } else { Ok(()) }
        })
        .await;
        status
    }

    /// The lines of standard output so far.
    pub(crate) fn stdout(&self) -> Vec<String> {
        lock(&self.stdout).clone()
    }

    /// The lines of standard error so far.
    pub(crate) fn stderr(&self) -> Vec<String> {
        lock(&self.stderr).clone()
    }

    /// Whether a line of either output contains `text`.
    pub(crate) fn said(&self, text: &str) -> bool {
        let within = |lines: &Mutex<Vec<String>>| lock(lines).iter().any(|line| line.contains(text));
        within(&self.stdout) || within(&self.stderr)
    }

    /// The last lines of standard error, for a message about a process that did not do as it should.
    pub(crate) fn last_words(&self) -> Vec<String> {
        const LINES: usize = 5;

        let lines = lock(&self.stderr);
        lines[lines.len().saturating_sub(LINES)..].to_vec()
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        lock(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child();
        // A stopped process is killed all the same. Both fail only for a child that is gone already.
        child.kill().ok();
        let ended = child.wait();
        drop(child);
        if thread::panicking() {
            eprintln!("---- {} ended with {ended:?}; its output, then its log:", self.name);
            for line in self.stdout().iter().chain(&self.stderr()) {
                eprintln!("{line}");
            }
        }
    }
}

fn antispoofd<'a>(
    arguments: impl IntoIterator<Item = &'a str>,
    environment: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Command {
    let mut command = Command::new(program());
    command.args(arguments);
    command.env_clear();
    command.envs(["PATH", "HOME"].into_iter().filter_map(|name| Some((name, env::var_os(name)?))));
    command.envs(environment);
    command
}

/// The program under test. Cargo names it to tests; an example finds it beside its own directory.
fn program() -> PathBuf {
    if let Some(named) = option_env!("CARGO_BIN_EXE_antispoofd") {
        return named.into();
    }
    let example = env::current_exe().expect("a program knows where it is");
    let built = example.parent().and_then(Path::parent).expect("examples are built below the other programs");
    built.join("antispoofd")
}

/// Reads `from` to its end on a thread, so that the child never waits for a reader.
fn keep_lines(from: impl Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            lock(&kept).push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
    });
    lines
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A poisoned lock belongs to a test that fails anyway; its log is wanted then more than ever.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
