//! A broker's address that passes everything on to the broker, and takes the time between a job on its way to a worker and the worker's event
//! on its way back: the worker's own part, without the broker's, which is a write to a disk and many times as long.

use super::http;
use anyhow::{Result, ensure};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

const BUFFER: usize = 64 * 1024;

/// Of AMQP 0-9-1: what stands before the payload of a frame and behind it, the type of a frame with the properties of a message, and which
/// properties are there.
const FRAME_HEAD: usize = 7;
const FRAME_END: usize = 1;
const PROPERTIES: u8 = 2;
const PROTOCOL_HEAD: &[u8] = b"AMQP\x00\x00\x09\x01";
const HAS_CORRELATION_ID: u16 = 1 << 10;
const HAS_MESSAGE_ID: u16 = 1 << 7;

/// Lives as long as the process, on a thread of its own.
pub(crate) struct Tap {
    pub(crate) address: SocketAddr,
    times: Times,
}

#[derive(Clone, Default)]
struct Times(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    /// When each job was passed to a worker.
    jobs: HashMap<Vec<u8>, Instant>,
    took: Vec<Duration>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Ids<'a> {
    correlation: Option<&'a [u8]>,
    message: Option<&'a [u8]>,
}

#[derive(Clone, Copy)]
enum Way {
    ToWorker,
    ToBroker,
}

impl Tap {
    /// Before the broker at this host and port.
    pub(crate) async fn start(host: String, port: u16) -> Result<Self> {
        let times = Times::default();
        let its_times = times.clone();
        let address = http::listen(move |worker| pass(worker, host.clone(), port, its_times.clone())).await?;
        Ok(Self { address, times })
    }

    /// What the jobs have taken whose events have passed since this was last asked.
    pub(crate) fn take(&self) -> Vec<Duration> {
        let mut taken = self.times.lock();
        taken.jobs.clear();
        std::mem::take(&mut taken.took)
    }
}

impl Times {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, way: Way, properties: &[u8]) {
        let now = Instant::now();
        let ids = ids(properties).unwrap_or_default();
        let mut taken = self.lock();
        match (way, ids.correlation, ids.message) {
            (Way::ToWorker, _, Some(job)) => drop(taken.jobs.insert(job.to_vec(), now)),
            (Way::ToBroker, Some(job), _) => {
                if let Some(since) = taken.jobs.remove(job) {
                    taken.took.push(now - since);
                }
            }
            _ => {}
        }
    }
}

async fn pass(worker: TcpStream, host: String, port: u16, times: Times) -> Result<()> {
    let broker = TcpStream::connect((host, port)).await?;
    broker.set_nodelay(true)?;
    let ((from_worker, to_worker), (from_broker, to_broker)) = (worker.into_split(), broker.into_split());
    // When one of them has hung up, both are.
    tokio::select! {
        ended = copy(from_broker, to_worker, Way::ToWorker, &times) => ended,
        ended = copy(from_worker, to_broker, Way::ToBroker, &times) => ended,
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Way, times: &Times) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut pending = Vec::new();
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        pending.extend_from_slice(&buffer[..read]);
        let looked_at = each_properties(&pending, |properties| times.note(way, properties))?;
        pending.drain(..looked_at);
        to.write_all(&buffer[..read]).await?;
    }
}

/// Finds the properties of messages in whole frames, and returns the length of those.
fn each_properties(bytes: &[u8], mut found: impl FnMut(&[u8])) -> Result<usize> {
    let mut at = 0;
    if bytes.starts_with(PROTOCOL_HEAD) {
        at = PROTOCOL_HEAD.len();
    }
    while let Some(&[kind, _, _, a, b, c, d]) = bytes[at..].first_chunk::<FRAME_HEAD>() {
        let size = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some(frame) = bytes[at..].get(..FRAME_HEAD + size + FRAME_END) else { break };
        ensure!(frame.ends_with(&[0xCE]), "a frame does not end as AMQP's do");
        if kind == PROPERTIES {
            found(&frame[FRAME_HEAD..FRAME_HEAD + size]);
        }
        at += frame.len();
    }
    Ok(at)
}

/// Of a message's properties.
fn ids(payload: &[u8]) -> Option<Ids<'_>> {
    // Behind the class, the weight and the length of the body.
    let (flags, mut rest) = payload.get(12..)?.split_first_chunk::<2>()?;
    let flags = u16::from_be_bytes(*flags);
    let mut ids = Ids::default();
    // From the highest bit on: content type and encoding, headers, delivery mode, priority, and the ids among further short strings.
    for bit in (7..16).rev().map(|bit| 1 << bit).filter(|bit| flags & bit != 0) {
        let field;
        (field, rest) = match bit {
            0x2000 => {
                let (length, behind) = rest.split_first_chunk::<4>()?;
                behind.split_at_checked(u32::from_be_bytes(*length) as usize)?
            }
            0x1000 | 0x0800 => rest.split_at_checked(1)?,
            _ => {
                let (length, behind) = rest.split_first()?;
                behind.split_at_checked(usize::from(*length))?
            }
        };
        match bit {
            HAS_CORRELATION_ID => ids.correlation = Some(field),
            HAS_MESSAGE_ID => ids.message = Some(field),
            _ => {}
        }
    }
    Some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[kind, 0, 1][..], &length, payload, &[0xCE]].concat()
    }

    /// Of a message with a content type, headers, a delivery mode, and these.
    fn properties(correlation_id: Option<&str>, message_id: Option<&str>) -> Vec<u8> {
        let flags = 0x8000
            | 0x2000
            | 0x1000
            | correlation_id.map_or(0, |_| HAS_CORRELATION_ID)
            | message_id.map_or(0, |_| HAS_MESSAGE_ID);
        let mut payload = [&[0; 12][..], &u16::to_be_bytes(flags), b"\x04json\x00\x00\x00\x03tab\x02"].concat();
        for id in [correlation_id, message_id].into_iter().flatten() {
            payload.push(u8::try_from(id.len()).unwrap());
            payload.extend_from_slice(id.as_bytes());
        }
        payload
    }

    #[test]
    fn ids_are_found_among_other_properties() {
        for (correlation, message) in [(Some("1-2"), Some("m")), (None, Some("1-2")), (None, None)] {
            let expected = Ids { correlation: correlation.map(str::as_bytes), message: message.map(str::as_bytes) };
            assert_eq!(ids(&properties(correlation, message)), Some(expected));
        }
        assert_eq!(ids(b"\x00\x3c"), None);
    }

    #[test]
    fn only_whole_frames_are_looked_at() {
        let of_message = frame(PROPERTIES, b"properties");
        let bytes = [PROTOCOL_HEAD, &frame(1, b"method"), &of_message, &frame(3, b"body")].concat();
        for cut in 0..=bytes.len() {
            let (first, _) = bytes.split_at(cut);
            let mut found = 0;
            let looked_at = each_properties(first, |_| found += 1).unwrap();
            let rest = &bytes[looked_at..];
            if looked_at >= PROTOCOL_HEAD.len() {
                each_properties(rest, |properties| {
                    assert_eq!(properties, b"properties");
                    found += 1;
                })
                .unwrap();
                assert_eq!(found, 1, "cut at {cut}");
            }
        }
        assert!(each_properties(&[1, 0, 0, 0, 0, 0, 1, 7, 7], |_| ()).is_err());
    }

    #[test]
    fn a_job_takes_from_its_delivery_to_its_event() {
        let times = Times::default();
        times.note(Way::ToBroker, &properties(Some("never delivered"), None));
        times.note(Way::ToWorker, &properties(None, Some("1-1")));
        times.note(Way::ToWorker, &properties(None, Some("1-2")));
        times.note(Way::ToBroker, &properties(Some("1-2"), Some("event")));
        let taken = times.lock();
        assert_eq!(taken.took.len(), 1);
        assert_eq!(taken.jobs.len(), 1);
    }
}
