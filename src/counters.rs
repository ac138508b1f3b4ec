//! How many requests ended in which way, for `auth.counters`.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::refusal::Reason;

/// Counts from the creation of an engine. Atomic, so that no request waits for another one to count.
#[derive(Debug, Default)]
pub struct Counters {
    refused: [AtomicU64; Reason::ALL.len()],
    identified: AtomicU64,
    identified_by_cache: AtomicU64,
    unavailable: AtomicU64,
}

impl Counters {
    /// A request has a user.
    pub fn identified(&self) {
        self.identified.fetch_add(1, Ordering::Relaxed);
    }

    /// A request has a user, and the store was not queried.
    pub fn identified_by_cache(&self) {
        self.identified_by_cache.fetch_add(1, Ordering::Relaxed);
        self.identified();
    }

    /// A request was refused.
    pub fn refused(&self, reason: Reason) {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The store could not answer.
    pub fn unavailable(&self) {
        self.unavailable.fetch_add(1, Ordering::Relaxed);
    }

    /// Every count by its name. `cache` is the name of the cache in use; the other one's count is 0.
    #[must_use]
    pub fn by_name(&self, cache: Option<&str>) -> Vec<(&'static str, u64)> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let of_cache = |name| if cache == Some(name) { read(&self.identified_by_cache) } else { 0 };
        let refused =
            Reason::ALL.iter().zip(&self.refused).map(|(reason, count)| (reason.as_str(), read(count)));
        refused
            .chain([
                ("identified", read(&self.identified)),
                ("cookie_cache", of_cache("cookie_cache")),
                ("live_cache", of_cache("live_cache")),
                ("store_unavailable", read(&self.unavailable)),
            ])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_is_counted_by_its_own_name() {
        let counters = Counters::default();
        for (times, reason) in (1..).zip(Reason::ALL) {
            (0..times).for_each(|_| counters.refused(reason));
        }
        counters.identified();
        counters.identified_by_cache();
        counters.unavailable();
        let expected: Vec<(&str, u64)> = Reason::ALL
            .map(Reason::as_str)
            .into_iter()
            .zip(1..)
            .chain([("identified", 2), ("cookie_cache", 0), ("live_cache", 1), ("store_unavailable", 1)])
            .collect();
        assert_eq!(counters.by_name(Some("live_cache")), expected);
    }
}
