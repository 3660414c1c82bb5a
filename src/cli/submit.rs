//! `antispoofd submit`: images become jobs.

mod collect;
mod feed;
mod lines;
mod publish;
mod request;
mod skipped;
mod topology;
mod uri;

use super::exit::Exit;
use super::problem::Problem;
use super::progress::Progress;
use super::terminal::{print, say};
use crate::amqp::{Keep, Names, Outbox, Role, Tail, close, connect};
use crate::s3::Tools;
use crate::settings::Settings;
use clap::{ArgGroup, Args};
use collect::{Collected, Collector};
use feed::Feed;
use publish::{Published, Publisher, Stop};
use request::Shape;
use std::path::PathBuf;
use std::time::Duration;
use topology::Topology;
use uri::{Folder, S3Uri};

/// Where uploads go within their bucket when `--to` does not say it.
const UPLOAD_FOLDER: &str = "submitted/";

/// What to do when an exchange is not there.
pub(super) const NO_TOPOLOGY: &str = "a worker with amqp.topology = \"declare\" has to have run on this vhost; \
     are amqp.url and amqp.prefix the same here and there?";

/// Publish jobs: objects of a bucket, a list, or local files
///
/// Each job is published persistently and confirmed by the broker; then its id and its object are printed, with a tab between them. What cannot be a
/// job is left out and told of at the end, and the exit code is 1.
#[derive(Args, Clone, Debug)]
#[command(after_help = super::examples::SUBMIT)]
#[command(group = ArgGroup::new("what").args(["uris", "prefix", "from", "upload"]).required(true).multiple(true))]
#[expect(clippy::doc_markdown, reason = "these comments are printed as the command's help")]
pub(super) struct SubmitArgs {
    /// Objects to submit, as s3://BUCKET/KEY; the key is taken as it is
    #[arg(value_name = "S3_URI")]
    uris: Vec<S3Uri>,
    /// Submit every object below s3://BUCKET/PREFIX
    #[arg(long, value_name = "S3_URI")]
    prefix: Option<Folder>,
    /// Submit what a file lists, or stdin for "-": a line each, an S3 URI or a job as JSON
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Put local files into the bucket and submit them, pinned to these bytes by their ETag
    #[arg(long, value_name = "FILE", num_args = 1..)]
    upload: Vec<PathBuf>,
    /// Where --upload puts the files [default: submitted/ in s3.default_bucket or the only one of s3.buckets]
    #[arg(long, value_name = "S3_URI", requires = "upload")]
    to: Option<Folder>,
    /// Make the bucket for --upload if it is not there
    #[arg(long, requires = "upload")]
    create_bucket: bool,
    /// Wait for the terminal event of every job, then print a table of them instead of the ids
    ///
    /// Ends with 0 when every job got a verdict, whichever, and with 1 when one ended in a failure or has no event in time.
    #[arg(long)]
    wait: bool,
    /// Longest wait after the last job was published
    #[arg(long, value_name = "DURATION", default_value = "10m", requires = "wait", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Longest wait for a worker to declare exchanges and queues, where they are missing and not declared by this command
    ///
    /// With amqp.topology = "declare" (the default) and a user who may, this command declares them itself and does not wait.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    topology_timeout: Duration,
    /// Print JSON, an object a line: the jobs, or with --wait their events
    #[arg(long)]
    json: bool,
    /// Start of the job ids; a hyphen and an id of the object follow it [default: new for every run]
    ///
    /// No hyphen is put behind a prefix that ends with anything but a letter or a digit: "kyc" and "kyc-" are the same. Submitting an object again under the same prefix names the same job, which is not paid for twice as long as the worker's
    /// ledger remembers it. A job in JSON keeps the id that it has.
    #[arg(long, value_name = "TEXT")]
    id_prefix: Option<String>,
    /// A JSON object that comes back in the event, for jobs that bring none
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// Do not check the image after this time from now, for jobs that do not say it themselves
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    expires_in: Option<Duration>,
    /// Uploads and publishes at a time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
}

/// Runs the command. Nothing is uploaded or published before everything that can be checked has been.
pub(super) async fn run(args: SubmitArgs, settings: Settings) -> Result<Exit, Problem> {
    let shape = Shape::new(args.id_prefix.as_deref(), args.metadata.as_deref(), args.expires_in, &settings.s3)?;
    let target = args.target(&settings)?;
    args.check_files()?;
    let feed = Feed::new(&args, target.clone()).await?;

    let names = Names::new(&settings.amqp.prefix, &[]);
    let link = connect(&settings.amqp, &settings.worker.instance, Role::Tool).await?;
    let mut stop = Stop::install()?;
    let mode = settings.amqp.topology;
    let topology = topology::ready(&link, &names, args.wait, mode, args.topology_timeout, &mut stop).await?;
    let mut collector = if args.wait {
        let tail = Tail::open(&link, &names, &["#".to_owned()], Keep::All).await?;
        Some(Collector::new(tail, args.json))
    } else {
        None
    };
    let tools = Tools::new(&settings.s3).await;
    if let Some(target) = target.as_ref().filter(|_| args.create_bucket) {
        tools.create_bucket(target.bucket()).await.map_err(|error| Problem::from(error).context("--create-bucket"))?;
    }

    let outbox = Outbox::new(link.clone(), args.concurrency, settings.amqp.publish_timeout);
    let progress = Progress::new(feed.total());
    let publisher = Publisher {
        outbox: &outbox,
        tools: &tools,
        names: &names,
        topology,
        shape: &shape,
        concurrency: args.concurrency,
        json: args.json,
        progress: &progress,
    };
    let Published { count, skipped, problem } =
        publisher.run(feed.start(tools.clone()), collector.as_mut(), &mut stop).await;
    let collected = match (collector, &problem) {
        (None, _) => None,
        (Some(collector), None) => Some(collector.rest(args.timeout, &mut stop, &progress).await),
        // Nobody knows what is still to come.
        (Some(collector), Some(_)) => Some(collector.so_far()),
    };
    progress.finish();
    close(&link).await;
    if count > 0 || problem.is_none() {
        say(&format!("{count} {} published to {}", if count == 1 { "job" } else { "jobs" }, names.jobs));
    }
    if count > 0 && !args.wait {
        say(&whereabouts(&names, topology));
    }
    if !skipped.is_empty() {
        say(&skipped.to_string());
    }
    let told = collected.as_ref().map_or(Ok(()), |collected| tell(collected, args.json));
    match problem {
        Some(problem) if problem.is_closed() => {
            Err(Problem::failed(anyhow::anyhow!("stdout was closed before all jobs were published")))
        }
        Some(problem) => Err(args.resumable(problem, count)),
        None => {
            told?;
            match collected.map_or(Ok(Exit::Ok), Collected::end)? {
                Exit::Ok if !skipped.is_empty() => Ok(Exit::Failed),
                exit => Ok(exit),
            }
        }
    }
}

/// Where the events go. Which queues are bound to an exchange cannot be asked for over AMQP, but what was not there had none.
fn whereabouts(names: &Names, topology: Topology) -> String {
    let results = &names.results;
    let bound = match topology {
        Topology::Declared => {
            format!("no queue is bound to {results} yet, and without one a worker holds its first verdicts and stops:")
        }
        Topology::Found | Topology::Appeared(_) => format!("their events go to exchange {results}:"),
    };
    format!("{bound} bind a queue to it, run `antispoofd watch`, or submit with --wait")
}

/// The table and the counts; of JSON, where every event has been printed, only the counts, to stderr.
fn tell(collected: &Collected, json: bool) -> Result<(), Problem> {
    if json {
        say(&collected.summary());
        return Ok(());
    }
    print(&format!("{}{}", collected.table(), collected.summary()))
}

// === impl SubmitArgs ===

impl SubmitArgs {
    /// Where uploads go; `None` without any.
    fn target(&self, settings: &Settings) -> Result<Option<Folder>, Problem> {
        if self.upload.is_empty() {
            return Ok(None);
        }
        if let Some(to) = &self.to {
            return Ok(Some(to.clone().closed()));
        }
        let bucket = settings.s3.default_bucket.as_ref().or(match settings.s3.buckets.as_slice() {
            [only] => Some(only),
            _ => None,
        });
        match bucket {
            Some(bucket) => Ok(Some(Folder::new(bucket, UPLOAD_FOLDER))),
            None => Err(Problem::usage("--upload does not know which bucket to put the files into")
                .hint("write --to s3://BUCKET/PREFIX/, or set s3.default_bucket")),
        }
    }

    fn check_files(&self) -> Result<(), Problem> {
        for path in &self.upload {
            let shown = path.display();
            if shown.to_string().starts_with("s3://") {
                return Err(Problem::usage(format!("--upload {shown}: that is an object, not a file"))
                    .hint("put S3 URIs before --upload, which takes all that follows it"));
            }
            match std::fs::metadata(path) {
                Ok(found) if found.is_file() => {}
                Ok(found) if found.is_dir() => {
                    return Err(Problem::usage(format!("--upload {shown}: is a directory"))
                        .hint("name its files, for instance as DIRECTORY/*.jpg"));
                }
                Ok(_) => return Err(Problem::usage(format!("--upload {shown}: is not a regular file"))),
                Err(error) => return Err(Problem::usage(format!("--upload {shown}: {error}"))),
            }
        }
        Ok(())
    }

    /// Says how to go on after some jobs have been published.
    fn resumable(&self, problem: Problem, published: u64) -> Problem {
        match &self.id_prefix {
            _ if published == 0 || problem.has_hint() => problem,
            Some(_) => problem.hint("run the same command again: with the same --id-prefix nothing is paid for twice"),
            None => problem.hint("what was published stays published; submit only the rest"),
        }
    }
}
