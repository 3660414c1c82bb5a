//! The memory for decoded images: one budget, of which each conversion takes all that it will need before it begins.

use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A permit of the semaphore stands for so many bytes, so that a number of permits fits into 32 bits.
const UNIT: u64 = 1024;

/// The memory of all conversions.
#[derive(Debug)]
pub(super) struct Budget {
    free: Arc<Semaphore>,
    total: u64,
}

/// A part of it, given back when dropped.
#[derive(Debug)]
pub struct Share(OwnedSemaphorePermit);

impl Budget {
    pub(super) fn new(total: u64) -> Self {
        Self { free: Arc::new(Semaphore::new(units(total) as usize)), total }
    }

    pub(super) fn try_share(&self, bytes: u64) -> Option<Share> {
        self.free.clone().try_acquire_many_owned(self.part(bytes)).ok().map(Share)
    }

    pub(super) async fn share(&self, bytes: u64) -> Share {
        match self.free.clone().acquire_many_owned(self.part(bytes)).await {
            Ok(permit) => Share(permit),
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    /// Never more than there is: that would be waited for for ever.
    fn part(&self, bytes: u64) -> u32 {
        units(bytes.min(self.total))
    }
}

impl Share {
    /// Gives back all but this many bytes.
    pub(super) fn keep(&mut self, bytes: u64) {
        let kept = units(bytes) as usize;
        drop(self.0.split(self.0.num_permits().saturating_sub(kept)));
    }

    /// As [`Share::keep`], and takes what is missing; false where that is not free. Never waits: it holds something.
    pub(super) fn keep_or_grow(&mut self, bytes: u64) -> bool {
        let missing = (units(bytes) as usize).saturating_sub(self.0.num_permits());
        if missing == 0 {
            self.keep(bytes);
            return true;
        }
        let more =
            u32::try_from(missing).ok().and_then(|more| self.0.semaphore().clone().try_acquire_many_owned(more).ok());
        more.map(|more| self.0.merge(more)).is_some()
    }

    /// The bytes, which give back the share when the last of them is gone.
    pub(super) fn hold(self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Held { bytes, _share: self })
    }
}

struct Held {
    bytes: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes / UNIT).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn a_share_is_given_back_in_parts_and_with_the_last_byte() {
        let budget = Budget::new(10 * UNIT);
        let mut share = budget.try_share(8 * UNIT).expect("free");
        assert!(budget.try_share(3 * UNIT).is_none() && budget.share(3 * UNIT).now_or_never().is_none());
        share.keep(4 * UNIT);
        drop(budget.try_share(6 * UNIT).expect("what is not kept is free"));
        let bytes = share.hold(vec![7; 100]);
        let part = bytes.slice(50..);
        drop(bytes);
        assert!(budget.try_share(7 * UNIT).is_none());
        drop(part);
        assert!(budget.try_share(10 * UNIT).is_some());
    }

    #[test]
    fn a_share_grows_by_what_is_free() {
        let budget = Budget::new(10 * UNIT);
        let mut share = budget.try_share(4 * UNIT).expect("free");
        let other = budget.try_share(3 * UNIT).expect("free");
        assert!(share.keep_or_grow(7 * UNIT) && !share.keep_or_grow(8 * UNIT));
        assert!(budget.try_share(UNIT).is_none());
        drop(other);
        assert!(share.keep_or_grow(2 * UNIT) && budget.try_share(8 * UNIT).is_some());
    }

    #[test]
    fn nothing_waits_for_more_than_there_is() {
        let budget = Budget::new(10 * UNIT);
        assert!(budget.share(u64::MAX).now_or_never().is_some());
    }
}
