//! Cookies that were believed before. A browser shows the same one, byte for byte, until Better Auth sets a new
//! one: what it says need not be read again, only whether it still may be believed.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bounded_cache::{BoundedCache, Eviction};
use crate::identity::Identity;
use crate::signature::SessionToken;

/// One for each of so many sessions, of those that were read last.
const MAX_SESSIONS: usize = 10_000;
/// A longer one is read each time: together, with what they say, they take 80 MB at most.
const MAX_CHARACTERS: usize = 4096;

/// The last cookie of each session.
#[derive(Clone)]
pub(super) struct SnapshotCache(Arc<Mutex<BoundedCache<SessionToken, Entry>>>);

struct Entry {
    data: Box<str>,
    identity: Arc<Identity>,
    /// The time at which it was read. Before it, as where a clock was set back, it is read again.
    from_ms: f64,
    /// The end that it names itself, exclusive.
    until_ms: f64,
}

impl Default for SnapshotCache {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(BoundedCache::new(MAX_SESSIONS, Eviction::OldestInserted))))
    }
}

impl SnapshotCache {
    /// Whom this very cookie named beside this very token, if its own time has not passed.
    pub(super) fn get(&self, data: &str, token: &SessionToken, now_ms: f64) -> Option<Arc<Identity>> {
        let mut snapshots = self.lock();
        let entry = snapshots.get(token).filter(|entry| *entry.data == *data)?;
        (entry.from_ms..entry.until_ms).contains(&now_ms).then(|| Arc::clone(&entry.identity))
    }

    /// Remembers what a cookie says that may be believed from now on until then.
    pub(super) fn put(
        &self,
        data: &str,
        token: &SessionToken,
        identity: &Arc<Identity>,
        from_ms: f64,
        until_ms: f64,
    ) {
        if data.len() > MAX_CHARACTERS {
            return;
        }
        let entry = Entry { data: data.into(), identity: Arc::clone(identity), from_ms, until_ms };
        let evicted = self.lock().insert(token.clone(), entry);
        drop(evicted);
    }

    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, BoundedCache<SessionToken, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SnapshotCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotCache({})", self.lock().len())
    }
}
