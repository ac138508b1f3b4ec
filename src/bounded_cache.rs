//! A map of a bounded size. Who puts an entry in when it is full decides which one goes: the eviction policy.

use std::fmt;
use std::hash::Hash;

use lru::LruCache;

/// Which entry makes room for a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eviction {
    /// The one that was inserted first. Reading changes nothing, which is cheaper.
    OldestInserted,
    /// The one that was not read for the longest time.
    LeastRecentlyUsed,
}

/// At most `max_entries` entries. It grows as it fills.
pub(crate) struct BoundedCache<K: Hash + Eq, V> {
    entries: LruCache<K, V>,
    max_entries: usize,
    eviction: Eviction,
}

impl<K: Hash + Eq, V> BoundedCache<K, V> {
    pub(crate) fn new(max_entries: usize, eviction: Eviction) -> Self {
        Self { entries: LruCache::unbounded(), max_entries, eviction }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<&V> {
        match self.eviction {
            Eviction::OldestInserted => self.entries.peek(key),
            Eviction::LeastRecentlyUsed => self.entries.get(key),
        }
    }

    /// Inserts an entry. Returns what had to go, for the caller to drop outside of a lock: the entry of the same key, and
    /// the one that was evicted.
    #[must_use = "dropping it may take long, or run an application's code"]
    pub(crate) fn insert(&mut self, key: K, value: V) -> [Option<V>; 2] {
        let replaced = self.entries.put(key, value);
        let evicted = if self.entries.len() > self.max_entries { self.evict() } else { None };
        [replaced, evicted.map(|(_, value)| value)]
    }

    /// Removes the entry that is the next to go.
    pub(crate) fn evict(&mut self) -> Option<(K, V)> {
        self.entries.pop_lru()
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.pop(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= self.max_entries
    }
}

/// Never an entry: they are secrets.
impl<K: Hash + Eq, V> fmt::Debug for BoundedCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoundedCache({} of {})", self.entries.len(), self.max_entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of "a", "b", "c" are left after "a" was read and "c" came.
    fn left(eviction: Eviction) -> Vec<&'static str> {
        let mut cache = BoundedCache::new(2, eviction);
        assert_eq!([cache.insert("a", 1), cache.insert("b", 2)], [[None, None], [None, None]]);
        assert_eq!(cache.get(&"a"), Some(&1));
        let [replaced, evicted] = cache.insert("c", 3);
        assert_eq!(replaced, None);
        assert!(evicted.is_some());
        ["a", "b", "c"].into_iter().filter(|key| cache.get(key).is_some()).collect()
    }

    #[test]
    fn each_policy_evicts_its_own_entry() {
        assert_eq!(left(Eviction::OldestInserted), ["b", "c"]);
        assert_eq!(left(Eviction::LeastRecentlyUsed), ["a", "c"]);
    }

    #[test]
    fn an_entry_of_the_same_key_is_replaced_and_evicts_nothing() {
        let mut cache = BoundedCache::new(1, Eviction::OldestInserted);
        assert_eq!(cache.insert("a", 1), [None, None]);
        assert!(cache.is_full());
        assert_eq!(cache.insert("a", 2), [Some(1), None]);
        assert_eq!(cache.get(&"a"), Some(&2));
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn debug_shows_no_entry() {
        let mut cache = BoundedCache::new(2, Eviction::OldestInserted);
        assert_eq!(cache.insert("secret", "token"), [None, None]);
        assert_eq!(format!("{cache:?}"), "BoundedCache(1 of 2)");
    }
}
