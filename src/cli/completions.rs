//! `antispoofd completions` and `antispoofd man`: the commands as shells and `man` know them, from the same definitions as `--help`.

use super::exit::Exit;
use super::problem::Problem;
use super::stdout::print;
use super::terminal::say;
use crate::VERSION;
use anyhow::Context as _;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use std::path::{Path, PathBuf};

/// Print the script that completes this program's commands in a shell
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = super::examples::COMPLETIONS)]
pub(super) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

/// Print the manual page of the program, or of one of its commands
#[derive(Args, Clone, Debug)]
#[command(after_help = super::examples::MAN)]
pub(super) struct ManArgs {
    /// The command, as `topology check`
    #[arg(value_name = "COMMAND", conflicts_with = "output")]
    command: Vec<String>,
    /// Write the pages of the program and of all its commands into this directory
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub(super) fn completions(args: CompletionsArgs, mut program: Command) -> Result<Exit, Problem> {
    let mut script = Vec::new();
    // A reader that leaves is met by `print`; the generator would panic.
    clap_complete::generate(args.shell, &mut program, "antispoofd", &mut script);
    print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Ok)
}

pub(super) fn man(args: &ManArgs, program: Command) -> Result<Exit, Problem> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    if let Some(directory) = &args.output {
        std::fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
        let written = write_all(&program, directory)?;
        say(&format!("{written} pages written to {}", directory.display()));
        return Ok(Exit::Ok);
    }
    let command = args.command.iter().try_fold(&program, |command, name| {
        command.find_subcommand(name).ok_or_else(|| {
            let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
            let problem = Problem::usage(format!("there is no command {name:?}"));
            if names.is_empty() { problem } else { problem.hint(format!("there are {}", names.join(", "))) }
        })
    })?;
    print(page(command)?.trim_end())?;
    Ok(Exit::Ok)
}

/// The pages of a command and of those below it. Returns how many.
fn write_all(command: &Command, directory: &Path) -> Result<usize, Problem> {
    let path = directory.join(format!("{}.1", name(command)));
    std::fs::write(&path, page(command)?).with_context(|| format!("write {}", path.display()))?;
    command.get_subcommands().try_fold(1, |written, below| Ok(written + write_all(below, directory)?))
}

fn page(command: &Command) -> Result<String, Problem> {
    let mut page = Vec::new();
    let man = Man::new(command.clone()).title(name(command).to_uppercase()).source(format!("antispoofd {VERSION}"));
    man.render(&mut page).context("write the manual page")?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// `antispoofd-topology-check`
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}
