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
    spent: VecDeque<Aged>,
    unspent: VecDeque<Aged>,
    stamp: u64,
}

#[derive(Debug)]
struct Aged {
    key: String,
    since_ms: u64,
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
        self.values.get(key).filter(|kept| fresh(kept.since_ms, self.ttl_ms, now)).map(|kept| &kept.value)
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.values.remove(key);
    }

    /// Puts a value, and forgets what is too old or too much. What is `held` stays.
    pub(super) fn put(&mut self, key: &str, value: V, spent: bool, now: u64, held: impl Fn(&str) -> bool) {
        self.stamp += 1;
        self.values.insert(key.to_owned(), Kept { value, since_ms: now, stamp: self.stamp });
        self.aged(key, spent, now);
        self.forget(true, now, |_| false);
        self.forget(false, now, held);
    }

    /// Changes a value and makes it spent, if there is one and it is to be changed.
    pub(super) fn spend(&mut self, key: &str, now: u64, change: impl FnOnce(&mut V) -> bool) {
        let ttl_ms = self.ttl_ms;
        let Some(kept) = self.values.get_mut(key).filter(|kept| fresh(kept.since_ms, ttl_ms, now)) else { return };
        if change(&mut kept.value) {
            self.stamp += 1;
            (kept.since_ms, kept.stamp) = (now, self.stamp);
            self.aged(key, true, now);
        }
    }

    /// The value of this key has now got its stamp.
    fn aged(&mut self, key: &str, spent: bool, now: u64) {
        let queue = if spent { &mut self.spent } else { &mut self.unspent };
        queue.push_back(Aged { key: key.to_owned(), since_ms: now, stamp: self.stamp });
        // Void items behind an old value that stays would otherwise be kept as long as it.
        if queue.len() > 2 * self.values.len() + 64 {
            let values = &self.values;
            queue.retain(|item| values.get(&item.key).is_some_and(|value| value.stamp == item.stamp));
        }
    }

    fn forget(&mut self, spent: bool, now: u64, held: impl Fn(&str) -> bool) {
        let mut queue = std::mem::take(if spent { &mut self.spent } else { &mut self.unspent });
        let mut kept = Vec::new();
        // Void or not: no item behind one that is neither too old nor too much is either. Its value need not be looked up.
        while let Some(item) =
            queue.pop_front_if(|item| self.values.len() > self.most || !fresh(item.since_ms, self.ttl_ms, now))
        {
            if self.values.get(&item.key).is_none_or(|value| value.stamp != item.stamp) {
                continue;
            }
            if held(&item.key) {
                // Bounded by the number of jobs in flight.
                kept.push(item);
            } else {
                self.values.remove(&item.key);
            }
        }
        for item in kept.into_iter().rev() {
            queue.push_front(item);
        }
        *(if spent { &mut self.spent } else { &mut self.unspent }) = queue;
    }
}

fn fresh(since_ms: u64, ttl_ms: u64, now: u64) -> bool {
    now.saturating_sub(since_ms) < ttl_ms
}
