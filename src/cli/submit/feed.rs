//! Where the jobs come from. Nothing is read ahead of what can be published, so a list may have any length.

use super::super::lines::Lines;
use super::super::problem::Problem;
use super::args::SubmitArgs;
use super::request::{Request, RequestError};
use super::uri::{Folder, S3Uri};
use crate::s3::Tools;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncBufRead, BufReader};
use tokio::sync::mpsc;

/// Enough that publishing never waits for the next item when there is one.
const AHEAD: usize = 64;

/// Everything that was requested.
pub(super) struct Feed {
    uris: Vec<S3Uri>,
    prefix: Option<Folder>,
    list: Option<(String, Box<dyn AsyncBufRead + Send + Unpin>)>,
    uploads: Vec<(PathBuf, S3Uri)>,
}

/// One job to be.
pub(super) struct Item {
    /// Its name in the request.
    pub(super) place: String,
    pub(super) work: Work,
}

/// What is to be done for it.
pub(super) enum Work {
    Publish(Request),
    /// Nothing: it cannot be a job.
    Skip(RequestError),
    Upload {
        path: PathBuf,
        to: S3Uri,
    },
}

pub(super) type Items = mpsc::Receiver<Result<Item, Problem>>;

impl Feed {
    /// Opens the list and names the uploads. `target` is there when there are any.
    pub(super) async fn new(args: &SubmitArgs, target: Option<Folder>) -> Result<Self, Problem> {
        let list = match &args.from {
            Some(path) => Some(open(path).await?),
            None => None,
        };
        let uploads = match target {
            Some(target) => named(&args.upload, &target)?,
            None => Vec::new(),
        };
        Ok(Self { uris: args.uris.clone(), prefix: args.prefix.clone(), list, uploads })
    }

    /// How many jobs it will be, where that is known.
    pub(super) fn total(&self) -> Option<u64> {
        let known = self.prefix.is_none() && self.list.is_none();
        known.then(|| (self.uris.len() + self.uploads.len()) as u64)
    }

    /// Gives the items one by one. The first error is the last item.
    pub(super) fn start(self, tools: Tools) -> Items {
        let (items, receiver) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            if let Err(problem) = self.give(&tools, &items).await {
                // The receiver is gone when publishing has ended; an error is of no use then.
                items.send(Err(problem)).await.ok();
            }
        });
        receiver
    }

    async fn give(self, tools: &Tools, items: &mpsc::Sender<Result<Item, Problem>>) -> Result<(), Problem> {
        // A receiver that is gone wants no more; the rest is not given.
        let give = async |place: String, work: Work| items.send(Ok(Item { place, work })).await.is_ok();
        for (path, to) in self.uploads {
            if !give(path.display().to_string(), Work::Upload { path, to }).await {
                return Ok(());
            }
        }
        for uri in self.uris {
            if !give(format!("s3://{}/{}", uri.bucket, uri.key), Work::Publish(Request::object(uri))).await {
                return Ok(());
            }
        }
        if let Some(folder) = self.prefix {
            let (keys, mut listed) = mpsc::unbounded_channel();
            let listing = tools.list(folder.bucket(), folder.prefix(), |key| {
                // Cannot fail: the receiver lives as long as this future is polled.
                keys.send(key).ok();
            });
            let mut listing = std::pin::pin!(listing);
            let mut found = false;
            loop {
                // The next page is requested when all keys of the last one have been given.
                let key = tokio::select! {
                    biased;
                    Some(key) = listed.recv() => key,
                    ended = &mut listing => {
                        ended.map_err(|error| Problem::from(error).context("--prefix"))?;
                        break;
                    }
                };
                found = true;
                let uri = S3Uri { bucket: folder.bucket().to_owned(), key };
                if !give(format!("s3://{}/{}", uri.bucket, uri.key), Work::Publish(Request::object(uri))).await {
                    return Ok(());
                }
            }
            while let Ok(key) = listed.try_recv() {
                found = true;
                let uri = S3Uri { bucket: folder.bucket().to_owned(), key };
                if !give(format!("s3://{}/{}", uri.bucket, uri.key), Work::Publish(Request::object(uri))).await {
                    return Ok(());
                }
            }
            if !found {
                return Err(Problem::failed(anyhow::anyhow!("--prefix {folder}: there is no object")));
            }
        }
        if let Some((name, reader)) = self.list {
            let mut lines = Lines::new(reader);
            loop {
                let line =
                    lines.next().await.map_err(|error| Problem::failed(error).context(format!("--from {name}")))?;
                let Some((number, line)) = line else { break };
                let place = format!("line {number} of {name}");
                let work = Request::line(line).map_or_else(Work::Skip, Work::Publish);
                if !give(place, work).await {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

async fn open(path: &Path) -> Result<(String, Box<dyn AsyncBufRead + Send + Unpin>), Problem> {
    if path == Path::new("-") {
        return Ok(("stdin".to_owned(), Box::new(BufReader::new(tokio::io::stdin()))));
    }
    let name = path.display().to_string();
    match tokio::fs::File::open(path).await {
        Ok(file) => Ok((name, Box::new(BufReader::new(file)))),
        Err(error) => Err(Problem::usage(format!("--from {name}: {error}"))),
    }
}

/// A key for every file: its name below the folder. Two files that would become one object are refused.
fn named(paths: &[PathBuf], target: &Folder) -> Result<Vec<(PathBuf, S3Uri)>, Problem> {
    let mut taken = HashMap::new();
    let mut named = Vec::with_capacity(paths.len());
    for path in paths {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(Problem::usage(format!("--upload {}: its name is not UTF-8 text", path.display())));
        };
        let key = format!("{}{name}", target.prefix());
        if let Some(other) = taken.insert(key.clone(), path) {
            return Err(Problem::usage(format!(
                "--upload {} and {} would both become s3://{}/{key}",
                other.display(),
                path.display(),
                target.bucket()
            ))
            .hint("submit them in two commands with a different --to each"));
        }
        named.push((path.clone(), S3Uri { bucket: target.bucket().to_owned(), key }));
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_files_never_become_one_object() {
        let target = Folder::new("bucket", "in/");
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let uploads = named(&paths(&["a/x.jpg", "y.jpg"]), &target).unwrap();
        let keys: Vec<_> = uploads.iter().map(|(_, uri)| uri.key.as_str()).collect();
        assert_eq!(keys, ["in/x.jpg", "in/y.jpg"]);
        assert!(named(&paths(&["a/x.jpg", "b/x.jpg"]), &target).is_err());
    }
}
