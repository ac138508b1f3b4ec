//! The answers themselves: bounded in number, in bytes and in age.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;

use crate::clock::{Moment, Uptime};
use crate::identity::Identity;
use crate::store::{Key, SessionKey, UserKey};

/// What an answer may take on average: their number times this is the bound on all together.
const BYTES_EACH: usize = 1024;

/// So many of a user's sessions are forgotten at a time: it takes a fraction of a millisecond.
pub(super) const PART: usize = 64;

/// What map and index take for one: a node of a list, a place in a table, and a place in a tree that may be
/// half empty.
const OVERHEAD: usize =
    size_of::<SessionKey>() + size_of::<Entry>() + 48 + 2 * size_of::<(UserKey, SessionKey)>();

#[derive(Debug)]
pub(super) struct SessionIndex {
    entries: LruCache<SessionKey, Entry>,
    /// A change of a user is one of all their sessions.
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
    /// When its look-up was sent: it may be older than its arrival.
    asked_at: Uptime,
}

impl SessionIndex {
    pub(super) fn new(max_entries: usize, max_age: Duration) -> Self {
        Self { entries: LruCache::unbounded(), by_user: BTreeSet::new(), bytes: 0, max_entries, max_age }
    }

    /// The answer, if it is young enough and its session goes on.
    pub(super) fn get(&mut self, key: &SessionKey, now: Moment) -> Option<Arc<Identity>> {
        let entry = self.entries.get(key)?;
        let is_current = entry.identity.session.as_ref().is_none_or(|session| session.expires_at >= now.wall);
        if entry.asked_at.after(self.max_age) > now.uptime && is_current {
            return Some(Arc::clone(&entry.identity));
        }
        self.remove(key);
        None
    }

    /// Those that were used least lately make room.
    pub(super) fn insert(
        &mut self,
        key: SessionKey,
        user: UserKey,
        identity: &Arc<Identity>,
        asked_at: Uptime,
    ) {
        self.remove(&key);
        let bytes = identity.bytes() + OVERHEAD;
        if bytes > self.max_bytes() {
            return;
        }
        self.bytes += bytes;
        self.by_user.insert((user, key));
        self.entries.put(key, Entry { user, identity: Arc::clone(identity), bytes, asked_at });
        while self.entries.len() > self.max_entries || self.bytes > self.max_bytes() {
            let Some((oldest, _)) = self.entries.peek_lru() else { return };
            let oldest = *oldest;
            self.remove(&oldest);
        }
    }

    pub(super) fn remove(&mut self, key: &SessionKey) -> Option<Entry> {
        let removed = self.entries.pop(key)?;
        self.bytes -= removed.bytes;
        self.by_user.remove(&(removed.user, *key));
        Some(removed)
    }

    /// Forgets what a notification names: a session, or [`PART`] of a user's, as long as there are so many.
    pub(super) fn forget(&mut self, changed: &Key) -> Vec<Entry> {
        let theirs: Vec<SessionKey> = match changed {
            Key::Session(key) => vec![*key],
            Key::User(user) => {
                let theirs = self.by_user.range((*user, SessionKey::FIRST)..);
                theirs.take_while(|(of, _)| of == user).take(PART).map(|(_, key)| *key).collect()
            }
        };
        theirs.iter().filter_map(|key| self.remove(key)).collect()
    }

    /// All of them; none is left.
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
