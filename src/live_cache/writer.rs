//! The one that evicts from the cache what has changed, and renews its lease.

use std::sync::Arc;
use std::thread;

use super::session_index::PART;
use super::{Shared, State};
use crate::clock::Uptime;
use crate::store::{Change, Feed, Follower};
use crate::sync::MutexGuard;

/// How many sessions are dropped in about a millisecond.
const MANY: usize = 1000;

/// Follows the feeds of a cache, one after the other. It cannot be cloned: there is one.
#[derive(Debug)]
pub struct Writer(pub(super) Arc<Shared>);

/// One of its feeds. Once the next one has begun, it does nothing.
#[derive(Clone, Debug)]
pub struct CacheFeed {
    cache: Arc<Shared>,
    number: u64,
}

impl Follower for Writer {
    type Feed = CacheFeed;

    fn begin(&mut self) -> CacheFeed {
        let mut state = self.0.lock();
        state.feeds += 1;
        let number = state.feeds;
        state.feed = Some(number);
        revoke(state);
        CacheFeed { cache: Arc::clone(&self.0), number }
    }
}

impl CacheFeed {
    /// The cache, unless another feed has begun.
    fn lock(&self) -> Option<MutexGuard<'_, State>> {
        Some(self.cache.lock()).filter(|state| state.feed == Some(self.number))
    }
}

impl Feed for CacheFeed {
    fn apply(&self, change: &Change) {
        let Some(mut state) = self.lock() else { return };
        let Change::Of(keys) = change else {
            let entries = state.index.len();
            state.effect.invalidated_by_flush(entries);
            return evict_everything(state);
        };
        for key in keys {
            state.invalidations.note(*key);
            let mut evicted = state.index.evict(key);
            state.effect.invalidated_by(key, evicted.len());
            // A user's very many sessions are evicted in parts: requests wait for this lock.
            while evicted.len() == PART {
                drop(state);
                drop(evicted);
                state = self.cache.lock();
                evicted = state.index.evict(key);
                state.effect.invalidated_by(key, evicted.len());
            }
        }
    }

    fn renew(&self, until: Uptime, fingerprint: &str) {
        let Some(mut state) = self.lock() else { return };
        state.lease_end = Some(until);
        self.cache.has_reported.notify_one();
        if state.fingerprint.as_deref() != Some(fingerprint) {
            state.fingerprint = Some(fingerprint.to_owned());
            evict_everything(state);
        }
    }

    fn suspend(&self) {
        if let Some(state) = self.lock() {
            revoke(state);
        }
    }

    fn end(&self) {
        if let Some(mut state) = self.lock() {
            state.feed = None;
            revoke(state);
        }
    }
}

/// Nothing may be returned until the next heartbeat.
fn revoke(mut state: MutexGuard<'_, State>) {
    state.lease_end = None;
    state.fingerprint = None;
    evict_everything(state);
}

/// The entries are dropped outside of the lock, and many of them on a thread of their own: to drop a hundred thousand
/// sessions would delay the task that queries the store.
fn evict_everything(mut state: MutexGuard<'_, State>) {
    state.invalidations.note_everything();
    let evicted = state.index.take();
    drop(state);
    if evicted.len() > MANY {
        // If no thread can be started, they are dropped here.
        let _dropping =
            thread::Builder::new().name("auth_middleware eviction".into()).spawn(|| drop(evicted));
    }
}
