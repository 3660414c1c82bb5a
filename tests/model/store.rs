//! The store: objects that come late, change, break off and are not what they are called.

use crate::life::Life;
use crate::plan::Fault;
use crate::records::Kind;
use antispoof_core::failure::{Code, Failure};
use antispoof_core::image::ImageRef;
use antispoof_core::ports::{ImageStore, Opened};
use bytes::Bytes;
use futures_util::Stream;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// Up to the values of the quantisation table.
const JPEG_START: &[u8] = &[0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0];
const VALUES: &[u8] = &[1; 64];
const JPEG_FRAME: &[u8] =
    &[0xFF, 0xC0, 0, 17, 8, 1, 0, 2, 0, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1, 0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0];
const JPEG_HEAD: usize = JPEG_START.len() + VALUES.len() + JPEG_FRAME.len();
const CHUNK: usize = 32;

/// What is stored under a key.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) etag: String,
    bytes: Bytes,
}

impl Object {
    /// The object of a job in its so-manieth version: the bytes say which.
    pub(crate) fn of(number: usize, kind: Kind, version: u32) -> Self {
        let mut bytes = match kind {
            Kind::NoImage => Vec::new(),
            _ => [JPEG_START, VALUES, JPEG_FRAME].concat(),
        };
        bytes.extend(format!("{number:06} version {version:06}").bytes());
        if kind != Kind::CutOff {
            bytes.extend([0xFF, 0xD9]);
        }
        Self { etag: format!("{number}-{version}"), bytes: bytes.into() }
    }
}

/// Which job an image belongs to.
pub(crate) fn number_in(image: &[u8]) -> Option<usize> {
    std::str::from_utf8(image.get(JPEG_HEAD..JPEG_HEAD + 6)?).ok()?.parse().ok()
}

pub(crate) struct ModelStore(pub(crate) Arc<Life>);

impl ImageStore for ModelStore {
    type Stream = Body;

    async fn open(&self, image: &ImageRef) -> Result<Opened<Body>, Failure> {
        let life = &self.0;
        life.enter(|| format!("open {} pinned to {:?}", image.key, image.etag)).await;
        let opened = life.with(|state| {
            let number = state.records.jobs.iter().position(|job| job.key == image.key).unwrap_or(usize::MAX);
            let pin = state.records.seen.get(&(life.number, number)).cloned();
            if let Some(seen) = pin
                && !state.records.looked_after.contains(&number)
                && image.etag.as_ref() != Some(&seen)
            {
                state.wrong(|| format!("{} was seen as {seen} and is asked for as {:?}", image.key, image.etag));
            }
            if !state.services.store || state.fails(Fault::Store) {
                let code = if state.dice.bool() { Code::StoreUnavailable } else { Code::StoreTimeout };
                return Err((code, "the store does not want to"));
            }
            let Some(object) = state.objects.get(&image.key).cloned() else {
                return Err((Code::ObjectNotFound, "there is no such object"));
            };
            if image.etag.as_ref().is_some_and(|etag| *etag != object.etag) {
                state.records.seen.remove(&(life.number, number));
                return Err((Code::ObjectChanged, "the object is another one now"));
            }
            state.records.seen.insert((life.number, number), object.etag.clone());
            let mut chunks: VecDeque<_> =
                object.bytes.chunks(CHUNK).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
            if state.fails(Fault::Store) {
                chunks.truncate(state.dice.usize(0..chunks.len()));
                if state.dice.bool() {
                    chunks.push_back(Err(Failure::new(Code::StoreUnavailable, "the store broke off")));
                }
            }
            let pause =
                Duration::from_millis(state.dice.u64(0..=u64::try_from(state.plan.latency.as_millis()).unwrap_or(0)));
            let etag = object.etag.clone();
            Ok(Opened {
                bytes: object.bytes.len() as u64,
                etag: Some(etag),
                version_id: None,
                key: None,
                checksum: None,
                stream: Body { chunks, pause, waiting: None },
            })
        });
        life.leave().await;
        opened.map_err(|(code, message)| Failure::new(code, message))
    }
}

/// Chunks with a pause before each.
pub(crate) struct Body {
    chunks: VecDeque<Result<Bytes, Failure>>,
    pause: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Stream for Body {
    type Item = Result<Bytes, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.pause.is_zero() {
            let pause = self.pause;
            let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(pause)));
            ready!(waiting.as_mut().poll(context));
            self.waiting = None;
        }
        Poll::Ready(self.chunks.pop_front())
    }
}
