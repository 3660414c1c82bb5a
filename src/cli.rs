//! The commands: a file each, and the only place that prints. stdout is data, stderr is talk.

mod admin_port;
mod check;
mod completions;
mod config;
mod differences;
mod dumps;
mod examples;
mod exit;
mod file_size;
mod health;
mod lines;
mod load;
mod log_level;
mod parked;
mod problem;
mod progress;
pub mod run;
mod runtime;
pub mod simulate;
mod status;
mod stdout;
mod stop;
mod submit;
mod table;
mod terminal;
mod token;
mod topology;
mod view;
mod watch;

use crate::settings::{self, Needs, Sources};
use crate::telemetry::logs::LastLines;
use clap::{CommandFactory as _, Parser, Subcommand};
pub use exit::Exit;
use load::{client, load};
use problem::Problem;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Jobs from RabbitMQ that name a face image in S3, checked for spoofing by a paid API; verdict events out
#[derive(Debug, Parser)]
#[command(name = "antispoofd", version = crate::VERSION, after_help = examples::PROGRAM)]
#[expect(clippy::doc_markdown, reason = "these comments are printed as the program's help")]
struct Cli {
    /// Settings file, repeatable [default: $ANTISPOOFD_CONFIG, else /etc/antispoofd/antispoofd.toml]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    config: Vec<PathBuf>,
    /// One setting, as worker.concurrency=32, repeatable; wins over files and environment
    #[arg(long, global = true, value_name = "KEY=VALUE", help_heading = "Settings")]
    set: Vec<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the worker
    #[command(
        after_help = examples::RUN,
        long_about = "Run the worker\n\nTakes jobs from the broker until SIGTERM, SIGINT or SIGQUIT, then finishes what was sent and ends. \
                      A second one ends it at once. SIGHUP changes nothing: settings are read at the start only, the files of secrets when they change. \
                      SIGUSR1 makes the log more detailed, SIGUSR2 as configured again (`antispoofd log-level`)."
    )]
    Run,
    Check(check::CheckArgs),
    Config(config::ConfigArgs),
    Topology(topology::TopologyArgs),
    Submit(submit::SubmitArgs),
    Watch(watch::WatchArgs),
    Parked(parked::ParkedArgs),
    Status(status::StatusArgs),
    Token(token::TokenArgs),
    Health(health::HealthArgs),
    LogLevel(log_level::LogLevelArgs),
    Simulate(simulate::SimulateArgs),
    Completions(completions::CompletionsArgs),
    Man(completions::ManArgs),
}

/// Runs the program and says how it ended. `args` begin with the name of the program.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let _last_lines = LastLines;
    // Help can be written to a file, too.
    if let Err(problem) = file_size::survive() {
        return problem.report().into();
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return print_usage(&error).into(),
    };
    // Fails only where one is installed already, which is as good.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let exit = match dispatch(cli) {
        Ok(exit) => exit,
        Err(problem) => problem.report(),
    };
    exit.into()
}

fn dispatch(cli: Cli) -> Result<Exit, Problem> {
    // First: what is read from here on is secrets and images.
    dumps::forbid()?;
    let overrides = overrides(cli.set)?;
    let sources = Sources::from_process(cli.config, overrides);
    match cli.command {
        Command::Run => {
            run::run(settings::load(sources).map_err(Problem::of_daemon)?)?;
            Ok(Exit::Ok)
        }
        Command::Check(args) => check::run(&args, settings::load(sources)),
        Command::Config(args) => config::run(args, || settings::load(sources)),
        Command::Topology(args) => {
            let loaded = client(load(Needs::Client, sources)?)?;
            runtime::block_on(topology::run(args, loaded.settings))
        }
        Command::Submit(args) => {
            let loaded = client(load(Needs::Client, sources)?)?;
            runtime::block_on(submit::run(args, loaded.settings))
        }
        Command::Watch(args) => {
            let loaded = client(load(Needs::Client, sources)?)?;
            runtime::block_on(watch::run(args, loaded.settings))
        }
        Command::Parked(args) => {
            let loaded = client(load(Needs::Client, sources)?)?;
            runtime::block_on(parked::run(args, loaded.settings))
        }
        Command::Status(args) => runtime::block_on(status::run(args, load(Needs::Client, sources)?.settings.admin)),
        Command::Token(args) => token::run(&args, &load(Needs::Token, sources)?.settings.api),
        Command::Health(args) => runtime::block_on(health::run(args, load(Needs::Client, sources)?.settings.admin)),
        Command::LogLevel(args) => log_level::run(&args),
        Command::Simulate(args) => runtime::block_on(simulate::run(args)),
        Command::Completions(args) => completions::completions(args, Cli::command()),
        Command::Man(args) => completions::man(&args, Cli::command()),
    }
}

/// Prints what clap has to say: help and version were requested, everything else is wrong usage.
fn print_usage(error: &clap::Error) -> Exit {
    // A reader that has closed the pipe does not want to read it.
    error.print().ok();
    if error.use_stderr() { Exit::Usage } else { Exit::Ok }
}

/// Splits the `--set` flags. A flag that cannot be split is not repeated: it may hold a secret.
fn overrides(flags: Vec<String>) -> Result<Vec<(String, String)>, Problem> {
    let split = |(index, flag): (usize, String)| {
        let (key, value) = flag.split_once('=').ok_or_else(|| {
            Problem::usage(format!("--set number {} has no \"=\"", index + 1)).hint("write --set section.key=value")
        })?;
        Ok((key.to_owned(), value.to_owned()))
    };
    flags.into_iter().enumerate().map(split).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn set_is_split_at_the_first_equals_sign() {
        let split = |flag: &str| overrides(vec![flag.to_owned()]).map_err(|problem| problem.report());
        assert_eq!(split("api.url=http://a/?b=c"), Ok(vec![("api.url".to_owned(), "http://a/?b=c".to_owned())]));
        assert_eq!(split("api.url"), Err(Exit::Usage));
    }
}
