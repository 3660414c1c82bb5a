//! The blocks of README.md and docs/getting-started.md that are to be pasted into a shell run as they are.

use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::harness::ports;
use crate::harness::process::Process;
use crate::harness::simulator::Simulator;
use crate::harness::wait::{EVENTUALLY, SOON, eventually_equals};
use crate::harness::world::World;

/// What stands between the fences of this language.
fn blocks(language: &str) -> Vec<String> {
    let page = |path: &str| std::fs::read_to_string(root().join(path)).expect("there is such a page");
    let pages = ["README.md", "docs/getting-started.md"].map(page).concat();
    let begin = format!("```{language}\n");
    let parts = pages.split(&begin).skip(1);
    parts.map(|part| part.split_once("```").expect("a block ends").0.to_owned()).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The checkout as these pages mean it: with the program under test where a build would have put it.
fn checkout() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["Makefile", "config", "scripts", "tests"] {
        symlink(root().join(name), folder.path().join(name)).expect("a link can be made");
    }
    std::fs::create_dir(folder.path().join("target")).expect("a folder");
    let built = Path::new(env!("CARGO_BIN_EXE_antispoofd")).parent().expect("a program is in a folder");
    symlink(built, folder.path().join("target/debug")).expect("a link can be made");
    folder
}

/// Ends what a block has left behind, when the test fails before the block's own last line.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // Nothing is left as a rule.
        kill_process_group(self.0, Signal::KILL).ok();
    }
}

#[tokio::test]
async fn its_commands_run_when_a_block_is_pasted() {
    let world = World::new("readme").await;
    let services = &world.services;
    let checkout = checkout();
    let simulator = ports::reserve();
    let amqp = services.amqp_url(&services.amqp_address(), world.broker.vhost());
    let environment = [
        // Of what is made it is only asked whether it could be.
        ("MAKEFLAGS", "n"),
        ("ANTISPOOF_SERVICES", "external"),
        ("ANTISPOOF_TEST_AMQP_URL", &amqp),
        ("ANTISPOOF_TEST_MGMT_URL", &services.management),
        ("ANTISPOOF_TEST_S3_ENDPOINT", &services.s3_endpoint),
        ("ANTISPOOF_TEST_S3_ACCESS_KEY", &services.s3_access_key),
        ("ANTISPOOF_TEST_S3_SECRET_KEY", &services.s3_secret_key),
        ("ANTISPOOF_TEST_REDIS_URL", &services.redis_url(&services.redis_address())),
        // The ports of the README may be in use on a machine where tests run.
        ("ANTISPOOFD_SIMULATE_LISTEN", &simulator.to_string()),
        ("ANTISPOOFD__API__URL", &Simulator::endpoint_at(simulator)),
        ("ANTISPOOFD__ADMIN__LISTEN", &ports::reserve().to_string()),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let blocks = blocks("bash");
    assert!(blocks.len() >= 2, "{blocks:?}");
    for block in &blocks {
        for line in block.lines() {
            assert!(!line.starts_with("$ "), "a prompt is pasted along: {line}");
            assert!(!line.contains('#'), "an interactive zsh takes no comment: {line}");
        }
        let pasted = checkout.path().join("pasted");
        std::fs::write(&pasted, block).expect("a file");
        // From standard input, so that a command which reads there swallows the lines behind it, as in a terminal.
        let mut bash = Command::new("bash");
        bash.args(["-c", "exec bash -e <pasted"]).current_dir(checkout.path()).process_group(0).env_clear();
        let inherited = ["PATH", "HOME"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        bash.envs(inherited).envs(environment);
        let shell = Process::start("bash", bash);
        let _group = Group(Pid::from_raw(i32::try_from(shell.pid()).expect("a process number")).expect("not 0"));
        assert!(shell.wait_output(EVENTUALLY).await.success(), "{block}\n{:#?}", shell.stderr());
        assert!(!shell.said("command not found") && !shell.said("panicked"), "{block}\n{:#?}", shell.stderr());
        if block.contains("antispoofd submit") {
            assert!(shell.said("2 jobs ended: "), "{:#?}\n{:#?}", shell.stdout(), shell.stderr());
        }
    }
    // Into the queue of the command they were put first.
    eventually_equals("the events", SOON, 2, async || world.events().await.len()).await;
}

#[test]
fn its_settings_are_good_but_for_secrets_that_are_elsewhere() {
    let blocks = blocks("toml");
    assert_eq!(blocks.len(), 1);
    let folder = tempfile::tempdir().expect("a folder");
    let (file, secrets) = (folder.path().join("antispoofd.toml"), ["amqp_url", "videosdk_api_key", "videosdk_secret"]);
    std::fs::write(&file, &blocks[0]).expect("a file");
    let check = Command::new(env!("CARGO_BIN_EXE_antispoofd"))
        .args(["check", "--config"])
        .arg(&file)
        .env_clear()
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&check.stderr);
    let problems: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(problems.len(), secrets.len(), "{said}");
    assert!(problems.iter().all(|problem| problem.contains("the secret's file cannot be read")), "{said}");
    for secret in secrets {
        assert!(said.contains(&format!("--> secret file /run/secrets/{secret}\n")), "{secret}: {said}");
    }
}
