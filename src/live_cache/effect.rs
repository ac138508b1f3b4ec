//! Whether the cache has an effect: how many requests hit it, and how many entries notifications evict.

use crate::store::Key;

/// How many requests are looked at together.
const WINDOW: u32 = 50;

/// What happened to the last requests, and since the cache was made.
#[derive(Debug, Default)]
pub(super) struct Effect {
    requests: u32,
    hits: u32,
    by_session: u32,
    by_user: u32,
    invalidated: u64,
    has_warned: bool,
}

impl Effect {
    /// Counts a request while the feed works. Returns a warning, once, when the cache hardly ever hits because
    /// notifications evict its entries.
    ///
    /// Entries that were never cached do not count: after a start, and where users come seldom, hits are rare too.
    pub(super) fn requested(&mut self, is_hit: bool) -> Option<String> {
        self.requests += 1;
        self.hits += u32::from(is_hit);
        if self.requests < WINDOW {
            return None;
        }
        let warning = self.warning();
        self.has_warned |= warning.is_some();
        (self.requests, self.hits, self.by_session, self.by_user) = (0, 0, 0, 0);
        warning
    }

    /// Counts the entries that one item of a notification evicted.
    pub(super) fn invalidated_by(&mut self, key: &Key, entries: usize) {
        let entries = u32::try_from(entries).unwrap_or(u32::MAX);
        self.invalidated += u64::from(entries);
        let evicted = match key {
            Key::Session(_) => &mut self.by_session,
            Key::User(_) => &mut self.by_user,
        };
        *evicted = evicted.saturating_add(entries);
    }

    /// Counts the entries that a notification of everything evicted.
    pub(super) fn invalidated_by_flush(&mut self, entries: usize) {
        self.invalidated += u64::try_from(entries).unwrap_or(u64::MAX);
    }

    /// How many entries notifications evicted, since the cache was made.
    pub(super) fn invalidated(&self) -> u64 {
        self.invalidated
    }

    fn warning(&self) -> Option<String> {
        let Self { requests, hits, by_session, by_user, has_warned, .. } = self;
        let evicted = by_session.saturating_add(*by_user);
        if *has_warned || hits * 10 > *requests || evicted.saturating_mul(2) < *requests {
            return None;
        }
        let table = if by_session >= by_user { "session" } else { "user" };
        Some(format!(
            "freshness \"live\": the cache had a hit for {hits} of the last {requests} requests, because notifications \
             evicted {evicted} entries. The likeliest cause: the application updates a row of the {table} table with \
             each request, in a column such as lastActivityAt. Let the triggers ignore changes of that column alone: \
             python -m auth_middleware migrate live --ignoring {table}.lastActivityAt,{table}.updatedAt"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{SessionKey, UserKey};

    /// So many requests, of which some are hits, and the entries that are evicted after each.
    fn window(effect: &mut Effect, hits: u32, key: &Key, evicted: usize) -> Vec<String> {
        let requested = |number: u32| {
            effect.invalidated_by(key, evicted);
            effect.requested(number < hits)
        };
        (0..WINDOW).filter_map(requested).collect()
    }

    const SESSION: Key = Key::Session(SessionKey::FIRST);

    #[test]
    fn a_row_that_is_touched_with_each_request_is_reported_once() {
        let mut effect = Effect::default();
        let [warning] = &window(&mut effect, 0, &SESSION, 1)[..] else { panic!("there is one warning") };
        assert!(warning.contains("0 of the last 50 requests"), "{warning}");
        assert!(warning.contains("evicted 50 entries"), "{warning}");
        assert!(warning.contains("migrate live --ignoring session.lastActivityAt"), "{warning}");
        assert_eq!(window(&mut effect, 0, &SESSION, 1), [""; 0]);
        assert_eq!(effect.invalidated(), u64::from(2 * WINDOW));
    }

    #[test]
    fn the_table_is_the_one_whose_rows_change() {
        let user = Key::User(UserKey::of("u1"));
        let warnings = window(&mut Effect::default(), 5, &user, 2);
        assert!(warnings[0].contains("--ignoring user.lastActivityAt"), "{warnings:?}");
    }

    #[test]
    fn a_cache_that_is_cold_or_answers_is_not_reported() {
        assert_eq!(window(&mut Effect::default(), 0, &SESSION, 0), [""; 0]);
        assert_eq!(window(&mut Effect::default(), 6, &SESSION, 1), [""; 0]);
        let mut effect = Effect::default();
        for _ in 0..WINDOW / 2 - 1 {
            effect.invalidated_by(&SESSION, 1);
        }
        assert_eq!(window(&mut effect, 0, &SESSION, 0), [""; 0]);
        for _ in 0..WINDOW / 2 {
            effect.invalidated_by(&SESSION, 1);
        }
        assert_eq!(window(&mut effect, 0, &SESSION, 0).len(), 1, "half of the requests is enough");
    }

    #[test]
    fn an_earlier_window_that_was_fine_does_not_hide_a_later_one() {
        let mut effect = Effect::default();
        assert_eq!(window(&mut effect, WINDOW, &SESSION, 0), [""; 0]);
        assert_eq!(window(&mut effect, 0, &SESSION, 1).len(), 1);
    }
}
