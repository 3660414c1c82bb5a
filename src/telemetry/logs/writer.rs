//! Log lines on their way out. A thread of its own writes them, so that a log that is not read (a full pipe, a disk that hangs) costs log lines and
//! never a job: what does not fit into the space before the thread is dropped, and counted.

use prometheus_client::metrics::counter::Counter;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Most bytes that wait to be written: some thousand lines, a second of a busy worker at `info`.
pub(super) const MOST_BYTES: usize = 1 << 20;

/// What a line costs beside its bytes.
const LINE_COST: usize = 64;

/// As much is written at a time as a pipe takes whole.
const BATCH: usize = 64 * 1024;

/// The way to the thread. Never blocks.
pub(super) struct Writer {
    out: Sender<Message>,
    waiting: Arc<AtomicUsize>,
    dropped: Counter,
    ended: CancellationToken,
}

enum Message {
    Line(Vec<u8>),
    /// Answered when everything before it has been written.
    Flush(Sender<()>),
}

/// The thread's side.
struct Drain<W> {
    lines: Receiver<Message>,
    sink: W,
    waiting: Arc<AtomicUsize>,
    dropped: Counter,
    /// Of the dropped ones, those that a line has reported.
    reported: u64,
    batch: Vec<u8>,
}

impl Writer {
    /// Starts the thread, which ends with the process.
    pub(super) fn start(sink: impl io::Write + Send + 'static, dropped: Counter) -> io::Result<Self> {
        let (out, lines) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let mut drain = Drain {
            lines,
            sink,
            waiting: waiting.clone(),
            dropped: dropped.clone(),
            reported: 0,
            batch: Vec::with_capacity(BATCH),
        };
        let ended = CancellationToken::new();
        let at_the_end = ended.clone().drop_guard();
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            // Dropped in a panic, too.
            let _ended = at_the_end;
            while drain.round() {}
        })?;
        Ok(Self { out, waiting, dropped, ended })
    }

    /// Hands over a line with its end. Dropped and counted where there is no room for it.
    pub(super) fn line(&self, line: &[u8]) {
        let cost = line.len() + LINE_COST;
        let before = self.waiting.fetch_add(cost, Ordering::Relaxed);
        // The thread is gone only when it has panicked.
        if before + cost > MOST_BYTES || self.out.send(Message::Line(line.to_vec())).is_err() {
            self.waiting.fetch_sub(cost, Ordering::Relaxed);
            self.dropped.inc();
        }
    }

    /// Ends when the thread has.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Waits until what has been handed over is written, for at most so long. False when it was not.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let (done, written) = channel();
        self.out.send(Message::Flush(done)).is_ok() && written.recv_timeout(limit).is_ok()
    }
}

/// The subscriber writes an event in one go.
impl io::Write for &Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: io::Write> Drain<W> {
    /// Writes what is there, as much as fits at a time. False at the end.
    fn round(&mut self) -> bool {
        let Ok(first) = self.lines.recv() else { return false };
        let (mut cost, mut lines, mut flushed) = (0, 0, None);
        let mut next = Some(first);
        while let Some(message) = next.take() {
            match message {
                Message::Line(line) => {
                    cost += line.len() + LINE_COST;
                    lines += 1;
                    self.batch.extend_from_slice(&line);
                    if self.batch.len() < BATCH {
                        next = self.lines.try_recv().ok();
                    }
                }
                Message::Flush(done) => flushed = Some(done),
            }
        }
        // The reader of the log may be gone. There is no other place to report it, and later lines may be read again.
        let written = self.sink.write_all(&self.batch).and_then(|()| self.sink.flush());
        if written.is_err() {
            self.dropped.inc_by(lines);
        }
        self.batch.clear();
        self.waiting.fetch_sub(cost, Ordering::Relaxed);
        if let Some(done) = flushed {
            // The caller may have given up.
            done.send(()).ok();
        }
        // Not where nothing is read: the line about it would be dropped, which would be worth a line.
        if written.is_ok() {
            self.report_dropped();
        }
        true
    }

    /// Says how many are missing, once there is room to say it.
    fn report_dropped(&mut self) {
        let dropped = self.dropped.get();
        if dropped > self.reported && self.waiting.load(Ordering::Relaxed) < MOST_BYTES / 2 {
            self.reported = dropped;
            tracing::warn!(dropped, "log lines were dropped, {dropped} so far: they are not read as fast as they come");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};

    const LIMIT: Duration = Duration::from_secs(10);
    const AT_ONCE: Duration = Duration::from_millis(1);

    #[test]
    fn nobody_is_told_of_lines_that_nobody_reads() {
        let (reader, sink) = io::pipe().expect("a pipe");
        drop(reader);
        let (out, lines) = channel();
        let (waiting, dropped) = (Arc::default(), Counter::default());
        let mut drain = Drain { lines, sink, waiting, dropped: dropped.clone(), reported: 0, batch: Vec::new() };
        drain.waiting.fetch_add(1 + LINE_COST, Ordering::Relaxed);
        out.send(Message::Line(vec![b'x'])).expect("it is there");
        assert!(drain.round());
        assert_eq!((dropped.get(), drain.reported), (1, 0));
    }

    #[test]
    fn a_reader_who_sleeps_costs_lines_and_not_time() {
        let (reader, sink) = io::pipe().expect("a pipe");
        let dropped = Counter::default();
        let writer = Writer::start(sink, dropped.clone()).expect("a thread");
        let mut written = 0_u64;
        while dropped.get() < 100 {
            writer.line(format!("line {written:0>100}\n").as_bytes());
            written += 1;
        }
        assert!(!writer.flush(AT_ONCE), "nothing has been read");
        let held = written * 106 + (written - 100) * LINE_COST as u64;
        assert!(held > MOST_BYTES as u64, "dropped only when there is no room: {held}");

        // Awake again, it gets all that was kept, in order, and what comes from now on.
        let reading = thread::spawn(move || BufReader::new(reader).lines().map_while(Result::ok).collect::<Vec<_>>());
        assert!(writer.flush(LIMIT));
        writer.line(b"the last\n");
        assert!(writer.flush(LIMIT));
        drop(writer);
        let lines = reading.join().expect("it reads to the end");
        assert_eq!(lines.len() as u64, written - dropped.get() + 1);
        assert_eq!(lines.last().map(String::as_str), Some("the last"));
        assert!(lines[..lines.len() - 1].is_sorted(), "in order");
    }

    #[test]
    fn a_reader_who_has_left_is_no_error() {
        let (reader, sink) = io::pipe().expect("a pipe");
        drop(reader);
        let dropped = Counter::default();
        let writer = Writer::start(sink, dropped.clone()).expect("a thread");
        writer.line(b"unread\n");
        assert!(writer.flush(LIMIT));
        assert_eq!(dropped.get(), 1);
    }
}
