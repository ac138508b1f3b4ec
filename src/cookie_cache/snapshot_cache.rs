//! Snapshots that were read before. A browser sends the same cookie, byte for byte, until Better Auth sets a new
//! one, so it need not be parsed again. Only its expiry is checked for each request.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bounded_cache::{BoundedCache, Eviction};
use crate::identity::Identity;
use crate::signature::SessionToken;

/// One cookie per session, of the sessions that were added last.
const MAX_SESSIONS: usize = 10_000;
/// A longer cookie is parsed each time, so the cookies and their identities use at most 80 MB.
const MAX_CHARACTERS: usize = 4096;

/// The last cookie of each session.
#[derive(Clone)]
pub(super) struct SnapshotCache(Arc<Mutex<BoundedCache<SessionToken, Entry>>>);

struct Entry {
    data: Box<str>,
    identity: Arc<Identity>,
    /// When it was read. Before this time, for example if the clock was set back, it is read again.
    from_ms: f64,
    /// Its own expiry, exclusive.
    until_ms: f64,
}

impl Default for SnapshotCache {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(BoundedCache::new(MAX_SESSIONS, Eviction::OldestInserted))))
    }
}

impl SnapshotCache {
    /// The identity in exactly this cookie for this token, if the cookie has not expired.
    pub(super) fn get(&self, data: &str, token: &SessionToken, now_ms: f64) -> Option<Arc<Identity>> {
        let mut snapshots = self.lock();
        let entry = snapshots.get(token).filter(|entry| *entry.data == *data)?;
        (entry.from_ms..entry.until_ms).contains(&now_ms).then(|| Arc::clone(&entry.identity))
    }

    /// Caches a cookie's contents, which may be trusted from `from_ms` until `until_ms`.
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

    /// No code panics while it holds the lock, so the entries of a poisoned one are consistent.
    fn lock(&self) -> MutexGuard<'_, BoundedCache<SessionToken, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SnapshotCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotCache({})", self.lock().len())
    }
}
