//! Which changes were notified lately: the result of a lookup that was sent before must not be cached.

use std::collections::{HashMap, VecDeque};

use crate::store::Key;

/// How many notifications are stored one by one. The result of a lookup during which more were received is not cached.
const MAX_STORED: usize = 4096;

/// Notifications, numbered in the order in which they were received.
#[derive(Debug, Default)]
pub(super) struct Invalidations {
    position: u64,
    /// The number of the last notification of everything, or of the last one that is no longer stored.
    complete_since: u64,
    order: VecDeque<(u64, Key)>,
    last: HashMap<Key, u64>,
}

impl Invalidations {
    /// The number of the last notification.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Whether neither this key nor everything was notified after that position, as far as is stored.
    pub(super) fn is_unchanged_since(&self, position: u64, key: &Key) -> bool {
        self.complete_since <= position && self.last.get(key).is_none_or(|last| *last <= position)
    }

    pub(super) fn note(&mut self, key: Key) {
        self.position += 1;
        self.order.push_back((self.position, key));
        self.last.insert(key, self.position);
        if self.order.len() > MAX_STORED
            && let Some((number, oldest)) = self.order.pop_front()
        {
            self.complete_since = number;
            if self.last.get(&oldest) == Some(&number) {
                self.last.remove(&oldest);
            }
        }
    }

    pub(super) fn note_everything(&mut self) {
        self.position += 1;
        self.complete_since = self.position;
        self.order.clear();
        self.last.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::UserKey;

    fn key(number: u16) -> Key {
        Key::User(UserKey::of(&number.to_string()))
    }

    #[test]
    fn a_key_is_unchanged_until_it_or_everything_is_notified() {
        let mut invalidations = Invalidations::default();
        let before = invalidations.position();
        invalidations.note(key(1));
        assert!(!invalidations.is_unchanged_since(before, &key(1)));
        assert!(invalidations.is_unchanged_since(before, &key(2)));
        assert!(invalidations.is_unchanged_since(invalidations.position(), &key(1)));
        invalidations.note_everything();
        assert!(!invalidations.is_unchanged_since(before, &key(2)));
        assert!(invalidations.is_unchanged_since(invalidations.position(), &key(2)));
    }

    #[test]
    fn a_notification_that_is_no_longer_stored_counts_for_every_key() {
        let mut invalidations = Invalidations::default();
        let before = invalidations.position();
        for number in 0..u16::try_from(MAX_STORED).unwrap_or_default() {
            invalidations.note(key(number));
        }
        assert!(invalidations.is_unchanged_since(before, &key(9999)));
        invalidations.note(key(8888));
        assert!(!invalidations.is_unchanged_since(before, &key(9999)));
        assert!(invalidations.is_unchanged_since(before + 1, &key(9999)));
        assert_eq!(invalidations.last.len(), invalidations.order.len());
    }

    #[test]
    fn the_last_notification_of_a_key_counts() {
        let mut invalidations = Invalidations::default();
        invalidations.note(key(1));
        let between = invalidations.position();
        invalidations.note(key(1));
        for number in 2..=u16::try_from(MAX_STORED).unwrap_or_default() {
            invalidations.note(key(number));
        }
        assert!(!invalidations.is_unchanged_since(between, &key(1)));
    }
}
