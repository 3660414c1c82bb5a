//! The acks of a channel, many in one frame where that is possible.
//!
//! lapin writes frames on a thread of its own. An ack by itself wakes that thread three times and the job's task twice, which costs as much as
//! encoding a small image. So jobs hand in their acks, and one task writes what has come together: as one frame for all that nothing unsettled
//! precedes, else as a frame each. While it waits for one batch to be written, the next gathers.

use super::session_failure::SessionFailure;
use lapin::Channel;
use lapin::options::BasicAckOptions;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot};
use tokio_util::task::TaskTracker;

/// An ack was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unacked {
    /// The session has ended.
    #[error("the session has ended")]
    Ended,
    /// The channel does not take it.
    #[error("{0}")]
    Refused(Arc<lapin::Error>),
}

type Done = oneshot::Sender<Result<(), Arc<lapin::Error>>>;

/// What is delivered on one channel and not settled.
#[derive(Debug)]
pub(super) struct Acks {
    channel: Channel,
    unsettled: Mutex<Unsettled>,
    handed_in: Notify,
}

#[derive(Debug, Default)]
struct Unsettled {
    /// By delivery tag. With whom to tell, once it is to be acked.
    tags: BTreeMap<u64, Option<Done>>,
    /// The tag of the latest delivery.
    latest: u64,
}

/// The task that writes. It may also end by a panic.
struct Writing {
    acks: Arc<Acks>,
    session: SessionFailure,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.session.report("no ack is written any more".to_owned());
        // A job that waits for its ack learns that it is not written.
        self.acks.unsettled().tags.clear();
    }
}

/// Acks of one frame.
#[derive(Debug)]
struct Frame {
    tag: u64,
    /// It acks everything up to the tag.
    multiple: bool,
    done: Vec<Done>,
}

impl Acks {
    pub(super) fn of(channel: Channel) -> Arc<Self> {
        Arc::new(Self { channel, unsettled: Mutex::default(), handed_in: Notify::new() })
    }

    /// To be called in the order of delivery: an ack of several settles whatever is not known to be unsettled.
    pub(super) fn delivered(&self, tag: u64) {
        self.unsettled().delivered(tag);
    }

    /// Ends when the ack is written. Given up, it may be written all the same.
    pub(super) async fn ack(&self, tag: u64) -> Result<(), Unacked> {
        let (done, written) = oneshot::channel();
        match self.unsettled().tags.get_mut(&tag) {
            Some(waiting @ None) => *waiting = Some(done),
            Some(Some(_)) | None => return Err(Unacked::Ended),
        }
        self.handed_in.notify_one();
        written.await.map_err(|_| Unacked::Ended)?.map_err(Unacked::Refused)
    }

    /// It has been settled in another way, and that is written: only then may an ack of several pass over it.
    pub(super) fn settled_otherwise(&self, tag: u64) {
        self.unsettled().tags.remove(&tag);
    }

    /// Writes what is handed in, for as long as the session lives. The session ends with it.
    pub(super) fn write_until(self: Arc<Self>, failure: SessionFailure, tasks: &TaskTracker) {
        let writing = Writing { acks: self, session: failure };
        tasks.spawn(async move {
            tokio::select! {
                biased;
                _reason = writing.session.wait() => {}
                never = writing.acks.write() => never,
            }
        });
    }

    async fn write(&self) -> ! {
        loop {
            self.handed_in.notified().await;
            // Those of the jobs that end in this turn of the loop go along.
            tokio::task::yield_now().await;
            let frames = self.unsettled().take();
            // Handed to lapin at once, so that its thread wakes up once.
            let writing = frames.into_iter().map(|frame| self.write_frame(frame));
            futures_util::future::join_all(writing).await;
        }
    }

    async fn write_frame(&self, Frame { tag, multiple, done }: Frame) {
        let written = self.channel.basic_ack(tag, BasicAckOptions { multiple }).await.map_err(Arc::new);
        for done in done {
            // Its job may have given up.
            done.send(written.clone()).ok();
        }
    }

    fn unsettled(&self) -> MutexGuard<'_, Unsettled> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unsettled {
    fn delivered(&mut self, tag: u64) {
        // The tags of a channel are consecutive. What is missing was delivered to a consumer that had just been cancelled, and lapin has dropped it: the
        // broker has it back when the channel closes. It stays unsettled here, so that no ack of several settles it.
        if tag > self.latest + 1 {
            self.tags.insert(self.latest + 1, None);
        }
        self.latest = self.latest.max(tag);
        self.tags.insert(tag, None);
    }

    /// Takes out what is to be acked: one frame for all that nothing unsettled precedes, and one for each of the others.
    fn take(&mut self) -> Vec<Frame> {
        let waiting: Vec<_> = self.tags.extract_if(.., |_, done| done.is_some()).collect();
        let first_unsettled = self.tags.keys().next().copied().unwrap_or(u64::MAX);
        let mut frames: Vec<Frame> = Vec::new();
        for (tag, done) in waiting {
            match frames.first_mut() {
                Some(first) if tag < first_unsettled => {
                    (first.tag, first.multiple) = (tag, true);
                    first.done.extend(done);
                }
                _ => frames.push(Frame { tag, multiple: false, done: Vec::from_iter(done) }),
            }
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frames for these deliveries, of which those that are marked are to be acked: tag, whether of several, and of how many. And what stays.
    fn frames(deliveries: &[(u64, bool)]) -> (Vec<(u64, bool, usize)>, Vec<u64>) {
        let mut unsettled = Unsettled::default();
        for &(tag, acked) in deliveries {
            unsettled.delivered(tag);
            *unsettled.tags.get_mut(&tag).expect("delivered") = acked.then(|| oneshot::channel().0);
        }
        let frames = unsettled.take().iter().map(|frame| (frame.tag, frame.multiple, frame.done.len())).collect();
        (frames, unsettled.tags.into_keys().collect())
    }

    #[test]
    fn an_ack_of_several_passes_over_nothing_unsettled() {
        assert_eq!(frames(&[]), (vec![], vec![]));
        assert_eq!(frames(&[(1, true)]), (vec![(1, false, 1)], vec![]));
        assert_eq!(frames(&[(1, true), (2, true), (3, true)]), (vec![(3, true, 3)], vec![]));
        let both = frames(&[(1, true), (2, true), (3, false), (4, true), (5, true), (6, false)]);
        assert_eq!(both, (vec![(2, true, 2), (4, false, 1), (5, false, 1)], vec![3, 6]));
        assert_eq!(frames(&[(1, false), (2, true), (3, true)]), (vec![(2, false, 1), (3, false, 1)], vec![1]));
    }

    #[test]
    fn a_delivery_that_never_arrived_is_not_acked_with_others() {
        let around = frames(&[(1, true), (2, true), (4, true), (5, true)]);
        assert_eq!(around, (vec![(2, true, 2), (4, false, 1), (5, false, 1)], vec![3]));
        assert_eq!(frames(&[(3, true), (4, true)]), (vec![(3, false, 1), (4, false, 1)], vec![1]));
    }
}
