//! The beginning of an image while it is inspected: kept as it came, and bounded for all jobs together.

use antispoof_core::failure::{Code, Failure};
use antispoof_core::image::MAX_HEADER_BYTES;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// What each job may keep without asking: most headers have 14 KB, nine of ten fit.
pub(super) const FREE_BYTES: usize = 64 * 1024;

/// What all longer heads of the process may have together: eight of the longest that are read, and some fifty of those that the last hundredth of public
/// photographs has.
const MEMORY: usize = 32 * 1024 * 1024;

/// What a job takes before it reads on. It takes all that it can ever need at once, when it has none: a job that has a share waits for no other job's,
/// so those that wait get theirs.
const SHARE: u32 = 4 * 1024 * 1024;
const _: () = assert!(SHARE as usize == MAX_HEADER_BYTES && MEMORY >= MAX_HEADER_BYTES);

/// Chunks up to this length are joined: a store that drips must not cost an allocation for each byte.
const SMALL: usize = 4 * 1024;

/// The memory of one process for what jobs keep of their images beyond 64 KiB each.
#[derive(Clone, Debug)]
pub struct HeadMemory(Arc<Semaphore>);

impl Default for HeadMemory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MEMORY)))
    }
}

/// Equal when as much is free.
#[cfg(test)]
impl PartialEq for HeadMemory {
    fn eq(&self, other: &Self) -> bool {
        self.0.available_permits() == other.0.available_permits()
    }
}

impl HeadMemory {
    /// Waits for a share, in the order of asking. Whatever holds one is itself within the limits of fetching and calling.
    pub(super) async fn share(&self, limit: Duration) -> Result<OwnedSemaphorePermit, Failure> {
        let waiting = timeout(limit, self.0.clone().acquire_many_owned(SHARE));
        let share = waiting.await.ok().and_then(Result::ok);
        share.ok_or_else(|| {
            let message = format!(
                "waited {limit:?} for memory to read an image header beyond {} KiB: those of other jobs hold all {} MiB",
                FREE_BYTES / 1024,
                MEMORY / 1024 / 1024
            );
            Failure::new(Code::StoreTimeout, message)
        })
    }
}

/// The chunks that have been read.
#[derive(Debug, Default)]
pub(super) struct Head {
    chunks: Vec<Bytes>,
    length: usize,
}

impl Head {
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn push(&mut self, chunk: Bytes) {
        self.length += chunk.len();
        match self.chunks.pop_if(|last| last.len() + chunk.len() <= SMALL) {
            None => self.chunks.push(chunk),
            Some(last) => {
                let mut joined = last.try_into_mut().unwrap_or_else(|last| BytesMut::from(&last[..]));
                joined.extend_from_slice(&chunk);
                self.chunks.push(joined.freeze());
            }
        }
    }

    /// The chunks, in their order. What is taken of a share goes along with the bytes and is given back with them; the rest is given back now.
    pub(super) fn into_chunks(self, share: Option<OwnedSemaphorePermit>) -> Vec<Bytes> {
        let Some(mut share) = share else {
            return self.chunks;
        };
        let held = |chunk: Bytes| {
            let part = share.split(chunk.len().min(share.num_permits()));
            Bytes::from_owner(Held { chunk, _part: part })
        };
        self.chunks.into_iter().map(held).collect()
    }
}

/// Bytes, and the part of a share that they take.
struct Held {
    chunk: Bytes,
    _part: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.chunk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(memory: &HeadMemory) -> usize {
        memory.0.available_permits()
    }

    #[tokio::test]
    async fn a_share_shrinks_to_the_head_and_is_given_back_with_its_bytes() {
        let memory = HeadMemory::default();
        let share = memory.share(Duration::from_secs(1)).await.expect("free");
        assert_eq!(free(&memory), MEMORY - SHARE as usize);
        let mut head = Head::default();
        for _ in 0..3 {
            head.push(Bytes::from(vec![7; 100_000]));
        }
        let mut chunks = head.into_chunks(Some(share));
        assert_eq!(free(&memory), MEMORY - 300_000);
        let piece = chunks[0].split_to(10);
        chunks.remove(0);
        assert_eq!(free(&memory), MEMORY - 300_000, "a piece of it is still held");
        drop(piece);
        assert_eq!(free(&memory), MEMORY - 200_000);
        drop(chunks);
        assert_eq!(free(&memory), MEMORY);
    }

    #[tokio::test]
    async fn a_head_longer_than_its_share_takes_the_share() {
        let memory = HeadMemory::default();
        let share = memory.share(Duration::from_secs(1)).await.expect("free");
        let mut head = Head::default();
        for _ in 0..3 {
            head.push(Bytes::from(vec![7; 2_000_000]));
        }
        let chunks = head.into_chunks(Some(share));
        assert_eq!((chunks.len(), free(&memory)), (3, MEMORY - SHARE as usize));
    }

    #[tokio::test]
    async fn single_bytes_are_joined_and_in_order() {
        let mut head = Head::default();
        let bytes: Vec<u8> = (0..=255).cycle().take(20_000).collect();
        for byte in &bytes {
            head.push(Bytes::copy_from_slice(&[*byte]));
        }
        assert_eq!(head.len(), bytes.len());
        let chunks = head.into_chunks(None);
        assert_eq!(chunks.len(), bytes.len().div_ceil(SMALL));
        assert_eq!(chunks.concat(), bytes);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_for_a_share_is_bounded_and_in_order() {
        let memory = HeadMemory::default();
        let limit = Duration::from_secs(20);
        let mut shares = Vec::new();
        for _ in 0..MEMORY / SHARE as usize {
            shares.push(memory.share(limit).await.expect("free"));
        }
        let failure = memory.share(limit).await.expect_err("all are taken");
        assert_eq!(failure.code(), Code::StoreTimeout);
        let next = memory.share(limit);
        let giving = async {
            tokio::time::sleep(limit / 2).await;
            shares.pop();
        };
        let (next, ()) = tokio::join!(next, giving);
        assert!(next.is_ok());
    }
}
