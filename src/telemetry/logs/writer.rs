//! Log lines on their way out. A thread of its own writes them, so that a log that is not read (a full pipe, a disk that hangs) costs log lines and
//! never a job: what does not fit into the space before the thread is dropped, and counted.

use prometheus_client::metrics::counter::Counter;
use std::io;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

/// Most bytes that wait to be written: some thousand lines, a second of a busy worker at `info`.
pub(super) const MOST_BYTES: usize = 1 << 20;

/// As much is written at a time as a pipe takes whole. More room than this is given back when what it held is written.
const BATCH: usize = 64 * 1024;

/// For so long the lines of jobs gather before they are written: there may be thousands a second, and to wake the thread for each costs as much as the
/// line itself. Any other line is written at once, with those before it.
const GATHER: Duration = Duration::from_millis(5);

/// The target of the lines of jobs.
const JOBS: &str = "antispoofd::telemetry::job_log";

/// The way to the thread. Waits for nothing but another line that is being handed over.
pub(super) struct Writer {
    lines: Arc<Lines>,
    dropped: Counter,
    ended: CancellationToken,
}

/// What the two sides share.
#[derive(Default)]
struct Lines {
    waiting: Mutex<Waiting>,
    /// There is something to write.
    more: Condvar,
    /// Something has been written.
    written: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// Lines, each with its end.
    text: Vec<u8>,
    /// So many bytes have been taken out of `text` and are being written.
    in_hand: usize,
    /// A line among them does not wait for others.
    at_once: bool,
    /// So many callers want to know when all is written.
    flushing: u32,
    /// The writer is gone.
    closed: bool,
}

/// The thread's side.
struct Drain<W> {
    lines: Arc<Lines>,
    sink: W,
    dropped: Counter,
    /// Of the dropped ones, those that a line has reported.
    reported: u64,
    /// What is being written; its room is used again.
    batch: Vec<u8>,
}

impl Writer {
    /// Starts the thread, which ends when this is dropped and all is written.
    pub(super) fn start(sink: impl io::Write + Send + 'static, dropped: Counter) -> io::Result<Self> {
        let lines = Arc::new(Lines::default());
        let mut drain = Drain { lines: lines.clone(), sink, dropped: dropped.clone(), reported: 0, batch: Vec::new() };
        let ended = CancellationToken::new();
        let at_the_end = ended.clone().drop_guard();
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            // Dropped in a panic, too.
            let _ended = at_the_end;
            while drain.round() {}
        })?;
        Ok(Self { lines, dropped, ended })
    }

    /// Hands over a line with its end. Dropped and counted where there is no room for it.
    pub(super) fn line(&self, line: &[u8]) {
        self.hand_over(line, true);
    }

    fn hand_over(&self, line: &[u8], at_once: bool) {
        let mut waiting = self.lines.waiting();
        if waiting.text.len() + waiting.in_hand + line.len() > MOST_BYTES {
            drop(waiting);
            self.dropped.inc();
            return;
        }
        let first = waiting.text.is_empty();
        waiting.text.extend_from_slice(line);
        waiting.at_once |= at_once;
        drop(waiting);
        // Behind the first the thread is awake, or about to wake up.
        if first || at_once {
            self.lines.more.notify_one();
        }
    }

    /// Ends when the thread has.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Waits until what has been handed over is written, for at most so long. False when it was not.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let mut waiting = self.lines.waiting();
        waiting.flushing += 1;
        self.lines.more.notify_one();
        let unwritten = |waiting: &mut Waiting| waiting.in_hand > 0 || !waiting.text.is_empty();
        let waited = self.lines.written.wait_timeout_while(waiting, limit, unwritten);
        let (mut waiting, out) = waited.unwrap_or_else(PoisonError::into_inner);
        waiting.flushing -= 1;
        !out.timed_out()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.lines.waiting().closed = true;
        self.lines.more.notify_one();
    }
}

impl Lines {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way of one event.
pub(super) struct EventWriter<'a> {
    writer: &'a Writer,
    at_once: bool,
}

impl<'a> MakeWriter<'a> for &'static Writer {
    type Writer = EventWriter<'a>;

    fn make_writer(&'a self) -> EventWriter<'a> {
        EventWriter { writer: self, at_once: true }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> EventWriter<'a> {
        EventWriter { writer: self, at_once: event.target() != JOBS }
    }
}

/// The subscriber writes an event in one go.
impl io::Write for EventWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.writer.hand_over(line, self.at_once);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: io::Write> Drain<W> {
    /// Waits for lines, lets some gather, and writes them. False at the end.
    fn round(&mut self) -> bool {
        let none_yet = |waiting: &mut Waiting| waiting.text.is_empty() && !waiting.closed;
        let waiting = self.lines.more.wait_while(self.lines.waiting(), none_yet);
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        if waiting.text.is_empty() {
            return false;
        }
        let gathered =
            self.lines.more.wait_timeout_while(waiting, GATHER, |waiting| waiting.flushing == 0 && !waiting.at_once);
        let (mut waiting, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut waiting.text, &mut self.batch);
        (waiting.in_hand, waiting.at_once) = (self.batch.len(), false);
        drop(waiting);
        let (mut read, mut rest) = (false, &self.batch[..]);
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(whole_lines(rest));
            // The reader of the log may be gone. There is no other place to report it, and later lines may be read again.
            let written = write_all(&mut self.sink, piece);
            if written.is_err() {
                self.dropped.inc_by(piece.split(|byte| *byte == b'\n').skip(1).count() as u64);
            }
            read = written.is_ok();
            self.lines.waiting().in_hand -= piece.len();
            rest = behind;
        }
        self.batch.clear();
        self.batch.shrink_to(BATCH);
        self.lines.written.notify_all();
        // Not where nothing is read: the line about it would be dropped, which would be worth a line.
        if read {
            self.report_dropped();
        }
        true
    }

    /// Says how many are missing, once there is room to say it.
    fn report_dropped(&mut self) {
        let dropped = self.dropped.get();
        if dropped > self.reported && self.lines.waiting().text.len() < MOST_BYTES / 2 {
            self.reported = dropped;
            tracing::warn!(dropped, "log lines were dropped, {dropped} so far: they are not read as fast as they come");
        }
    }
}

/// As many bytes as are written at a time: up to the end of a line, where there is one.
fn whole_lines(text: &[u8]) -> usize {
    if text.len() <= BATCH {
        return text.len();
    }
    text[..BATCH].iter().rposition(|byte| *byte == b'\n').map_or(BATCH, |end| end + 1)
}

/// Also to a pipe that does not block, as which stderr may have been inherited.
fn write_all(sink: &mut impl io::Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match sink.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Nothing tells when there is room: a sink need not be a file.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::park_timeout(GATHER),
            Err(error) => return Err(error),
        }
    }
    sink.flush()
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
        let (lines, dropped) = (Arc::new(Lines::default()), Counter::default());
        let mut drain = Drain { lines, sink, dropped: dropped.clone(), reported: 0, batch: Vec::new() };
        drain.lines.waiting().text.extend_from_slice(b"x\n");
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
        let held = (written - 100) * 106;
        assert!(held > MOST_BYTES as u64 - 106, "dropped only when there is no room: {held}");

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
    fn only_the_lines_of_jobs_gather() {
        assert!(std::any::type_name::<crate::telemetry::JobLog>().starts_with(&format!("{JOBS}::")));
        let (reader, sink) = io::pipe().expect("a pipe");
        let writer = Writer::start(sink, Counter::default()).expect("a thread");
        writer.hand_over(b"of a job\n", false);
        writer.line(b"another\n");
        let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
        assert_eq!(lines.next().as_deref(), Some("of a job"));
        assert_eq!(lines.next().as_deref(), Some("another"));
        writer.hand_over(b"alone\n", false);
        assert_eq!(lines.next().as_deref(), Some("alone"), "it does not wait for ever");
    }

    #[test]
    fn a_sink_that_would_block_is_tried_again_and_pieces_end_with_lines() {
        struct Reluctant(Vec<u8>, bool);
        impl io::Write for Reluctant {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1 = !self.1;
                if self.1 {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                self.0.extend_from_slice(&bytes[..bytes.len().min(3)]);
                Ok(bytes.len().min(3))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut sink = Reluctant(Vec::new(), false);
        write_all(&mut sink, b"seven\nbytes\n").expect("written in the end");
        assert_eq!(sink.0, b"seven\nbytes\n");
        let lines = b"0123456789\n".repeat(BATCH / 5);
        assert_eq!(whole_lines(&lines), BATCH / 11 * 11);
        assert_eq!((whole_lines(&vec![b'x'; BATCH * 2]), whole_lines(b"x")), (BATCH, 1));
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
