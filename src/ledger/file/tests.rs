//! The file as a file: not shared, damaged, full, slow.

use super::*;
use crate::ledger::conformance::{Hand, Lives, Place, conformance, failure, verdict};
use redb::ReadableTable as _;
use redb::backends::FileBackend;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_hours(24);

struct Folder {
    dir: TempDir,
    lives: Lives,
    limit: u64,
    hand: Hand,
    ledger: Arc<File>,
}

impl Place for Folder {
    type Ledger = File;

    async fn limited(lives: Lives, limit: u64) -> Self {
        let (dir, hand) = (tempfile::tempdir().expect("a folder"), Hand::default());
        let path = dir.path().join("ledger.redb");
        let ledger = File::open(&path, lives.ttl, PATIENCE, hand.clock()).await.expect("a new ledger");
        let ledger = Arc::new(ledger.counting(limit, hand.clock()));
        Self { dir, lives, limit, hand, ledger }
    }

    fn worker(&self) -> Arc<File> {
        self.ledger.clone()
    }

    async fn stranger(&self) -> Option<Arc<File>> {
        None
    }

    fn pass(&self, time: Duration) {
        self.hand.pass(time.min(Duration::from_hours(1)));
    }

    async fn next_day(&self) {
        self.hand.pass(DAY);
    }

    async fn after_a_crash(self) -> Option<Self> {
        let Self { dir, lives, limit, hand, ledger } = self;
        ledger.close().await;
        drop(ledger);
        let path = dir.path().join("ledger.redb");
        let ledger = File::open(&path, lives.ttl, PATIENCE, hand.clock()).await.expect("the same ledger");
        let ledger = Arc::new(ledger.counting(limit, hand.clock()));
        Some(Self { dir, lives, limit, hand, ledger })
    }
}

conformance!(Folder);
conformance!(Folder: what_was_recorded_outlives_the_worker what_was_counted_outlives_the_worker);

async fn open(path: &Path) -> Result<File, OpenError> {
    File::open(path, DAY, PATIENCE, Hand::default().clock()).await
}

#[tokio::test]
async fn a_new_file_is_private_and_an_old_one_is_made_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.redb");
    let mode = || fs::metadata(&path).expect("the file").permissions().mode() & 0o777;
    open(&path).await.expect("new").close().await;
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
    open(&path).await.expect("old").close().await;
    assert_eq!(mode(), 0o600);
}

#[tokio::test]
async fn the_end_of_the_writer_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = open(&folder.path().join("ledger.redb")).await.expect("new");
    let mut ended = std::pin::pin!(ledger.writer_ended());
    assert!(futures_util::poll!(ended.as_mut()).is_pending());
    ledger.close().await;
    timeout(PATIENCE, ended).await.expect("the thread has ended");
}

#[tokio::test]
async fn a_second_opener_is_told_which_file_and_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.redb");
    let first = open(&path).await.expect("new");
    let error = open(&path).await.expect_err("taken").to_string();
    assert!(error.contains(path.to_str().expect("text")) && error.contains("another process"), "{error}");
    assert!(error.contains("\"redis\""), "{error}");
    first.close().await;
    open(&path).await.expect("free again");
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.redb");
    let ledger = open(&path).await.expect("new");
    for n in 0..200 {
        ledger.conclude(&format!("job {n}"), None, &verdict(0.5), None).await.expect("conclude");
    }
    ledger.close().await;
    let whole = fs::read(&path).expect("the file");

    let mut cases: Vec<(&str, Vec<u8>)> = vec![
        ("another file", b"# settings\n".repeat(1000)),
        ("cut off", whole[..whole.len() / 2].to_vec()),
        ("a few bytes", whole[..100].to_vec()),
    ];
    // A page of records that was overwritten.
    let at = whole.windows(9).rposition(|bytes| bytes == b"\"verdict\"").expect("a record");
    let mut scribbled = whole.clone();
    scribbled[at..at + 9].copy_from_slice(b"\"vXrdict\"");
    cases.push(("written over", scribbled));
    for (what, bytes) in cases {
        fs::write(&path, &bytes).expect("ours");
        let error = open(&path).await.err().unwrap_or_else(|| panic!("{what}: was opened"));
        assert!(matches!(error, OpenError::Damaged { .. } | OpenError::Foreign { .. }), "{what}: {error}");
        assert!(error.to_string().contains(path.to_str().expect("text")), "{what}: {error}");
        assert_eq!(fs::read(&path).expect("still there"), bytes, "{what}: it was changed");
    }
}

#[tokio::test]
async fn a_code_of_another_version_is_a_call_in_doubt_and_holds_up_no_other_job() {
    for moved in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.redb");
        let now = Hand::default().clock().now_ms();
        let database = super::open::open(&path, true).expect("new");
        let mut store = store::Store::open(database, DAY).expect("an empty journal");
        let steps = [("a", failure(0)), ("b", verdict(0.5))].map(|(key, end)| Step::Conclude {
            key: key.to_owned(),
            object: None,
            end: Box::new(end),
            superseded: None,
        });
        store.write(steps.iter(), now).expect("written");
        if moved {
            store.settle(now).expect("moved");
        }
        drop(store);
        rename_code(&path, moved);

        let ledger = open(&path).await.expect("the codes of another version damage no file");
        assert_eq!(ledger.begin("a").await, Ok(ClaimOutcome::InDoubt { calls: 1 }), "moved: {moved}");
        assert_eq!(ledger.begin("b").await, Ok(ClaimOutcome::Concluded(Box::new(verdict(0.5)))));
        assert_eq!(ledger.intent("a").await, Ok(Intent::Recorded(None)));
        assert_eq!(ledger.conclude("a", None, &verdict(0.25), None).await, Ok(None));
        assert_eq!(ledger.begin("a").await, Ok(ClaimOutcome::Concluded(Box::new(verdict(0.25)))));
        ledger.close().await;
    }
}

/// What a newer version would have written: a failure code that this one does not know.
fn rename_code(path: &Path, moved: bool) {
    let renamed = |value: &[u8]| {
        let at = value.windows(12).position(|bytes| bytes == b"api_rejected")?;
        let mut value = value.to_vec();
        value[at..at + 12].copy_from_slice(b"api_abducted");
        Some(value)
    };
    let database = redb::Database::open(path).expect("closed");
    let write = database.begin_write().expect("write");
    if moved {
        let mut jobs = write.open_table(store::JOBS).expect("moved");
        let value = jobs.get("a").expect("read").and_then(|value| renamed(value.value())).expect("a failure");
        jobs.insert("a", value.as_slice()).expect("insert");
    } else {
        let mut journal = write.open_table(store::JOURNAL).expect("a journal");
        let lines = journal.range(0..).expect("read").map(|line| line.expect("a line"));
        let lines: Vec<_> = lines.filter_map(|(n, line)| Some((n.value(), renamed(line.value())?))).collect();
        let [(number, line)] = lines.as_slice() else { panic!("one failure") };
        journal.insert(*number, line.as_slice()).expect("insert");
    }
    write.commit().expect("commit");
}

#[tokio::test]
async fn a_ledger_of_another_layout_and_another_program_s_database_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, table, value) in [("later.redb", "meta", 2), ("other.redb", "recipes", 1)] {
        let path = folder.path().join(name);
        let database = redb::Database::create(&path).expect("a database");
        let write = database.begin_write().expect("write");
        let definition = redb::TableDefinition::<&str, u64>::new(table);
        write.open_table(definition).expect("a table").insert("schema", value).expect("insert");
        write.commit().expect("commit");
        drop(database);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
        let error = open(&path).await.expect_err("refused");
        assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
        let mode = fs::metadata(&path).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "{name} is another program's, and stays as it was");
    }
    let error = open(folder.path()).await.expect_err("a folder");
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
    let error = open(&folder.path().join("absent/ledger.redb")).await.expect_err("no such folder");
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
}

/// A disk that can be full, and can be made to wait.
#[derive(Clone, Debug, Default)]
struct Disk {
    full: Arc<AtomicBool>,
    syncs: Arc<AtomicUsize>,
    /// Waits at the next sync: one task says that it waits, another lets it go on.
    gate: Arc<(Mutex<(bool, bool)>, Condvar)>,
}

#[derive(Debug)]
struct Platter {
    file: FileBackend,
    disk: Disk,
}

impl Platter {
    fn room(&self) -> Result<(), redb::BackendError> {
        if self.disk.full.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::StorageFull).into());
        }
        Ok(())
    }
}

impl redb::StorageBackend for Platter {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.room()?;
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.disk.syncs.fetch_add(1, Ordering::SeqCst);
        let (gate, signal) = &*self.disk.gate;
        let mut gate = gate.lock().expect("no panic");
        while gate.0 {
            gate.1 = true;
            signal.notify_all();
            gate = signal.wait(gate).expect("no panic");
        }
        drop(gate);
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.room()?;
        self.file.write(offset, data)
    }
}

async fn on(disk: &Disk, folder: &TempDir, patience: Duration) -> File {
    let path = folder.path().join("ledger.redb");
    let (at, disk) = (path.clone(), disk.clone());
    let opener = Box::new(move |check| {
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&at);
        let file = FileBackend::new(file.expect("a file")).expect("a backend");
        let failed = |error: redb::Error| OpenError::Io { path: at.clone(), source: io::Error::other(error) };
        let database = super::open::from_backend(Platter { file, disk: disk.clone() }, check);
        let database = database.map_err(|error| failed(error.into()))?;
        super::open::schema(&database).map_err(failed)?;
        Ok(database)
    });
    let clock = Hand::default().clock();
    let writer = Writer::with_opener(path.clone(), opener, DAY, clock.clone()).await.expect("a new ledger");
    File { path, claims: Claims::new(clock), writer, patience, limit: None }
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_no_more_once_there_is_room() {
    let (folder, disk) = (tempfile::tempdir().expect("a folder"), Disk::default());
    let ledger = on(&disk, &folder, PATIENCE).await;
    ledger.begin("a").await.expect("begin");
    ledger.conclude("before", None, &verdict(0.5), None).await.expect("conclude");
    disk.full.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let error = ledger.intent("a").await.expect_err("full").to_string();
        assert!(error.contains("ledger.redb"), "{error}");
        ledger.conclude("b", None, &failure(0), None).await.expect_err("full");
    }
    disk.full.store(false, Ordering::SeqCst);
    assert_eq!(ledger.intent("a").await, Ok(Intent::Recorded(None)), "the claim is still ours");
    ledger.conclude("a", None, &verdict(0.25), None).await.expect("conclude");
    ledger.close().await;
    let ledger = open(&folder.path().join("ledger.redb")).await.expect("whole");
    assert_eq!(ledger.begin("a").await, Ok(ClaimOutcome::Concluded(Box::new(verdict(0.25)))));
    assert_eq!(ledger.begin("before").await, Ok(ClaimOutcome::Concluded(Box::new(verdict(0.5)))));
    assert_eq!(ledger.begin("b").await, Ok(ClaimOutcome::Fresh));
}

/// Holds the disk at its next sync; `true` once the writer is there.
async fn held(disk: &Disk) {
    let waiting = disk.clone();
    tokio::task::spawn_blocking(move || {
        let (gate, signal) = &*waiting.gate;
        let gate = gate.lock().expect("no panic");
        let (gate, limit) = signal.wait_timeout_while(gate, PATIENCE, |gate| !gate.1).expect("no panic");
        assert!(gate.1 && !limit.timed_out(), "the writer does not come to a sync");
    })
    .await
    .expect("no panic");
}

fn let_go(disk: &Disk) {
    let (gate, signal) = &*disk.gate;
    *gate.lock().expect("no panic") = (false, false);
    signal.notify_all();
}

#[tokio::test]
async fn a_slow_disk_stalls_neither_the_runtime_nor_the_batch_behind_it() {
    const JOBS: usize = 100;
    let (folder, disk) = (tempfile::tempdir().expect("a folder"), Disk::default());
    let ledger = Arc::new(on(&disk, &folder, PATIENCE).await);
    for n in 0..JOBS {
        ledger.begin(&n.to_string()).await.expect("begin");
    }
    disk.gate.0.lock().expect("no panic").0 = true;
    let first = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.intent("0").await }
    });
    held(&disk).await;
    // The disk stands still, and this one thread goes on: ninety-nine more steps come up.
    let rest: Vec<_> = (1..JOBS)
        .map(|n| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.intent(&n.to_string()).await })
        })
        .collect();
    for _ in 0..2 * JOBS {
        tokio::task::yield_now().await;
    }
    assert!(!first.is_finished() && rest.iter().all(|task| !task.is_finished()), "nothing is durable yet");
    let before = disk.syncs.load(Ordering::SeqCst);
    let_go(&disk);
    for task in std::iter::once(first).chain(rest) {
        assert_eq!(task.await.expect("no panic"), Ok(Intent::Recorded(None)));
    }
    let syncs = disk.syncs.load(Ordering::SeqCst) - before;
    assert!(syncs <= 4, "{syncs} syncs for {JOBS} steps");
}

#[tokio::test]
async fn a_disk_that_stands_still_is_an_error_in_time() {
    let (folder, disk) = (tempfile::tempdir().expect("a folder"), Disk::default());
    let ledger = on(&disk, &folder, Duration::from_millis(500)).await;
    ledger.begin("a").await.expect("begin");
    disk.gate.0.lock().expect("no panic").0 = true;
    let error = ledger.intent("a").await.expect_err("no answer").to_string();
    assert!(error.contains("500ms"), "{error}");
    // The step may be taken all the same; the release undoes it.
    ledger.release("a", false).await.expect("told");
    let_go(&disk);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while ledger.begin("b").await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "the disk goes on, the ledger does not");
    }
    assert_eq!(ledger.begin("a").await, Ok(ClaimOutcome::Fresh));
}

#[test]
fn void_entries_go_in_small_stretches() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = super::open::open(&folder.path().join("ledger.redb"), true).expect("new");
    let mut store = store::Store::open(database, DAY).expect("an empty journal");
    let steps: Vec<Step> = (0..3000)
        .map(|n| Step::Conclude {
            key: format!("job {n:05}"),
            object: None,
            end: Box::new(verdict(0.5)),
            superseded: None,
        })
        .collect();
    store.write(steps.iter(), 1000).expect("written");
    store.settle(1000).expect("moved");
    let day = u64::try_from(DAY.as_millis()).expect("short");
    let walk = |store: &mut store::Store, now| (0..200).map(|_| store.sweep(now).expect("swept")).collect::<Vec<_>>();
    assert_eq!(walk(&mut store, 999 + day).iter().sum::<usize>(), 0, "nothing is void");
    let removed = walk(&mut store, 1000 + day);
    assert_eq!(removed.iter().sum::<usize>(), 3000);
    assert!(removed.iter().all(|stretch| *stretch <= 1024), "{removed:?}");
}

#[tokio::test]
async fn what_nobody_waited_for_is_written_at_the_close() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.redb");
    let ledger = open(&path).await.expect("new");
    ledger.begin("a").await.expect("begin");
    assert_eq!(ledger.intent("a").await, Ok(Intent::Recorded(None)));
    ledger.release("a", false).await.expect("told");
    ledger.conclude("b", None, &verdict(0.5), None).await.expect("conclude");
    ledger.published("b", false).await.expect("told");
    ledger.close().await;
    ledger.begin("a").await.expect_err("closed");
    let ledger = open(&path).await.expect("whole");
    assert_eq!(ledger.begin("a").await, Ok(ClaimOutcome::Fresh));
    assert_eq!(ledger.begin("b").await, Ok(ClaimOutcome::Fresh));
}
