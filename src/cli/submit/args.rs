//! What can be submitted, and how.

use super::super::problem::Problem;
use super::uri::{Folder, S3Uri};
use crate::settings::Settings;
use clap::{ArgGroup, Args};
use std::path::PathBuf;
use std::time::Duration;

/// Where uploads go within their bucket when `--to` does not say it.
const UPLOAD_FOLDER: &str = "submitted/";

/// Publish jobs: objects of a bucket, a list, or local files
///
/// Each job is published persistently and confirmed by the broker; then its id and its object are printed, with a tab between them. What cannot be a
/// job is left out and printed at the end, and the exit code is 1.
#[derive(Args, Clone, Debug)]
#[command(after_help = crate::cli::examples::SUBMIT)]
#[command(group = ArgGroup::new("what").args(["uris", "prefix", "from", "upload"]).required(true).multiple(true))]
#[expect(clippy::doc_markdown, reason = "these comments are printed as the command's help")]
pub(in crate::cli) struct SubmitArgs {
    /// Objects to submit, as s3://BUCKET/KEY; the key is taken as it is
    #[arg(value_name = "S3_URI")]
    pub(in crate::cli::submit) uris: Vec<S3Uri>,
    /// Submit every object below s3://BUCKET/PREFIX
    #[arg(long, value_name = "S3_URI")]
    pub(in crate::cli::submit) prefix: Option<Folder>,
    /// Submit what a file lists, or stdin for "-": a line each, an S3 URI or a job as JSON
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli::submit) from: Option<PathBuf>,
    /// Put local files into the bucket and submit them, pinned to these bytes by their ETag
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(in crate::cli::submit) upload: Vec<PathBuf>,
    /// Where --upload puts the files [default: submitted/ in s3.default_bucket or the only one of s3.buckets]
    #[arg(long, value_name = "S3_URI", requires = "upload")]
    pub(in crate::cli::submit) to: Option<Folder>,
    /// Make the bucket for --upload if it is not there
    #[arg(long, requires = "upload")]
    pub(in crate::cli::submit) create_bucket: bool,
    /// Wait for the terminal event of every job, then print a table of them instead of the ids
    ///
    /// Ends with 0 when every job got a verdict, whichever, and with 1 when one ended in a failure or has no event in time.
    #[arg(long)]
    pub(in crate::cli::submit) wait: bool,
    /// Longest wait after the last job was published
    #[arg(long, value_name = "DURATION", default_value = "10m", requires = "wait", value_parser = humantime::parse_duration)]
    pub(in crate::cli::submit) timeout: Duration,
    /// Longest wait for a worker to declare exchanges and queues, where they are missing and not declared by this command
    ///
    /// With amqp.topology = "declare" (the default) and a user who may, this command declares them itself and does not wait.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(in crate::cli::submit) topology_timeout: Duration,
    /// Print JSON, an object a line: the jobs, or with --wait their events
    #[arg(long)]
    pub(in crate::cli::submit) json: bool,
    /// Start of the job ids; a hyphen and an id of the object follow it [default: new for every run]
    ///
    /// No hyphen is put behind a prefix that ends with anything but a letter or a digit: "kyc" and "kyc-" are the same. Submitting an object again under the same prefix names the same job, which is not paid for twice as long as the worker's
    /// ledger remembers it. A job in JSON keeps the id that it has.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli::submit) id_prefix: Option<String>,
    /// A JSON object that comes back in the event, for jobs that bring none
    #[arg(long, value_name = "JSON")]
    pub(in crate::cli::submit) metadata: Option<String>,
    /// Do not check the image after this time from now, for jobs that do not say it themselves
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(in crate::cli::submit) expires_in: Option<Duration>,
    /// Uploads and publishes at a time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(in crate::cli::submit) concurrency: u16,
}

// === impl SubmitArgs ===

impl SubmitArgs {
    /// Where uploads go; `None` without any.
    pub(super) fn target(&self, settings: &Settings) -> Result<Option<Folder>, Problem> {
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

    pub(super) fn check_files(&self) -> Result<(), Problem> {
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
    pub(super) fn resumable(&self, problem: Problem, published: u64) -> Problem {
        match &self.id_prefix {
            _ if published == 0 || problem.has_hint() => problem,
            Some(_) => problem.hint("run the same command again: with the same --id-prefix nothing is paid for twice"),
            None => problem.hint("what was published stays published; submit only the rest"),
        }
    }
}
