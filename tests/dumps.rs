//! What the program holds in memory does not reach a disk when it dies: it is not dumpable, and so its files under `/proc` are root's.
//!
//! Root owns those of its own processes anyway. Where the tests run as root, the processes run as nobody, so that there is something to be seen.
#![cfg(target_os = "linux")]

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, getuid, kill_process, setrlimit};
use tempfile::TempDir;

const NOBODY: u32 = 65534;

#[test]
fn a_process_that_does_not_ask_for_it_belongs_to_its_user() {
    let scene = Scene::new();
    let mut cat = Scene::start(scene.command("/bin/cat"));
    // Its answer says that it runs: before, it is still a copy of this process.
    std::io::Write::write_all(&mut cat.0.stdin.as_ref().expect("a pipe"), b"here\n").expect("cat reads");
    assert_eq!(first_line(cat.0.stdout.take().expect("a pipe")), "here\n");
    assert_eq!(cat.owner_of_memory(), scene.user);
}

#[test]
fn the_stand_in_for_the_vendor_leaves_no_core() {
    let scene = Scene::new();
    let mut command = scene.command(scene.program());
    command.args(["simulate", "--no-auth", "--listen", "127.0.0.1:0"]);
    let mut simulator = Scene::start(command);
    assert!(first_line(simulator.0.stdout.take().expect("a pipe")).starts_with("listening on http://"));
    scene.assert_leaves_no_core(simulator);
}

#[test]
fn the_worker_leaves_no_core() {
    let scene = Scene::new();
    let nobody_answers = TcpListener::bind("127.0.0.1:0").expect("a port");
    let broker = format!("amqp://guest:guest@{}/%2f", nobody_answers.local_addr().expect("it is bound"));
    let mut command = scene.command(scene.program());
    command.arg("run").args([
        "--set",
        "s3.buckets=kyc",
        "--set",
        "admin.listen=127.0.0.1:0",
        "--set",
        "log.level=debug",
    ]);
    command
        .env("ANTISPOOFD__AMQP__URL", broker)
        .env("VIDEOSDK_API_KEY", "key")
        .env("VIDEOSDK_SECRET", "0123456789abcdef0123456789abcdef");
    command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret");
    let mut worker = Scene::start(command);
    assert!(first_line(worker.0.stderr.take().expect("a pipe")).starts_with('{'), "the worker logs");
    scene.assert_leaves_no_core(worker);
}

/// An empty directory to die in, and who dies there.
struct Scene {
    directory: TempDir,
    user: u32,
}

impl Scene {
    fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        let root = getuid().is_root();
        if root {
            fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).expect("it is ours");
        }
        Self { directory, user: if root { NOBODY } else { getuid().as_raw() } }
    }

    /// The program, where that user can reach it: the build may be in root's home.
    fn program(&self) -> PathBuf {
        let built = env!("CARGO_BIN_EXE_antispoofd");
        let reachable = self.directory.path().join("antispoofd");
        fs::hard_link(built, &reachable)
            .or_else(|_| fs::copy(built, &reachable).map(drop))
            .expect("a copy of the program");
        reachable
    }

    fn command(&self, program: impl Into<PathBuf>) -> Command {
        let mut command = Command::new(program.into());
        command.env_clear().current_dir(self.directory.path());
        if getuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn start(mut command: Command) -> Process {
        // What is started inherits it: as large a core as may be.
        let maximum = getrlimit(Resource::Core).maximum;
        setrlimit(Resource::Core, Rlimit { current: maximum, maximum }).expect("it may be raised to that");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Process(command.spawn().expect("it starts"))
    }

    fn assert_leaves_no_core(&self, mut process: Process) {
        assert_eq!(process.owner_of_memory(), 0, "it is dumpable");
        kill_process(Pid::from_child(&process.0), Signal::ABORT).expect("it runs");
        let status = process.0.wait().expect("it is ours");
        assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()));
        assert!(!status.core_dumped());
        let left: Vec<_> = fs::read_dir(self.directory.path())
            .expect("a directory")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert_eq!(left, ["antispoofd"], "something was left behind");
    }
}

/// Killed with its test.
struct Process(Child);

impl Process {
    /// Who may read its memory: its user, or root alone when it is not dumpable.
    fn owner_of_memory(&self) -> u32 {
        fs::metadata(format!("/proc/{}/mem", self.0.id())).expect("it runs").uid()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Ends with the process at the latest.
fn first_line(from: impl Read) -> String {
    let mut line = String::new();
    BufReader::new(from).read_line(&mut line).expect("it is text");
    line
}
