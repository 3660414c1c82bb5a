//! Lines of a list of any length, one in memory at a time.

use std::io;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

/// Above the largest job. Without a bound, a file that is no list would be read whole.
const LONGEST_LINE: usize = 80 * 1024;

/// Above the largest message that brokers take by default (16 MiB; 128 MiB before 3.12), as JSON makes it longer.
const LONGEST_EXPORT: usize = 256 << 20;

pub(super) struct Lines<R> {
    reader: R,
    longest: usize,
    number: u64,
    buffer: Vec<u8>,
}

/// A line cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    #[error("read it: {0}")]
    Io(io::Error),
    #[error("line {0} is longer than {1} bytes; is this the right file?")]
    TooLong(u64, usize),
    #[error("line {0} is not UTF-8 text")]
    NotText(u64),
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    /// Jobs, or names of objects.
    pub(super) fn new(reader: R) -> Self {
        Self { reader, longest: LONGEST_LINE, number: 0, buffer: Vec::new() }
    }

    /// Messages, as `parked export` writes them.
    pub(super) fn of_export(reader: R) -> Self {
        Self { longest: LONGEST_EXPORT, ..Self::new(reader) }
    }

    /// The next line that is not blank, without white space around it, and its number from 1. `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<(u64, &str)>, LineError> {
        loop {
            self.buffer.clear();
            let mut bounded = (&mut self.reader).take(self.longest as u64 + 1);
            let read = bounded.read_until(b'\n', &mut self.buffer).await.map_err(LineError::Io)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if read > self.longest {
                return Err(LineError::TooLong(self.number, self.longest));
            }
            if !self.buffer.iter().all(u8::is_ascii_whitespace) {
                break;
            }
        }
        let text = std::str::from_utf8(&self.buffer).map_err(|_| LineError::NotText(self.number))?;
        // A byte order mark is what some editors put before the first line.
        let text = if self.number == 1 { text.trim_start_matches('\u{feff}') } else { text };
        Ok(Some((self.number, text.trim())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(text: &[u8]) -> Result<Vec<(u64, String)>, LineError> {
        let mut lines = Lines::new(text);
        let mut found = Vec::new();
        while let Some((number, line)) = lines.next().await? {
            found.push((number, line.to_owned()));
        }
        Ok(found)
    }

    #[tokio::test]
    async fn blank_lines_count_but_are_not_given() {
        let lines = all("\u{feff}a\r\n\n  \nb b\nlast".as_bytes()).await.unwrap();
        assert_eq!(lines, [(1, "a".to_owned()), (4, "b b".to_owned()), (5, "last".to_owned())]);
        assert_eq!(all(b"").await.unwrap(), []);
    }

    #[tokio::test]
    async fn what_is_no_list_is_found_out_early() {
        let long = vec![b'x'; LONGEST_LINE + 1];
        assert!(matches!(all(&[b"a\n".as_slice(), &long].concat()).await, Err(LineError::TooLong(2, LONGEST_LINE))));
        assert!(matches!(all(b"a\n\xff\n").await, Err(LineError::NotText(2))));
        let just = vec![b'x'; LONGEST_LINE - 1];
        assert_eq!(all(&[&just, b"\n".as_slice()].concat()).await.unwrap().len(), 1);
    }
}
