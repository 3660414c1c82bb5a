//! `antispoofd status`: what the workers' admin ports say.

mod view;

use super::admin_port::{get, reachable};
use super::exit::Exit;
use super::problem::Problem;
use super::stdout::print;
use super::stop::Stop;
use super::terminal::{plain, say};
use crate::settings;
use anyhow::anyhow;
use clap::Args;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::time::Duration;
use url::Url;
use view::View;

/// A worker answers at once, or something is wrong.
const LIMIT: Duration = Duration::from_secs(5);

/// Moves a terminal's cursor to its corner and clears what is below.
const FROM_THE_TOP: &str = "\u{1b}[H\u{1b}[J";

/// Print what workers do and what keeps them from it
///
/// Asks the admin port of each: GET /status. Ends with 1 when one of them does not answer or judges nothing: it has no session with the broker, or its gate is closed for another reason than a pause that the API asks for or the daily limit.
#[derive(Args, Clone, Debug)]
#[command(after_help = super::examples::STATUS)]
pub(super) struct StatusArgs {
    /// Where workers listen, as http://HOST:PORT, repeatable [default: admin.listen]
    #[arg(long, value_name = "URL", num_args = 1.., value_parser = admin_url)]
    url: Vec<Url>,
    /// Print again every 2 s, or as often as it says
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "2s", value_parser = humantime::parse_duration)]
    watch: Option<Duration>,
    /// Print what each worker answers, a JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: StatusArgs, admin: settings::Admin) -> Result<Exit, Problem> {
    let urls = if args.url.is_empty() { vec![own(admin.listen)?] } else { args.url.clone() };
    let mut stop = Stop::install()?;
    loop {
        let answers = futures_util::future::join_all(urls.iter().map(ask)).await;
        let exit = show(&args, &urls, &answers)?;
        let Some(interval) = args.watch else { return Ok(exit) };
        tokio::select! {
            () = stop.asked() => return Ok(exit),
            () = tokio::time::sleep(interval) => {}
        }
    }
}

fn show(args: &StatusArgs, urls: &[Url], answers: &[Result<Value, String>]) -> Result<Exit, Problem> {
    let mut exit = Exit::Ok;
    let mut page = String::new();
    for (url, answer) in urls.iter().zip(answers) {
        let well = answer.as_ref().is_ok_and(|status| status["state"]["level"] != "trouble");
        if !well {
            exit = Exit::Failed;
        }
        match answer {
            Ok(status) if args.json => print(&status.to_string())?,
            Err(why) if args.json => print(&json!({ "url": url.as_str(), "error": why }).to_string())?,
            Ok(status) => page.push_str(&View::of(status).to_string()),
            Err(why) => {
                // Writing to a string does not fail.
                let _infallible = writeln!(page, "{url}: does not answer: {}", plain(why));
            }
        }
    }
    if args.json {
        return Ok(exit);
    }
    if urls.len() > 1 {
        page.push_str(&view::together(answers));
    }
    let clear = if args.watch.is_some() && std::io::stdout().is_terminal() { FROM_THE_TOP } else { "" };
    print(&format!("{clear}{}", page.trim_end()))?;
    if exit == Exit::Failed && args.url.is_empty() && answers.iter().all(Result::is_err) {
        say("hint: does a worker run on this machine? For another: --url http://HOST:9464");
    }
    Ok(exit)
}

async fn ask(url: &Url) -> Result<Value, String> {
    let at = format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80));
    // Behind a proxy it may have a path before it.
    let path = format!("{}/status?history=0", url.path().trim_end_matches('/'));
    let answer = get(at, &path, LIMIT).await?;
    if answer.status != 200 {
        return Err(format!("it answered {}: is this the admin port of antispoofd?", answer.status));
    }
    serde_json::from_str(&answer.body).map_err(|_| "the answer is not a worker's status".to_owned())
}

/// The worker on this machine.
fn own(listen: SocketAddr) -> Result<Url, Problem> {
    let address = reachable(listen);
    Url::parse(&format!("http://{address}/")).map_err(|error| Problem::failed(anyhow!("admin.listen: {error}")))
}

fn admin_url(text: &str) -> Result<Url, String> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    match Url::parse(&text) {
        Ok(url) if url.scheme() == "http" && url.has_host() => Ok(url),
        _ => Err("write http://HOST:PORT".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_are_enough() {
        assert_eq!(admin_url("10.0.0.7:9464").map(|url| url.to_string()), Ok("http://10.0.0.7:9464/".to_owned()));
        assert!(admin_url("ftp://worker:1").is_err() && admin_url("").is_err());
    }
}
