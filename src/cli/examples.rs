//! Three things that each command is used for, at the end of its `--help`. A test has each of them parsed.

pub(super) const PROGRAM: &str = "\
Examples:
  Start a worker:
    antispoofd run --config /etc/antispoofd/antispoofd.toml
  Ask whether it would work:
    antispoofd check --connect --config /etc/antispoofd/antispoofd.toml
  Send an image and see what comes of it:
    antispoofd submit --upload selfie.jpg --to s3://kyc-uploads/try/ --wait

Exit codes: 0 ok, 1 failed, 64 wrong usage, 69 a service is unreachable, 78 bad settings.";

pub(super) const RUN: &str = "\
Examples:
  With the settings of a file:
    antispoofd run --config /etc/antispoofd/antispoofd.toml
  With those of a machine over those of all:
    antispoofd run --config common.toml --config here.toml
  With one setting changed:
    antispoofd run --config antispoofd.toml --set worker.concurrency=4";

pub(super) const CHECK: &str = "\
Examples:
  All that is wrong with the settings:
    antispoofd check --config antispoofd.toml
  Whether broker, buckets, ledger and API can be used, bindings included:
    antispoofd check --connect --management http://rabbitmq:15672 --config antispoofd.toml
  For a pipeline that stops at what is wrong:
    antispoofd check --connect --json | jq -e .ok";

pub(super) const CONFIG: &str = "\
Examples:
  What is set, and where:
    antispoofd config print --config antispoofd.toml
  One setting in a script:
    antispoofd config print --json | jq '.\"worker.concurrency\".value'
  For an editor that checks TOML:
    antispoofd config schema > antispoofd.schema.json";

pub(super) const TOPOLOGY: &str = "\
Examples:
  Put them up by an import instead of a right to configure:
    antispoofd topology print > definitions.json
  Whether they are as they should be, bindings included:
    antispoofd topology check --management http://rabbitmq:15672
  Declare what is missing:
    antispoofd topology apply --set amqp.prefix=kyc";

pub(super) const LOG_LEVEL: &str = "\
Examples:
  A worker in a container, from inside:
    antispoofd log-level debug
  As configured again:
    antispoofd log-level configured
  A worker of this machine:
    antispoofd log-level debug --pid 4711";

pub(super) const SUBMIT: &str = "\
Examples:
  Local files, and what comes of them:
    antispoofd submit --upload selfies/a.jpg selfies/b.jpg --to s3://kyc-uploads/try/ --wait
  Every object below a prefix, with ids that stay the same when it is repeated:
    antispoofd submit --prefix s3://kyc-uploads/2026/11/ --id-prefix kyc
  A list from another program, with a word of ours in each event:
    antispoofd submit --from - --metadata '{\"batch\": \"november\"}'";

pub(super) const WATCH: &str = "\
Examples:
  Everything, as it comes:
    antispoofd watch
  Only what got no verdict, and what was a spoof:
    antispoofd watch --outcome failed,spoof
  The events themselves, for another program:
    antispoofd watch --json | jq .data.outcome";

pub(super) const STATUS: &str = "\
Examples:
  The worker on this machine:
    antispoofd status
  Some workers, again and again:
    antispoofd status --watch --url http://10.0.0.7:9464 http://10.0.0.8:9464
  What is wrong, for a script:
    antispoofd status --json | jq -r .state.sentence";

pub(super) const PARKED: &str = "\
Examples:
  How many there are, and why:
    antispoofd parked list
  Those that did not find their image, once it is there:
    antispoofd parked replay --code object_not_found
  Everything about one job:
    antispoofd parked show kyc-7f3a";

pub(super) const PARKED_LIST: &str = "\
Examples:
  What happened in the last two hours:
    antispoofd parked list --since 2h
  When it happened:
    antispoofd parked list --group hour
  The ids of those that may have been paid for:
    antispoofd parked list --in-doubt --json | jq -r .job_id";

pub(super) const PARKED_SHOW: &str = "\
Examples:
  One job:
    antispoofd parked show kyc-7f3a
  The message that its producer sent:
    antispoofd parked show kyc-7f3a --json | jq -r .amqp.body
  Two jobs:
    antispoofd parked show kyc-7f3a kyc-81c2";

pub(super) const PARKED_REPLAY: &str = "\
Examples:
  What would be replayed, and what it would cost:
    antispoofd parked replay --code object_not_found,store_unavailable --dry-run
  Ten a second, so that the vendor is not flooded:
    antispoofd parked replay --since 2026-11-29T02:00:00Z --until 2026-11-29T05:00:00Z --rate 10 --yes
  One of them first:
    antispoofd parked replay --code api_unavailable --limit 1";

pub(super) const PARKED_EXPORT: &str = "\
Examples:
  All of them:
    antispoofd parked export --output parked.jsonl
  Those of one bucket, for another program:
    antispoofd parked export --bucket kyc-uploads | jq .job_id
  What is to be removed:
    antispoofd parked export --until 720h --output old.jsonl";

pub(super) const PARKED_IMPORT: &str = "\
Examples:
  Put back what was exported:
    antispoofd parked import parked.jsonl
  Some of it:
    antispoofd parked import - < some.jsonl
  Into the queue of another prefix:
    antispoofd parked import parked.jsonl --set amqp.prefix=kyc";

pub(super) const PARKED_PURGE: &str = "\
Examples:
  Jobs that are no use any more:
    antispoofd parked purge --code job_expired
  What was parked more than thirty days ago:
    antispoofd parked purge --until 720h --yes
  One job:
    antispoofd parked purge --job kyc-7f3a --yes";

pub(super) const TOKEN: &str = "\
Examples:
  What the worker would send, and what it claims:
    antispoofd token --config antispoofd.toml
  Only the token:
    antispoofd token 2> /dev/null
  One that lives for five minutes:
    antispoofd token --set api.token_ttl=5m";

pub(super) const HEALTH: &str = "\
Examples:
  Whether the worker on this machine lives:
    antispoofd health
  Whether it takes jobs:
    antispoofd health --ready
  A second one, with another port:
    antispoofd health --ready --set admin.listen=127.0.0.1:9465";

pub(super) const SIMULATE: &str = "\
Examples:
  For a worker with api.url = \"http://127.0.0.1:9470/ai/v1/face-verification/detect-spoof\":
    antispoofd simulate --api-key key --secret secret
  A slow one that fails now and then:
    antispoofd simulate --no-auth --latency lognormal:p50=200ms,p99=2s --faults 503=2%,hang=x1
  One that finds every picture a spoof and takes ten calls a second:
    antispoofd simulate --no-auth --verdict spoof --rate-limit 10";

pub(super) const COMPLETIONS: &str = "\
Examples:
  For bash:
    antispoofd completions bash > /usr/share/bash-completion/completions/antispoofd
  For zsh:
    antispoofd completions zsh > /usr/local/share/zsh/site-functions/_antispoofd
  For fish:
    antispoofd completions fish > ~/.config/fish/completions/antispoofd.fish";

pub(super) const MAN: &str = "\
Examples:
  Read it:
    antispoofd man | man --local-file -
  That of a command:
    antispoofd man topology check
  Install all of them:
    antispoofd man --output /usr/local/share/man/man1";

#[cfg(test)]
mod tests {
    use crate::cli::Cli;
    use clap::{Command, CommandFactory as _, Parser as _};

    /// The examples at the end of a command's help, as far as they are this program's: without what is piped or written elsewhere.
    fn examples(command: &Command) -> Vec<String> {
        let help = command.clone().render_long_help().to_string();
        let lines = help.lines().filter(|line| line.starts_with("    antispoofd "));
        lines
            .map(|line| line.split(['|', '>', '<']).next().unwrap_or(line).trim_end_matches('2').trim().to_owned())
            .collect()
    }

    /// Words as a shell sees them, as far as the examples go: single quotes and nothing else.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut quoted) = (vec![String::new()], false);
        for c in line.chars() {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                c => words.last_mut().expect("there is one").push(c),
            }
        }
        words
    }

    #[test]
    fn every_command_has_three_examples_and_each_is_understood() {
        fn look(command: &Command, family: &str) -> usize {
            let examples = examples(command);
            assert_eq!(examples.len(), 3, "{}: {examples:?}", command.get_name());
            for example in examples {
                let words = words(&example);
                assert!(family.is_empty() || words[1] == family, "{example}");
                let parsed = Cli::try_parse_from(&words);
                assert!(parsed.is_ok(), "{example}: {}", parsed.expect_err("it is not"));
            }
            let below = command.get_subcommands().filter(|command| command.get_name() != "help");
            // Of the commands below a command the family is that one.
            1 + below.map(|below| look(below, if family.is_empty() { below.get_name() } else { family })).sum::<usize>()
        }

        let mut program = Cli::command();
        program.build();
        assert!(look(&program, "") > 15);
    }
}
