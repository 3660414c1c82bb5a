//! `antispoofd parked export`.

use super::super::exit::Exit;
use super::super::problem::Problem;
use super::super::stdout::print;
use super::super::terminal::say;
use super::chosen::jobs;
use super::filter::Filter;
use super::show::line;
use super::source::Source;
use anyhow::Context as _;
use clap::Args;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Write parked jobs to a file, a JSON object a line; they stay parked
///
/// The file holds personal data: ids, keys, metadata. Only its owner may read it.
#[derive(Args, Clone, Debug)]
#[command(after_help = crate::cli::examples::PARKED_EXPORT)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    filter: Filter,
    /// A file that is not there yet [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn run(args: &ExportArgs, source: &Source) -> Result<Exit, Problem> {
    let mut target = args.output.as_deref().map(Target::create).transpose()?;
    let mut count = 0;
    let mut lines = Vec::new();
    source
        .look(|held| {
            if args.filter.matches(held.message.entry()) {
                count += 1;
                let line = line(&held.message).to_string();
                match &mut target {
                    Some(target) => target.write(&line)?,
                    None => lines.push(line),
                }
            }
            Ok(())
        })
        .await?;
    for line in &lines {
        print(line)?;
    }
    let whereto = match target {
        Some(target) => target.finish()?,
        None => "stdout".to_owned(),
    };
    say(&format!("{} written to {whereto}; they are still in {}", jobs(count), source.names.parked));
    Ok(Exit::Ok)
}

/// A file that has its name only when it is whole.
struct Target {
    file: BufWriter<File>,
    partial: Partial,
    path: PathBuf,
}

/// The file under its first name, under which it does not stay: it holds personal data.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            say(&format!("note: remove {}: {error}", self.0.display()));
        }
    }
}

impl Target {
    fn create(path: &Path) -> Result<Self, Problem> {
        if path.exists() {
            return Err(Problem::usage(format!("{} is there already", path.display())).hint("name another file"));
        }
        let mut partial = path.as_os_str().to_owned();
        // Of this process alone: another export may be writing, and a file that is there may be another user's.
        partial.push(format!(".partial-{}-{:08x}", std::process::id(), fastrand::u32(..)));
        let partial = PathBuf::from(partial);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)
            .with_context(|| format!("create {}", partial.display()))?;
        Ok(Self { file: BufWriter::new(file), partial: Partial(partial), path: path.to_owned() })
    }

    fn write(&mut self, line: &str) -> Result<(), Problem> {
        writeln!(self.file, "{line}").with_context(|| format!("write {}", self.partial.0.display()))?;
        Ok(())
    }

    fn finish(self) -> Result<String, Problem> {
        let Self { file, partial, path } = self;
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all()).with_context(|| format!("write {}", partial.0.display()))?;
        // Not over a file that has appeared meanwhile.
        fs::hard_link(&partial.0, &path).with_context(|| format!("name it {}", path.display()))?;
        Ok(path.display().to_string())
    }
}
