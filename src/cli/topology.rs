//! `antispoofd topology`: exchanges, queues and bindings, for who puts them up by hand or wants to know what is there.

use super::differences::{listed, policy, policy_remedy, remedy};
use super::exit::Exit;
use super::problem::Problem;
use super::stdout::print;
use super::terminal::{plain, say};
use crate::amqp::{
    Compared, Effect, Found, Link, Management, Names, Role, State, close, connect, declare_over, definitions, inspect,
};
use crate::settings::{Ledger, LedgerBackend, Settings};
use clap::{Args, Subcommand};
use std::time::Duration;

/// Far above what some dozens of round trips take; a broker that does not answer is not waited for.
const LIMIT: Duration = Duration::from_mins(1);

const DAY: Duration = Duration::from_hours(24);

/// Print, compare or declare exchanges, queues and bindings
#[derive(Args, Clone, Debug)]
#[command(after_help = super::examples::TOPOLOGY)]
pub(super) struct TopologyArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Print them as definitions, for `rabbitmqctl import_definitions` or the management pages
    ///
    /// The vhost is that of amqp.url and has to be there; users and permissions are not in it.
    #[command(after_help = super::examples::TOPOLOGY)]
    Print {
        /// Print instead the lifecycle rule of ledger.bucket, as `aws s3api put-bucket-lifecycle-configuration` takes it: it removes records that are too old
        #[arg(long)]
        ledger: bool,
    },
    /// Compare them with those of the broker, an object a line; ends with 1 unless all are as they should be
    ///
    /// Changes nothing. Each argument that differs is named. Over AMQP, comparing needs the right to configure, and bindings and policies
    /// cannot be asked for; the management API shows all of it to a user with the tag "management". Then each policy and operator policy that
    /// can drop, expire or move messages has a line of its own, too ("policy", which ends with 1; "note" where it removes none by itself).
    #[command(after_help = super::examples::TOPOLOGY)]
    Check {
        /// Ask the management API at this address, as `http://host:15672`, with user and password of amqp.url
        #[arg(long, value_name = "URL")]
        management: Option<String>,
    },
    /// Declare what is missing; changes nothing when something is there with other arguments
    #[command(after_help = super::examples::TOPOLOGY)]
    Apply,
}

pub(super) async fn run(args: TopologyArgs, settings: Settings) -> Result<Exit, Problem> {
    let amqp = &settings.amqp;
    let names = Names::new(&amqp.prefix, &settings.retry.delays);
    if let What::Print { ledger: true } = args.what {
        print(&format!("{:#}", lifecycle(&settings.ledger)?))?;
        return Ok(Exit::Ok);
    }
    if let What::Print { .. } = args.what {
        print(&format!("{:#}", definitions(&names, amqp.url.vhost())))?;
        return Ok(Exit::Ok);
    }
    if let What::Check { management: Some(url) } = &args.what {
        let compared = Management::new(url, amqp)?.compare(&names).await?;
        let verdict = print_differences(&compared.found, amqp.url.vhost())?;
        let of_policies = tell_policies(&compared, amqp.url.vhost())?;
        say(&if compared.results_bound {
            format!("a queue is bound to {}", names.results)
        } else {
            format!("note: nothing is bound to {}: bind the consumer's queue to it before the first job", names.results)
        });
        return match verdict {
            Ok(_) => of_policies,
            Err(problem) => Err(problem),
        };
    }
    let link = connect(amqp, &settings.worker.instance, Role::Tool).await?;
    let work = async {
        match args.what {
            What::Print { .. } | What::Check { .. } => {
                let verdict = print_differences(&inspect(&link, &names).await?, amqp.url.vhost())?;
                say(
                    "bindings, and policies that drop, expire or move messages, are not known: they cannot be asked for over AMQP; \
                     --management http://host:15672 asks for them",
                );
                verdict
            }
            What::Apply => apply(&link, &names, amqp.url.vhost()).await,
        }
    };
    let ended = match tokio::time::timeout(LIMIT, work).await {
        Ok(ended) => ended,
        Err(_) => Err(Problem::unreachable(anyhow::anyhow!("the broker did not answer within {LIMIT:?}"))),
    };
    close(&link).await;
    ended
}

/// A rule for the records alone. Its days are counted from the last write of an object, and are one more than a record counts for: the worker knows the
/// milliseconds. Where the bucket keeps versions, each step of a job leaves one.
fn lifecycle(ledger: &Ledger) -> Result<serde_json::Value, Problem> {
    let LedgerBackend::S3 { prefix, .. } = &ledger.backend else {
        let problem =
            Problem::wrong_setting(anyhow::anyhow!("ledger.backend is not \"s3\": there is no bucket for a rule"));
        return Err(problem.hint("set ledger.backend = \"s3\" and ledger.bucket"));
    };
    let days = ledger.ttl.as_millis().div_ceil(DAY.as_millis()) + 1;
    Ok(serde_json::json!({
        "Rules": [{
            "ID": format!("{prefix}-records"),
            "Status": "Enabled",
            "Filter": { "Prefix": format!("{prefix}/") },
            "Expiration": { "Days": u64::try_from(days).unwrap_or(u64::MAX) },
            "NoncurrentVersionExpiration": { "NoncurrentDays": 1 },
        }]
    }))
}

/// Prints a line for each. The outer error is of the printing.
fn print_differences(found: &[Found], vhost: &str) -> Result<Result<Exit, Problem>, Problem> {
    for Found { object, state } in found {
        print(&match state {
            State::AsItShould => format!("ok       {object}"),
            State::Missing => format!("missing  {object}"),
            State::Differs(differences) => format!("differs  {object}: {}", plain(&listed(differences))),
            State::Unknown(why) => format!("unknown  {object}: {}", plain(why)),
        })?;
    }
    let wrong = found.iter().filter(|found| found.state != State::AsItShould).count();
    if wrong == 0 {
        return Ok(Ok(Exit::Ok));
    }
    let hint = match found.iter().find(|found| matches!(found.state, State::Differs(_))) {
        Some(found) => remedy(&found.object, vhost),
        None if found.iter().any(|found| found.state == State::Missing) => {
            "`antispoofd topology apply` declares what is missing; are vhost and amqp.prefix right?".to_owned()
        }
        None => "comparing needs the right to configure, or --management; nothing is changed either way".to_owned(),
    };
    let words = format!("{wrong} of {} are not there as they should be, or could not be compared", found.len());
    Ok(Err(Problem::failed(anyhow::anyhow!(words)).hint(hint)))
}

/// As [`print_differences`], of what policies do: a line for each key that matters.
fn tell_policies(compared: &Compared, vhost: &str) -> Result<Result<Exit, Problem>, Problem> {
    let policies = &compared.policies;
    for finding in &policies.findings {
        let state = if matches!(finding.effect, Effect::Removes(_)) { "policy" } else { "note" };
        print(&format!("{state:<8} {}", plain(&policy(finding))))?;
    }
    for why in &policies.unknown {
        print(&format!("unknown  {}", plain(why)))?;
    }
    Ok(match (policies.removing().next(), policies.unknown.first()) {
        (None, None) => Ok(Exit::Ok),
        (Some(first), _) => {
            let words = match policies.removing().count() {
                1 => "a setting of a policy drops, expires or moves messages".to_owned(),
                more => format!("{more} settings of policies drop, expire or move messages"),
            };
            let each = "; `check --connect --management …` says it of each";
            Err(Problem::failed(anyhow::anyhow!(words)).hint(format!("{}{each}", policy_remedy(first, vhost))))
        }
        (None, Some(_)) => Err(Problem::failed(anyhow::anyhow!("not all policies are known"))
            .hint("the tag \"management\" and permissions in the vhost are what the user of amqp.url needs")),
    })
}

async fn apply(link: &Link, names: &Names, vhost: &str) -> Result<Exit, Problem> {
    let found = inspect(link, names).await?;
    for found in &found {
        if let State::Differs(differences) = &found.state {
            let what = format!("{} is there with {}; nothing was declared", found.object, plain(&listed(differences)));
            return Err(Problem::failed(anyhow::anyhow!(what)).hint(remedy(&found.object, vhost)));
        }
    }
    if let Err(error) = declare_over(link, names).await {
        return Err(if error.is_refusal() {
            Problem::failed(error).hint(format!(
                "the user of amqp.url needs the rights to configure, write and read what begins with amqp.prefix; \
                 as permissions of RabbitMQ: {:?} three times",
                format!("^{}", names.jobs.trim_end_matches("jobs").replace('.', "\\."))
            ))
        } else {
            Problem::unreachable(error).hint("the same command can be repeated")
        });
    }
    for Found { object, state } in &found {
        let done = if *state == State::Missing { "declared" } else { "there" };
        print(&format!("{done:<9} {object}"))?;
    }
    say("all queues are bound as they should be");
    Ok(Exit::Ok)
}
