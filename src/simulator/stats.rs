//! Who called, what was answered, and what the vendor would have billed.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::body::ImageDigest;
use super::fault::Fault;

/// Images counted one by one. Above this, calls for further images are counted in everything but the map: some 100 MB, far
/// above what a test run sends, and a bound for a simulator that is left running.
const MAX_IMAGES: usize = 1_000_000;

/// The counters since the start or the last reset.
///
/// `calls` = answered + abandoned + cut off on purpose (`reset-after`) + still being answered. `calls`, `rejected`, `aborted_bodies` and what
/// `by_fault` has of `reset-before`, `refused-stream`, `early-…` and `lingering-…` add up to the requests that have been decided about. A request behind a
/// GOAWAY is counted nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stats {
    /// Requests that passed every check with a complete body, whatever was answered: a verdict, a fault, 429.
    pub calls: u64,
    /// Calls for which the vendor would have done the work: those with a verdict and those with a fault for which
    /// [`Fault::is_billed`](super::Fault::is_billed) holds. A call is billed the moment its body is complete; that the client leaves during the
    /// latency changes nothing.
    pub billed: u64,
    /// Requests that failed a check: answered with 400, 401, 403, 404, 405, 408, 413, 415 or 422 without being asked for by a fault.
    pub rejected: u64,
    /// Requests whose client left before the body was complete. Neither called nor billed.
    pub aborted_bodies: u64,
    /// Calls whose client left, or whose connection broke, before an answer was there. All `hang`s end here.
    pub abandoned: u64,
    /// Answers by status, rejected and early ones included.
    pub by_status: BTreeMap<u16, u64>,
    /// Injected faults by kind, `rate-limit`, and `goaway` for each connection that was ended by one. A request that met `hang-connection` is also counted as
    /// what then became of it.
    pub by_fault: BTreeMap<String, u64>,
    /// Requests between their headers and the end of their answer.
    pub in_flight: u64,
    /// The most there have been at once.
    pub max_in_flight: u64,
    /// Connections accepted, those of the admin endpoints included.
    pub connections: u64,
    /// Connections open now.
    pub open_connections: u64,
    /// By the SHA-256 of the image in lower-case hexadecimal. Absent when not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<BTreeMap<String, ImageCount>>,
    /// Calls that are missing in `images` because it is full (a million images).
    pub images_left_out: u64,
}

/// What happened to one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageCount {
    /// As in [`Stats::calls`].
    pub calls: u64,
    /// As in [`Stats::billed`].
    pub billed: u64,
    /// Billed calls that were answered with 200 and no verdict, because a fault asked for it. Left out while there is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub garbled: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The counters, and a signal that they changed.
#[derive(Default)]
pub(super) struct Counters {
    counts: Mutex<Counts>,
    changed: Notify,
}

#[derive(Default)]
struct Counts {
    stats: Stats,
    images: HashMap<ImageDigest, ImageCount>,
}

/// One request, from its headers to the end of its answer. Dropping it settles what was not settled: the drop is how a
/// client that leaves is noticed.
pub(super) struct Ticket {
    counters: Arc<Counters>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Arriving,
    Called,
    Settled,
}

/// An open connection.
pub(super) struct Line {
    counters: Arc<Counters>,
}

// === impl Counters ===

impl Counters {
    /// The counters as they are; `images` copies the map.
    pub(super) fn stats(&self, images: bool) -> Stats {
        let counts = self.lock();
        let images = images.then(|| counts.images.iter().map(|(digest, count)| (hex(digest), *count)).collect());
        Stats { images, ..counts.stats.clone() }
    }

    /// Everything back to zero, but for what is open or in flight right now.
    pub(super) fn reset(&self) {
        let mut counts = self.lock();
        let Stats { in_flight, open_connections, .. } = counts.stats;
        let stats = Stats { in_flight, max_in_flight: in_flight, open_connections, ..Stats::default() };
        *counts = Counts { stats, images: HashMap::new() };
        drop(counts);
        self.changed.notify_waiters();
    }

    /// Returns when `condition` holds; it is looked at now and after every change.
    pub(super) async fn wait_until(&self, condition: impl Fn(&Stats) -> bool) -> Stats {
        loop {
            // Registered before the look, so that a change between look and wait is not missed.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let stats = self.stats(false);
            if condition(&stats) {
                return stats;
            }
            changed.await;
        }
    }

    pub(super) fn arrive(self: &Arc<Self>) -> Ticket {
        self.change(|Counts { stats, .. }| {
            stats.in_flight += 1;
            stats.max_in_flight = stats.max_in_flight.max(stats.in_flight);
        });
        Ticket { counters: Arc::clone(self), phase: Phase::Arriving }
    }

    pub(super) fn connect(self: &Arc<Self>) -> Line {
        self.change(|Counts { stats, .. }| {
            stats.connections += 1;
            stats.open_connections += 1;
        });
        Line { counters: Arc::clone(self) }
    }

    /// Something went wrong on purpose that is no end of a request.
    pub(super) fn count_fault(&self, name: &str) {
        self.change(|Counts { stats, .. }| *stats.by_fault.entry(name.to_owned()).or_default() += 1);
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.lock());
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Ticket ===

impl Ticket {
    /// A check failed.
    pub(super) fn reject(&mut self, status: StatusCode) {
        self.phase = Phase::Settled;
        self.counters.change(|Counts { stats, .. }| {
            stats.rejected += 1;
            *stats.by_status.entry(status.as_u16()).or_default() += 1;
        });
    }

    /// The request ends on purpose before its body is read, with or without an answer.
    pub(super) fn end_before_body(&mut self, fault: Fault, status: Option<StatusCode>) {
        self.phase = Phase::Settled;
        self.counters.change(|Counts { stats, .. }| {
            *stats.by_fault.entry(fault.to_string()).or_default() += 1;
            if let Some(status) = status {
                *stats.by_status.entry(status.as_u16()).or_default() += 1;
            }
        });
    }

    /// Every check has passed and the body is complete.
    pub(super) fn call(&mut self, digest: ImageDigest, fault: Option<Fault>) {
        let (billed, garbled) = fault.map_or((true, false), |fault| (fault.is_billed(), fault.is_garbled()));
        self.count(digest, billed, garbled, fault.map(|fault| fault.to_string()));
    }

    /// As [`call`](Self::call), for one that comes too soon: it is answered, and not billed.
    pub(super) fn call_too_soon(&mut self, digest: ImageDigest) {
        self.count(digest, false, false, Some("rate-limit".to_owned()));
    }

    fn count(&mut self, digest: ImageDigest, billed: bool, garbled: bool, fault: Option<String>) {
        self.phase = Phase::Called;
        self.counters.change(|Counts { stats, images }| {
            stats.calls += 1;
            stats.billed += u64::from(billed);
            if let Some(fault) = fault {
                *stats.by_fault.entry(fault).or_default() += 1;
            }
            let full = images.len() >= MAX_IMAGES;
            let count = match images.entry(digest) {
                Entry::Vacant(_) if full => {
                    stats.images_left_out += 1;
                    return;
                }
                entry => entry.or_default(),
            };
            count.calls += 1;
            count.billed += u64::from(billed);
            count.garbled += u64::from(garbled);
        });
    }

    /// The connection is reset on purpose instead of an answer.
    pub(super) fn cut(&mut self) {
        self.phase = Phase::Settled;
    }

    /// An answer is there.
    pub(super) fn answer(&mut self, status: StatusCode) {
        self.phase = Phase::Settled;
        self.counters.change(|Counts { stats, .. }| {
            *stats.by_status.entry(status.as_u16()).or_default() += 1;
        });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let phase = self.phase;
        self.counters.change(|Counts { stats, .. }| {
            stats.in_flight = stats.in_flight.saturating_sub(1);
            match phase {
                Phase::Arriving => stats.aborted_bodies += 1,
                Phase::Called => stats.abandoned += 1,
                Phase::Settled => {}
            }
        });
    }
}

// === impl Line ===

impl Drop for Line {
    fn drop(&mut self) {
        self.counters.change(|Counts { stats, .. }| {
            stats.open_connections = stats.open_connections.saturating_sub(1);
        });
    }
}

fn hex(digest: &ImageDigest) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16);
    digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).flatten().collect()
}
