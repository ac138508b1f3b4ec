//! The cached results: bounded in number, in bytes and in age.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::bounded_cache::{BoundedCache, Eviction};
use crate::clock::{Moment, Uptime};
use crate::identity::Identity;
use crate::store::{Key, SessionKey, UserKey};

/// What an entry may take on average: the number of entries times this is the bound on all of them.
const BYTES_EACH: usize = 1024;

/// How many of a user's sessions are evicted at a time, which takes a fraction of a millisecond.
pub(super) const PART: usize = 64;

/// What map and index take for one entry: a node of a list, a slot in a table, and a slot in a tree that may be half
/// empty.
pub(super) const OVERHEAD: usize =
    size_of::<SessionKey>() + size_of::<Entry>() + 48 + 2 * size_of::<(UserKey, SessionKey)>();

#[derive(Debug)]
pub(super) struct SessionIndex {
    entries: BoundedCache<SessionKey, Entry>,
    /// A change of a user evicts all their sessions.
    by_user: BTreeSet<(UserKey, SessionKey)>,
    bytes: usize,
    max_entries: usize,
    max_age: Duration,
}

#[derive(Debug)]
pub(super) struct Entry {
    user: UserKey,
    identity: Arc<Identity>,
    bytes: usize,
    /// When its lookup was sent: the result may be older than its arrival.
    sent_at: Uptime,
}

impl SessionIndex {
    pub(super) fn new(max_entries: usize, max_age: Duration) -> Self {
        let entries = BoundedCache::new(max_entries, Eviction::LeastRecentlyUsed);
        Self { entries, by_user: BTreeSet::new(), bytes: 0, max_entries, max_age }
    }

    /// The identity, if the entry is young enough and its session has not expired.
    pub(super) fn get(&mut self, key: &SessionKey, now: Moment) -> Option<Arc<Identity>> {
        let entry = self.entries.get(key)?;
        let is_current = entry.identity.session.as_ref().is_none_or(|session| session.expires_at >= now.wall);
        if entry.sent_at.after(self.max_age) > now.uptime && is_current {
            return Some(Arc::clone(&entry.identity));
        }
        self.remove(key);
        None
    }

    /// Evicts the least recently used entries to make room, in number and in bytes.
    pub(super) fn insert(
        &mut self,
        key: SessionKey,
        user: UserKey,
        identity: &Arc<Identity>,
        sent_at: Uptime,
    ) {
        self.remove(&key);
        let bytes = identity.bytes() + OVERHEAD;
        if bytes > self.max_bytes() {
            return;
        }
        while self.entries.is_full() || self.bytes + bytes > self.max_bytes() {
            let Some((evicted, entry)) = self.entries.evict() else { return };
            self.unlink(&evicted, &entry);
        }
        self.bytes += bytes;
        self.by_user.insert((user, key));
        let _none = self.entries.insert(key, Entry { user, identity: Arc::clone(identity), bytes, sent_at });
    }

    pub(super) fn remove(&mut self, key: &SessionKey) -> Option<Entry> {
        let removed = self.entries.remove(key)?;
        self.unlink(key, &removed);
        Some(removed)
    }

    fn unlink(&mut self, key: &SessionKey, removed: &Entry) {
        self.bytes -= removed.bytes;
        self.by_user.remove(&(removed.user, *key));
    }

    /// Evicts what a notification is about: a session, or up to [`PART`] sessions of a user.
    pub(super) fn evict(&mut self, changed: &Key) -> Vec<Entry> {
        let theirs: Vec<SessionKey> = match changed {
            Key::Session(key) => vec![*key],
            Key::User(user) => {
                let theirs = self.by_user.range((*user, SessionKey::FIRST)..);
                theirs.take_while(|(of, _)| of == user).take(PART).map(|(_, key)| *key).collect()
            }
        };
        theirs.iter().filter_map(|key| self.remove(key)).collect()
    }

    /// All entries; none is left.
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(self.max_entries, self.max_age))
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn max_bytes(&self) -> usize {
        self.max_entries * BYTES_EACH
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
