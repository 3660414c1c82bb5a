//! What jobs are published to: waited for where a worker has still to declare it, or declared.

use super::super::problem::{NO_TOPOLOGY, Problem};
use super::super::stop::Stop;
use super::super::terminal::say;
use crate::amqp::{Link, Names, declare_over, missing};
use crate::settings::TopologyMode;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks.
pub(super) const PAUSE: Duration = Duration::from_millis(250);

/// How the topology was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topology {
    /// There from the beginning.
    Found,
    /// Declared by this command, so no queue is bound to the results yet.
    Declared,
    /// A worker declares it at this moment: the binding of the job queue may come last, up to then.
    Appeared(Instant),
}

/// Looks for the exchange and the queue of the jobs, and for the exchange of the results when those are `awaited`. What is missing is declared when `amqp.topology` says so and the user may, else waited for, for as long
/// as `limit`; what is done is said.
pub(super) async fn ready(
    link: &Link,
    names: &Names,
    awaited: bool,
    mode: TopologyMode,
    limit: Duration,
    stop: &mut Stop,
) -> Result<Topology, Problem> {
    let Some(mut object) = missing(link, names, awaited).await? else { return Ok(Topology::Found) };
    if mode == TopologyMode::Declare {
        // Without the delay queues, whose names depend on the worker's settings: it declares them itself.
        match declare_over(link, names).await {
            Ok(()) => {
                let jobs = &names.jobs;
                say(&format!("declared {jobs} and its kin, because no worker had (amqp.topology = \"declare\")"));
                return Ok(Topology::Declared);
            }
            Err(error) if error.is_refusal() => {
                say(&format!("cannot declare what is missing ({error}); a worker has to"));
            }
            Err(error) => return Err(Problem::unreachable(error)),
        }
    }
    let until = Instant::now() + limit;
    if !limit.is_zero() {
        let limit = humantime::format_duration(limit);
        say(&format!("{object} is not there: waiting for a worker to declare it, for up to {limit}"));
    }
    while Instant::now() < until {
        tokio::select! {
            biased;
            () = stop.asked() => return Err(Problem::failed(anyhow::anyhow!("interrupted before anything was published"))),
            () = sleep(PAUSE) => {}
        }
        match missing(link, names, awaited).await? {
            None => return Ok(Topology::Appeared(until)),
            Some(still) => object = still,
        }
    }
    Err(Problem::unreachable(anyhow::anyhow!("find {object}: the broker has no such thing")).hint(NO_TOPOLOGY))
}
