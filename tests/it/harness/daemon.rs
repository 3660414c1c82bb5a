//! `antispoofd run` as a process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use rustix::process::Signal;

use super::process::Process;
use super::wait::{SOON, STARTED, eventually, holds};
use super::{http, metrics, ports};

/// The settings of a daemon to be started.
#[derive(Clone, Debug, Default)]
pub(crate) struct DaemonBuilder {
    environment: BTreeMap<String, String>,
    arguments: Vec<String>,
    log_unread: bool,
}

impl DaemonBuilder {
    /// Sets `section.key`, as contract section 6 names it: `set("worker.concurrency", "4")`. Lists are separated by commas.
    #[must_use]
    pub(crate) fn set(self, setting: &str, value: impl Into<String>) -> Self {
        self.env(&variable(setting), value)
    }

    /// Leaves `section.key` at the program's own default.
    #[must_use]
    pub(crate) fn unset(mut self, setting: &str) -> Self {
        self.environment.remove(&variable(setting));
        self
    }

    /// Sets a variable of the environment that is no setting.
    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves a variable of the environment out.
    #[must_use]
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    /// Adds an argument after `run`.
    #[must_use]
    pub(crate) fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Leaves the log in a pipe that nobody reads; the test does not see it either.
    #[must_use]
    pub(crate) fn log_unread(self) -> Self {
        Self { log_unread: true, ..self }
    }

    /// Starts the daemon and does not wait for it.
    pub(crate) fn start(self) -> Daemon {
        Daemon::start(self)
    }

    /// Starts another command of the program with the same settings.
    pub(crate) fn command(self, arguments: &[&str]) -> Process {
        let name = format!("antispoofd {}", arguments.first().unwrap_or(&""));
        let environment = self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Process::antispoofd(&name, arguments.iter().copied(), environment)
    }

    /// Starts the daemon and waits until it is ready.
    pub(crate) async fn start_ready(self) -> Daemon {
        let daemon = self.start();
        daemon.wait_ready().await;
        daemon
    }
}

/// A running daemon. Killed when dropped; its log is printed when the test fails.
pub(crate) struct Daemon {
    process: Process,
    admin: SocketAddr,
    http: Client,
}

impl Daemon {
    /// Starts `antispoofd run` with an admin port of its own.
    pub(crate) fn start(builder: DaemonBuilder) -> Self {
        let admin = ports::reserve();
        let builder = builder.set("admin.listen", admin.to_string());
        let arguments = ["run"].into_iter().chain(builder.arguments.iter().map(String::as_str));
        let environment = builder.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let process = if builder.log_unread {
            Process::antispoofd_unread("antispoofd run", arguments, environment)
        } else {
            Process::antispoofd("antispoofd run", arguments, environment)
        };
        Self { process, admin, http: http::client() }
    }

    /// Where the admin port listens.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Panics
    ///
    /// When it does not in time, or when the daemon ends instead.
    pub(crate) async fn wait_ready(&self) {
        self.wait_status("/readyz", StatusCode::OK, STARTED).await;
    }

    /// Waits until `path` of the admin port answers `expected`.
    pub(crate) async fn wait_status(&self, path: &str, expected: StatusCode, limit: Duration) {
        eventually(&format!("{path} to answer {expected}"), limit, async || {
            if let Some(status) = self.process.status() {
                panic!("the daemon ended with {status} before {path} answered {expected}");
            }
            match self.get(path).await {
                Ok((status, _)) if status == expected => Ok(()),
                Ok((status, body)) => Err(format!("{status}: {body}")),
                Err(problem) => Err(problem),
            }
        })
        .await;
    }

    /// Waits until the first signal has been heard, and a later one is no echo of it.
    pub(crate) async fn wait_draining(&self) {
        self.wait_status("/readyz", StatusCode::SERVICE_UNAVAILABLE, SOON).await;
        holds("the drain", Duration::from_millis(200), async || match self.get("/readyz").await {
            Ok((StatusCode::SERVICE_UNAVAILABLE, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }

    /// Status and body that `path` of the admin port answers; the error says why there was no answer.
    pub(crate) async fn get(&self, path: &str) -> Result<(StatusCode, String), String> {
        http::get(&self.http, &format!("http://{}{path}", self.admin)).await
    }

    /// The sum of the series that have this name and at least these labels: `antispoofd_jobs_total{outcome="live"}`.
    /// None when there is no such series.
    ///
    /// # Panics
    ///
    /// When `/metrics` does not answer.
    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        let (status, page) = self.get("/metrics").await.unwrap_or_else(|problem| panic!("no metrics: {problem}"));
        assert_eq!(status, StatusCode::OK, "the metrics page: {page}");
        metrics::sum(&page, series)
    }

    /// SIGTERM: drain, then end.
    pub(crate) fn term(&self) {
        self.process.signal(Signal::TERM);
    }

    /// SIGINT.
    pub(crate) fn int(&self) {
        self.process.signal(Signal::INT);
    }

    /// SIGQUIT.
    pub(crate) fn quit(&self) {
        self.process.signal(Signal::QUIT);
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) {
        self.process.signal(Signal::HUP);
    }

    /// SIGKILL: as a crash or an out-of-memory kill does.
    pub(crate) fn kill(&self) {
        self.process.signal(Signal::KILL);
    }

    /// SIGSTOP: from outside, a process that hangs. `cont` wakes it.
    pub(crate) fn stop(&self) {
        self.process.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub(crate) fn cont(&self) {
        self.process.signal(Signal::CONT);
    }

    /// From now on nothing it writes to a file arrives, as on a full disk.
    pub(crate) fn fill_disk(&self) {
        self.process.limit_files(Some(0));
    }

    /// There is space again.
    pub(crate) fn free_disk(&self) {
        self.process.limit_files(None);
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Files and sockets it has open.
    ///
    /// # Panics
    ///
    /// When the test does not run as root, who alone may list those of a process that must not be dumped, and Linux is older than 6.2, which counts them for everybody.
    pub(crate) fn open_files(&self) -> usize {
        let directory = format!("/proc/{}/fd", self.process.pid());
        if let Ok(listed) = std::fs::read_dir(&directory) {
            return listed.count();
        }
        let count = std::fs::metadata(&directory).expect("a running process has descriptors").len();
        assert_ne!(count, 0, "this kernel does not count the descriptors of another's process: run as root");
        usize::try_from(count).expect("descriptors can be counted")
    }

    /// Threads it has.
    pub(crate) fn threads(&self) -> usize {
        let listed = std::fs::read_dir(format!("/proc/{}/task", self.process.pid()));
        listed.expect("a running process has threads").count()
    }

    /// Memory it has in use, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        self.kernel_says("VmRSS:").trim_end_matches(" kB").trim().parse().expect("a number of KiB")
    }

    /// The most memory that it has ever had in use, in KiB.
    pub(crate) fn peak_resident_kib(&self) -> u64 {
        self.kernel_says("VmHWM:").trim_end_matches(" kB").trim().parse().expect("a number of KiB")
    }

    /// Whether it has a handler for this signal.
    pub(crate) fn catches(&self, signal: Signal) -> bool {
        let caught = u64::from_str_radix(&self.kernel_says("SigCgt:"), 16).expect("a mask of signals");
        caught >> (signal.as_raw() - 1) & 1 == 1
    }

    /// What `/proc/PID/status` has in this line.
    fn kernel_says(&self, line: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid()));
        let status = status.expect("a running process has a status");
        let found = status.lines().find_map(|found| found.strip_prefix(line));
        found.unwrap_or_else(|| panic!("a running process has {line}")).trim().to_owned()
    }

    /// Waits until the daemon has ended, for at most `limit`.
    pub(crate) async fn wait_exit(&self, limit: Duration) -> ExitStatus {
        self.process.wait_exit(limit).await
    }

    /// As `wait_exit`, and until all that it wrote has been read, too.
    pub(crate) async fn wait_output(&self, limit: Duration) -> ExitStatus {
        self.process.wait_output(limit).await
    }

    /// True while it runs.
    pub(crate) fn is_running(&self) -> bool {
        self.process.status().is_none()
    }

    /// Waits until a line of the log contains `text`. A line is written after what it tells of, by a thread of its own, so that what is seen elsewhere may be
    /// there first.
    pub(crate) async fn wait_logged(&self, text: &str) {
        eventually(&format!("{text:?} in the log"), SOON, async || {
            if self.logs_contain(text) { Ok(()) } else { Err(format!("{:?}", self.logs())) }
        })
        .await;
    }

    /// Whether a line of the log contains `text`.
    pub(crate) fn logs_contain(&self, text: &str) -> bool {
        self.process.said(text)
    }

    /// The log's lines so far.
    pub(crate) fn logs(&self) -> Vec<String> {
        self.process.stderr()
    }

    /// The lines of standard output so far. The daemon has nothing to say there.
    pub(crate) fn stdout(&self) -> Vec<String> {
        self.process.stdout()
    }
}

fn variable(setting: &str) -> String {
    format!("ANTISPOOFD__{}", setting.to_uppercase().replace('.', "__"))
}
