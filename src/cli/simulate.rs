//! `antispoofd simulate`: the stand-in for the vendor as a process.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use bytesize::ByteSize;
use clap::{ArgGroup, Args};
use secrecy::SecretString;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::exit::Exit;
use super::problem::Problem;
use super::stdout::print;
use super::terminal::say;
use crate::simulator::{
    Auth, Config, Faults, Latency, Options, RateHeaders, RateLimit, RefusalManner, RetryAfterForm, RetryStatuses,
    Simulator, Stats, VerdictRule, parse_wait,
};

/// Run a local stand-in for the vendor's detect-spoof endpoint
///
/// Prints `listening on http://ADDRESS` when it is ready, and stops on SIGTERM or SIGINT. Counters and settings are at /_sim/stats
/// and /_sim/config. Key, secret and token are those of a test; do not use real ones.
#[derive(Args, Clone, Debug)]
#[command(after_help = super::examples::SIMULATE)]
#[command(group = ArgGroup::new("who").args(["api_key", "token", "no_auth"]).required(true))]
pub struct SimulateArgs {
    /// Address to listen on; port 0 is any
    #[arg(long, value_name = "ADDRESS", env = "ANTISPOOFD_SIMULATE_LISTEN", default_value = "127.0.0.1:9470")]
    pub listen: SocketAddr,
    /// Accept tokens made with this key and --secret
    #[arg(long, value_name = "KEY", requires = "secret")]
    pub api_key: Option<String>,
    /// The secret that belongs to --api-key
    #[arg(long, value_name = "SECRET", requires = "api_key")]
    pub secret: Option<SecretString>,
    /// Accept this token only
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<SecretString>,
    /// Accept every call, with or without a token
    #[arg(long)]
    pub no_auth: bool,
    /// Time to answer: 50ms, uniform:50ms..150ms or lognormal:p50=200ms,p99=2s
    #[arg(long, value_name = "LATENCY", default_value = "0s")]
    pub latency: Latency,
    /// Faults: KIND=5% of the requests, KIND=x3 for the next three; comma-separated
    ///
    /// Before the body is read, and not billed: early-STATUS (answered, and the connection closed at once), lingering-STATUS (closed a little later),
    /// reset-before, refused-stream (HTTP/2). After it: a STATUS from 300 to 599, not billed; reset-after, hang, slow, gzip, deflate, bom,
    /// gzip-bom, many-headers, garbage, garbage-json, empty, truncated, all billed. hang-connection stops everything on the
    /// connection for --hang-time.
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    pub faults: Faults,
    /// What to answer: by-digest (about one image in five is a spoof), live or spoof
    #[arg(long, value_name = "RULE", default_value = "by-digest")]
    pub verdict: VerdictRule,
    /// Calls a second above which the answer is 429; 0 is no limit
    #[arg(long, value_name = "CALLS", default_value = "0", value_parser = parse_rate)]
    pub rate_limit: RateLimit,
    /// What Retry-After says on an injected status of --retry-after-on
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_wait)]
    pub retry_after: Duration,
    /// How Retry-After says it: seconds, fraction (1.5), negative (-1), date, or none for not at all
    #[arg(long, value_name = "FORM", default_value = "seconds")]
    pub retry_after_form: RetryAfterForm,
    /// The injected statuses that say when to come back, early ones included
    #[arg(long, value_name = "LIST", default_value = "429")]
    pub retry_after_on: RetryStatuses,
    /// Headers of express-rate-limit on every answer: none, legacy (X-RateLimit-Reset), draft-6, draft-7 or draft-8
    #[arg(long, value_name = "HEADERS", default_value = "none")]
    pub rate_headers: RateHeaders,
    /// Time between two bytes of an answer of the fault `slow`
    #[arg(long, value_name = "DURATION", default_value = "200ms", value_parser = parse_wait)]
    pub slow_interval: Duration,
    /// After a refusal of the simulator's own with the body unread: drain (the connection stays usable), close (at once, as Fastify and gunicorn do) or
    /// linger (a little later, as nginx does)
    #[arg(long, value_name = "MANNER", default_value = "drain")]
    pub refusal: RefusalManner,
    /// Requests after which a connection is ended, over HTTP/2 by GOAWAY, as nginx does; 0 is no limit
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub max_requests: u32,
    /// Time after which a connection without a request is closed; 0s is the default of one minute
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_wait)]
    pub idle_timeout: Duration,
    /// What `Keep-Alive: timeout=N` announces over HTTP/1.1; 0s is nothing. Node announces 5s and closes after 6s
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_wait)]
    pub keep_alive: Duration,
    /// How long hang-connection lasts; setting the faults anew ends it, too
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_wait)]
    pub hang_time: Duration,
    /// Size of a request body above which the answer is 413
    #[arg(long, value_name = "SIZE", default_value = "20MiB")]
    pub max_body: ByteSize,
    /// Where the dice begin: the same seed and order of requests give the same faults and latencies
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub seed: u64,
}

/// Serves until SIGTERM or SIGINT, then for at most five seconds more.
pub(super) async fn run(args: SimulateArgs) -> Result<Exit, Problem> {
    // Before the port is announced, so that a signal sent in reply to the announcement is not lost.
    let (mut term, mut int) = (
        signal(SignalKind::terminate()).context("listen for SIGTERM")?,
        signal(SignalKind::interrupt()).context("listen for SIGINT")?,
    );
    let listen = args.listen;
    let simulator =
        Simulator::bind(listen, args.into_options()).await.with_context(|| format!("listen on {listen}"))?;
    let handle = simulator.handle();
    // The process that started this one waits for this line.
    print(&format!("listening on {}", simulator.base_url()))?;
    say(&format!("endpoint {}; counters {}/_sim/stats", simulator.url(), simulator.base_url()));

    let stop = CancellationToken::new();
    let serving = simulator.run(stop.clone());
    let stopping = async {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        stop.cancel();
    };
    tokio::join!(serving, stopping);
    say(&summary(&handle.totals()));
    Ok(Exit::Ok)
}

fn summary(stats: &Stats) -> String {
    format!(
        "stopped after {} calls ({} billed), {} rejected requests, {} aborted bodies",
        stats.calls, stats.billed, stats.rejected, stats.aborted_bodies
    )
}

fn parse_rate(text: &str) -> Result<RateLimit, String> {
    let rate: f64 = text.parse().map_err(|_| format!("read the number `{text}`"))?;
    RateLimit::per_second(rate).map_err(|error| error.to_string())
}

// === impl SimulateArgs ===

impl SimulateArgs {
    /// The options of the library that these arguments ask for.
    pub fn into_options(self) -> Options {
        let auth = match (self.api_key, self.secret, self.token) {
            (Some(api_key), Some(secret), _) => Auth::Keys { api_key, secret },
            (_, _, Some(token)) => Auth::Token(token),
            // The group lets this happen only with --no-auth.
            _ => Auth::Open,
        };
        let config = Config {
            latency: self.latency,
            faults: self.faults,
            verdict: self.verdict,
            rate_limit: self.rate_limit,
            retry_after: self.retry_after,
            retry_after_form: self.retry_after_form,
            retry_after_on: self.retry_after_on,
            rate_headers: self.rate_headers,
            slow_interval: self.slow_interval,
            refusal: self.refusal,
            max_requests: self.max_requests,
            idle_timeout: self.idle_timeout,
            keep_alive: self.keep_alive,
            hang_time: self.hang_time,
            ..Config::new(auth)
        };
        Options { config, seed: self.seed, max_body: self.max_body.as_u64(), ..Options::new(Auth::Open) }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        args: SimulateArgs,
    }

    fn parse(line: &str) -> Result<Options, clap::Error> {
        Program::try_parse_from(line.split(' ')).map(|program| program.args.into_options())
    }

    #[test]
    fn who_may_call_must_be_said_once() {
        assert!(matches!(parse("sim --no-auth").unwrap().config.auth, Auth::Open));
        assert!(matches!(parse("sim --token t").unwrap().config.auth, Auth::Token(_)));
        assert!(matches!(parse("sim --api-key k --secret s").unwrap().config.auth, Auth::Keys { .. }));
        for line in [
            "sim",
            "sim --api-key k",
            "sim --secret s",
            "sim --token t --no-auth",
            "sim --api-key k --secret s --no-auth",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn every_flag_arrives() {
        let options = parse(
            "sim --no-auth --latency uniform:1ms..2ms --faults 503=x3,hang=1% --verdict spoof --rate-limit 0.5 --retry-after 3s \
             --retry-after-form date --retry-after-on 429,503 --rate-headers draft-7 --slow-interval 7ms --refusal linger \
             --max-requests 1000 --idle-timeout 6s --keep-alive 5s --hang-time 20s --max-body 1MiB --seed 9",
        )
        .unwrap();
        let config = &options.config;
        assert_eq!(config.latency.to_string(), "uniform:1ms..2ms");
        assert_eq!(config.faults.to_string(), "503=x3,hang=1%");
        assert_eq!(config.verdict, VerdictRule::Spoof);
        assert!((config.rate_limit.get() - 0.5).abs() < 1e-9);
        assert_eq!(config.retry_after, Duration::from_secs(3));
        assert_eq!(config.retry_after_form, RetryAfterForm::Date);
        assert_eq!((config.retry_after_on.to_string().as_str(), config.rate_headers), ("429,503", RateHeaders::Draft7));
        assert_eq!(config.slow_interval, Duration::from_millis(7));
        assert_eq!((config.refusal, config.max_requests), (RefusalManner::Linger, 1000));
        let times = [config.idle_timeout, config.keep_alive, config.hang_time].map(|time| time.as_secs());
        assert_eq!(times, [6, 5, 20]);
        assert_eq!((options.max_body, options.seed), (1024 * 1024, 9));
    }

    #[test]
    fn a_wrong_value_is_refused() {
        for flag in [
            "--latency fast",
            "--faults 503",
            "--verdict maybe",
            "--rate-limit -1",
            "--retry-after 2",
            "--retry-after-form roman",
            "--retry-after-on 200",
            "--rate-headers draft-9",
            "--refusal rudely",
            "--idle-timeout 2d",
            "--max-body lots",
        ] {
            assert!(parse(&format!("sim --no-auth {flag}")).is_err(), "{flag}");
        }
    }

    #[test]
    fn no_secret_is_in_the_debug_form() {
        let options = parse("sim --api-key k --secret hunter2").unwrap();
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
