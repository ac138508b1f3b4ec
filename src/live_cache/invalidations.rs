//! What was notified lately: a look-up that was sent before must not be kept.

use std::collections::{HashMap, VecDeque};

use crate::store::Key;

/// So many notifications are remembered one by one. A look-up during which more were heard is not kept.
const REMEMBERED: usize = 4096;

/// Notifications by their numbers.
#[derive(Debug, Default)]
pub(super) struct Invalidations {
    position: u64,
    /// The last notification of everything, or the last of one that is remembered no more.
    forgotten: u64,
    order: VecDeque<(u64, Key)>,
    last: HashMap<Key, u64>,
}

impl Invalidations {
    /// The number of the last notification.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Whether neither this key nor everything was notified after that position, as far as is remembered.
    pub(super) fn is_quiet_since(&self, position: u64, key: &Key) -> bool {
        self.forgotten <= position && self.last.get(key).is_none_or(|last| *last <= position)
    }

    pub(super) fn note(&mut self, key: Key) {
        self.position += 1;
        self.order.push_back((self.position, key));
        self.last.insert(key, self.position);
        if self.order.len() > REMEMBERED
            && let Some((number, oldest)) = self.order.pop_front()
        {
            self.forgotten = number;
            if self.last.get(&oldest) == Some(&number) {
                self.last.remove(&oldest);
            }
        }
    }

    pub(super) fn note_everything(&mut self) {
        self.position += 1;
        self.forgotten = self.position;
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
    fn a_key_is_quiet_until_it_or_everything_is_notified() {
        let mut invalidations = Invalidations::default();
        let before = invalidations.position();
        invalidations.note(key(1));
        assert!(!invalidations.is_quiet_since(before, &key(1)));
        assert!(invalidations.is_quiet_since(before, &key(2)));
        assert!(invalidations.is_quiet_since(invalidations.position(), &key(1)));
        invalidations.note_everything();
        assert!(!invalidations.is_quiet_since(before, &key(2)));
        assert!(invalidations.is_quiet_since(invalidations.position(), &key(2)));
    }

    #[test]
    fn what_is_remembered_no_more_counts_as_notified() {
        let mut invalidations = Invalidations::default();
        let before = invalidations.position();
        for number in 0..u16::try_from(REMEMBERED).unwrap_or_default() {
            invalidations.note(key(number));
        }
        assert!(invalidations.is_quiet_since(before, &key(9999)));
        invalidations.note(key(8888));
        assert!(!invalidations.is_quiet_since(before, &key(9999)));
        assert!(invalidations.is_quiet_since(before + 1, &key(9999)));
        assert_eq!(invalidations.last.len(), invalidations.order.len());
    }

    #[test]
    fn the_last_of_a_keys_notifications_counts() {
        let mut invalidations = Invalidations::default();
        invalidations.note(key(1));
        let between = invalidations.position();
        invalidations.note(key(1));
        for number in 2..=u16::try_from(REMEMBERED).unwrap_or_default() {
            invalidations.note(key(number));
        }
        assert!(!invalidations.is_quiet_since(between, &key(1)));
    }
}
