//! `antispoofd submit`: images become jobs.

mod args;
mod collect;
mod feed;
mod publish;
mod request;
mod skipped;
mod topology;
mod uri;

use super::exit::Exit;
use super::problem::Problem;
use super::progress::Progress;
use super::stdout::print;
use super::stop::Stop;
use super::terminal::say;
use crate::amqp::{Keep, Names, Outbox, Role, Tail, close, connect};
use crate::s3::{StoreError, Tools};
use crate::settings::Settings;
pub(super) use args::SubmitArgs;
use collect::{Collected, Collector};
use feed::Feed;
use publish::{Published, Publisher};
use request::Shape;
use topology::Topology;

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
    let tools = Tools::new(&settings.s3).await.map_err(|error| Problem::failed(error).hint(StoreError::REMEDY))?;
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
        // After a failure it is not known which events are still to come.
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
    let printed = collected.as_ref().map_or(Ok(()), |collected| print_collected(collected, args.json));
    match problem {
        Some(problem) if problem.is_closed() => {
            Err(Problem::failed(anyhow::anyhow!("stdout was closed before all jobs were published")))
        }
        Some(problem) => Err(args.resumable(problem, count)),
        None => {
            printed?;
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
fn print_collected(collected: &Collected, json: bool) -> Result<(), Problem> {
    if json {
        say(&collected.summary());
        return Ok(());
    }
    print(&format!("{}{}", collected.table(), collected.summary()))
}
