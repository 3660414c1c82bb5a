//! What is logged, as text: for tests.

use std::io;
use std::sync::{Arc, Mutex};

/// Where a log is written. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// What has been written.
    pub(crate) fn text(&self) -> String {
        let bytes = self.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("text")
    }
}

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged while `future` runs, on this thread.
pub(crate) async fn log_of(future: impl Future<Output = ()>) -> String {
    let captured = Captured::default();
    let sink = captured.clone();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || sink.clone()).finish();
    let scoped = tracing::subscriber::set_default(log);
    future.await;
    drop(scoped);
    captured.text()
}
