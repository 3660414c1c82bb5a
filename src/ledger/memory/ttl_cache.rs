//! A bounded map whose values expire.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// At most so many values, each for so long. The oldest of those that are spent goes first.
#[derive(Debug)]
pub(super) struct TtlCache<V> {
    most: usize,
    ttl_ms: u64,
    values: HashMap<String, Kept<V>>,
    /// Keys by age, spent and not. One item for each time a value was put; an item whose stamp is not its value's is void.
    spent: VecDeque<(String, u64)>,
    unspent: VecDeque<(String, u64)>,
    stamp: u64,
}

#[derive(Debug)]
struct Kept<V> {
    value: V,
    since_ms: u64,
    stamp: u64,
}

impl<V> TtlCache<V> {
    pub(super) fn new(most: usize, ttl: Duration) -> Self {
        Self {
            most: most.max(1),
            ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
            values: HashMap::new(),
            spent: VecDeque::new(),
            unspent: VecDeque::new(),
            stamp: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Items of age whose values have gone or changed.
    #[cfg(test)]
    pub(super) fn void(&self) -> usize {
        self.spent.len() + self.unspent.len() - self.values.len()
    }

    /// The value, unless it is too old.
    pub(super) fn get(&self, key: &str, now: u64) -> Option<&V> {
        self.values.get(key).filter(|kept| self.fresh(kept, now)).map(|kept| &kept.value)
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.values.remove(key);
    }

    /// Puts a value, and forgets what is too old or too much. What is `held` stays.
    pub(super) fn put(&mut self, key: &str, value: V, spent: bool, now: u64, held: impl Fn(&str) -> bool) {
        self.stamp += 1;
        self.values.insert(key.to_owned(), Kept { value, since_ms: now, stamp: self.stamp });
        let queue = if spent { &mut self.spent } else { &mut self.unspent };
        queue.push_back((key.to_owned(), self.stamp));
        // Void items behind an old value that stays would otherwise be kept as long as it.
        if queue.len() > 2 * self.values.len() + 64 {
            let values = &self.values;
            queue.retain(|(key, stamp)| values.get(key).is_some_and(|value| value.stamp == *stamp));
        }
        self.forget(true, now, |_| false);
        self.forget(false, now, held);
    }

    fn forget(&mut self, spent: bool, now: u64, held: impl Fn(&str) -> bool) {
        let mut queue = std::mem::take(if spent { &mut self.spent } else { &mut self.unspent });
        let mut kept = Vec::new();
        while let Some((key, stamp)) = queue.pop_front() {
            let Some(value) = self.values.get(&key).filter(|value| value.stamp == stamp) else { continue };
            let void = self.values.len() > self.most || !self.fresh(value, now);
            if void && held(&key) {
                // Bounded by the number of jobs in flight.
                kept.push((key, stamp));
            } else if void {
                self.values.remove(&key);
            } else {
                queue.push_front((key, stamp));
                break;
            }
        }
        for item in kept.into_iter().rev() {
            queue.push_front(item);
        }
        *(if spent { &mut self.spent } else { &mut self.unspent }) = queue;
    }

    fn fresh(&self, kept: &Kept<V>, now: u64) -> bool {
        now.saturating_sub(kept.since_ms) < self.ttl_ms
    }
}
