//! `antispoofd health`: asks the admin port, for images that have no shell and no curl.

use super::admin_port::{Answer, get, reachable};
use super::exit::Exit;
use super::problem::Problem;
use super::terminal::{plain, say};
use crate::settings;
use clap::Args;
use std::time::Duration;

/// Shorter than an orchestrator's own limit for a probe, so that the reason is printed.
const LIMIT: Duration = Duration::from_secs(2);
const LONGEST_REASON: usize = 300;

/// Ask a running worker whether it lives or is ready
///
/// Asks the port of admin.listen on this machine. Exits with 0 when the answer is yes, and with 1 when it is no or there is none
/// within two seconds; stderr says why.
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = super::examples::HEALTH)]
pub(super) struct HealthArgs {
    /// Ask whether it is ready to take jobs (/readyz) instead of whether it lives (/livez)
    #[arg(long)]
    ready: bool,
}

pub(super) async fn run(args: HealthArgs, admin: settings::Admin) -> Result<Exit, Problem> {
    let (path, yes, no) = if args.ready { ("/readyz", "ready", "not ready") } else { ("/livez", "alive", "not alive") };
    let address = reachable(admin.listen);
    let asked = get(address, path, LIMIT).await.and_then(|answer| verdict(&answer));
    Ok(match asked {
        Ok(()) => {
            say(&format!("{yes}: http://{address}{path}"));
            Exit::Ok
        }
        Err(why) => {
            say(&format!("{no}: http://{address}{path}: {why}"));
            Exit::Failed
        }
    })
}

/// Whether the answer is yes, and if not, what it says.
fn verdict(answer: &Answer) -> Result<(), String> {
    let Answer { status, body } = answer;
    if *status == 200 {
        return Ok(());
    }
    let said: Vec<&str> = body.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let said: String = plain(&said.join("; ")).chars().take(LONGEST_REASON).collect();
    Err(if said.is_empty() { format!("answered {status}") } else { format!("answered {status}: {said}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_200_is_yes() {
        let verdict = |status, body: &str| verdict(&Answer { status, body: body.to_owned() });
        assert_eq!(verdict(200, "ok"), Ok(()));
        let no = verdict(503, "broker: down\n\nstore: down\n");
        assert_eq!(no, Err("answered 503: broker: down; store: down".to_owned()));
        assert_eq!(verdict(404, ""), Err("answered 404".to_owned()));
    }
}
