//! A program that was started for a measurement: its last words are kept, and it ends with the measurement.

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, ChildStdout, Command};

const LAST_WORDS: usize = 5;

pub(crate) struct Process {
    name: String,
    child: Child,
    pid: u32,
    last_words: Arc<Mutex<VecDeque<String>>>,
}

impl Process {
    /// Starts `command` with both outputs read, as a container engine does it. Killed when dropped.
    pub(crate) fn start(name: &str, mut command: Command) -> Result<(Self, ChildStdout)> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("start {name}"))?;
        let pid = child.id().context("the program has a number")?;
        let last_words = Arc::new(Mutex::new(VecDeque::new()));
        let stdout = child.stdout.take().context("stdout is piped")?;
        tokio::spawn(keep_last(child.stderr.take().context("stderr is piped")?, last_words.clone()));
        Ok((Self { name: name.to_owned(), child, pid, last_words }, stdout))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Fails when the program has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                let last = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
                let last: Vec<&str> = last.iter().map(String::as_str).collect();
                bail!("{} ended with {status}:\n{}", self.name, last.join("\n"))
            }
        }
    }

    /// SIGTERM, and SIGKILL for what has not ended after `limit`.
    pub(crate) async fn stop(mut self, limit: Duration) -> Result<()> {
        self.terminate()?;
        if tokio::time::timeout(limit, self.child.wait()).await.is_err() {
            self.child.kill().await.with_context(|| format!("kill {}", self.name))?;
        }
        Ok(())
    }

    /// SIGTERM.
    pub(crate) fn terminate(&mut self) -> Result<()> {
        self.check()?;
        let pid = Pid::from_raw(i32::try_from(self.pid)?).context("the program has a number")?;
        kill_process(pid, Signal::TERM).with_context(|| format!("end {}", self.name))
    }

    /// Waits for its end, which has to come within `limit` and be a good one.
    pub(crate) async fn ended(mut self, limit: Duration) -> Result<()> {
        let status = tokio::time::timeout(limit, self.child.wait()).await;
        let status = status.with_context(|| format!("{} does not end", self.name))??;
        ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }
}

async fn keep_last(from: impl AsyncRead + Unpin, last_words: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut last = last_words.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == LAST_WORDS {
            last.pop_front();
        }
        last.push_back(line);
    }
}
