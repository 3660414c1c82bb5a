//! `antispoofd log-level`: more of the log of a worker that runs, for images that have no shell and no `kill`.

use super::exit::Exit;
use super::problem::Problem;
use super::terminal::say;
use clap::{Args, ValueEnum};
use rustix::process::{Pid, Signal, kill_process};

/// The name by which the kernel knows the program.
const NAME: &str = "antispoofd";

/// Have a running worker log more, or as configured again
///
/// Sends SIGUSR1 (debug) or SIGUSR2 (configured) to the worker; its log says that it has taken it. Nothing else changes, and a restart is as configured. In a pod:
/// `kubectl exec POD -- antispoofd log-level debug`.
#[derive(Args, Clone, Debug)]
#[command(after_help = super::examples::LOG_LEVEL)]
pub(super) struct LogLevelArgs {
    /// What is logged from now on
    #[arg(value_name = "LEVEL")]
    level: Level,
    /// The worker's process; 1 is that of a container
    #[arg(long, value_name = "PID", default_value = "1", value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    /// What this program does, in detail; of its libraries as configured
    Debug,
    /// What log.level (or `RUST_LOG`) says
    Configured,
}

pub(super) fn run(args: &LogLevelArgs) -> Result<Exit, Problem> {
    let signal = match args.level {
        Level::Debug => Signal::USR1,
        Level::Configured => Signal::USR2,
    };
    // Sent to another program, the signal would end it.
    let status = std::fs::read_to_string(format!("/proc/{}/status", args.pid));
    let pid = Pid::from_raw(args.pid).filter(|_| status.is_ok_and(|status| listens(&status, signal)));
    let Some(pid) = pid else {
        let what = anyhow::anyhow!("process {} is no worker that listens for it", args.pid);
        return Err(Problem::failed(what).hint("name the process of `antispoofd run` with --pid"));
    };
    kill_process(pid, signal).map_err(|error| {
        let what = anyhow::anyhow!("signal process {}: {error}", args.pid);
        Problem::failed(what).hint("run it as the user of the worker, or as root")
    })?;
    say(&format!(
        "told process {} to log {}; its log says so",
        args.pid,
        match args.level {
            Level::Debug => "more",
            Level::Configured => "as configured",
        }
    ));
    Ok(Exit::Ok)
}

/// Whether a process with this `/proc/PID/status` is ours and has a handler for the signal.
fn listens(status: &str, signal: Signal) -> bool {
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let caught = line("SigCgt:").and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or_default();
    line("Name:") == Some(NAME) && caught >> (signal.as_raw() - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_worker_that_listens_is_signalled() {
        let worker = "Name:\tantispoofd\nState:\tS (sleeping)\nSigCgt:\t0000000000000a00\n";
        assert!(listens(worker, Signal::USR1) && listens(worker, Signal::USR2));
        assert!(!listens(&worker.replace("0a00", "0000"), Signal::USR1), "it has just been started");
        assert!(!listens(&worker.replace("antispoofd", "postgres"), Signal::USR1));
        assert!(!listens("", Signal::USR1));
    }
}
