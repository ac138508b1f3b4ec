//! A store in memory, for tests of the code that uses a store.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::{
    Change, Feed, Follower, Key, KeyStore, LookupKey, LookupResult, PublicKeyRow, SessionKey, Store, UserKey,
};
use crate::clock::{Clock, ClockShift, Uptime};
use crate::error::Error;
use crate::identity::{Identity, Session, User};
use crate::signature::SessionToken;

/// Sessions by token and users by id, and how many of both were looked up. Followers receive each change before the
/// method that makes it returns.
#[derive(Debug, Default)]
pub struct MemoryStore {
    rows: Mutex<Rows>,
    lookups: AtomicUsize,
    clock: ClockShift,
    is_unavailable: AtomicBool,
    followers: Mutex<Vec<Weak<Following>>>,
}

/// Passes notices to a follower for as long as it is held.
pub(crate) struct Following(Box<dyn Fn(&Notice) + Send + Sync>);

enum Notice {
    Changed(Change),
    Unavailable,
    Available,
}

#[derive(Debug, Default)]
struct Rows {
    sessions: HashMap<String, Session>,
    users: HashMap<String, User>,
    public_keys: Vec<PublicKeyRow>,
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Following(…)")
    }
}

impl MemoryStore {
    /// Creates a store with these sessions and their users.
    pub fn new(identities: impl IntoIterator<Item = Identity>) -> Self {
        let store = Self::default();
        identities.into_iter().for_each(|identity| store.insert(identity));
        store
    }

    /// Adds a user, and their session if there is one, or replaces them.
    pub fn insert(&self, Identity { session, user }: Identity) {
        let of_session = session.as_ref().map(|session| key_of(&session.token));
        let changed = of_session.into_iter().chain([Key::User(UserKey::of(&user.id))]).collect();
        let mut rows = self.rows();
        rows.sessions.extend(session.map(|session| (session.token.as_str().to_owned(), session)));
        rows.users.insert(user.id.clone(), user);
        drop(rows);
        self.notify(&Notice::Changed(Change::Of(changed)));
    }

    /// Ends a session.
    pub fn remove_session(&self, token: &SessionToken) {
        self.rows().sessions.remove(token.as_str());
        self.notify(&Notice::Changed(Change::Of(vec![key_of(token)])));
    }

    /// Deletes a user, but none of their sessions.
    pub fn remove_user(&self, id: &str) {
        self.rows().users.remove(id);
        self.notify(&Notice::Changed(Change::Of(vec![Key::User(UserKey::of(id))])));
    }

    /// Sets the rows of the `jwks` table.
    pub fn set_public_keys(&self, rows: Vec<PublicKeyRow>) {
        self.rows().public_keys = rows;
    }

    /// The rows of the `jwks` table.
    pub fn public_key_rows(&self) -> Vec<PublicKeyRow> {
        self.rows().public_keys.clone()
    }

    /// Begins or ends an outage: until it ends, every lookup fails, and followers trust nothing.
    pub fn set_unavailable(&self, is_unavailable: bool) {
        self.is_unavailable.store(is_unavailable, Ordering::SeqCst);
        self.notify(if is_unavailable { &Notice::Unavailable } else { &Notice::Available });
    }

    /// Fails during an outage.
    ///
    /// # Errors
    /// [`Error::Unavailable`]
    pub fn check_available(&self) -> Result<(), Error> {
        if self.is_unavailable.load(Ordering::SeqCst) {
            return Err(Error::unavailable("the in-memory store has an outage"));
        }
        Ok(())
    }

    /// Has a cache follow the changes for as long as the result is held.
    pub(crate) fn follow(&self, mut follower: impl Follower) -> Arc<Following> {
        let (feed, clock) = (follower.begin(), self.clock());
        let following = Arc::new(Following(Box::new(move |notice| match notice {
            Notice::Changed(change) => feed.apply(change),
            Notice::Unavailable => feed.suspend(),
            Notice::Available => feed.renew(clock.uptime().after(Duration::MAX), "memory"),
        })));
        if self.check_available().is_ok() {
            (following.0)(&Notice::Available);
        }
        self.followers().push(Arc::downgrade(&following));
        following
    }

    fn notify(&self, notice: &Notice) {
        let mut followers = self.followers();
        followers.retain(|follower| follower.strong_count() > 0);
        followers.iter().filter_map(Weak::upgrade).for_each(|follower| (follower.0)(notice));
    }

    fn followers(&self) -> MutexGuard<'_, Vec<Weak<Following>>> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock of the engines that use this store.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock.clock()
    }

    /// Moves that clock ahead.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// How many sessions and users were looked up.
    pub fn lookups(&self) -> usize {
        self.lookups.load(Ordering::Relaxed)
    }

    /// No code panics while it holds the lock, so the data of a poisoned one is consistent.
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn find(&self, key: &LookupKey) -> LookupResult {
        let (session, user_id) = match key {
            LookupKey::User(id) => (None, id.as_str()),
            LookupKey::Session(token) => match self.sessions.get(token.as_str()) {
                None => return LookupResult::NoSession,
                Some(session) => (Some(session), session.user_id.as_str()),
            },
        };
        let Some(user) = self.users.get(user_id) else { return LookupResult::NoUser };
        LookupResult::Found(Arc::new(Identity { session: session.cloned(), user: user.clone() }))
    }
}

impl Store for MemoryStore {
    async fn find(&self, keys: &[LookupKey]) -> Result<Vec<LookupResult>, Error> {
        self.check_available()?;
        self.lookups.fetch_add(keys.len(), Ordering::Relaxed);
        let rows = self.rows();
        Ok(keys.iter().map(|key| rows.find(key)).collect())
    }
}

impl KeyStore for MemoryStore {
    async fn public_keys(&self) -> Result<Vec<PublicKeyRow>, Error> {
        self.check_available()?;
        Ok(self.public_key_rows())
    }
}

/// Follows nothing, where there is no cache.
impl Follower for () {
    type Feed = ();

    fn begin(&mut self) {}
}

impl Feed for () {
    fn apply(&self, _change: &Change) {}
    fn renew(&self, _until: Uptime, _fingerprint: &str) {}
    fn suspend(&self) {}
    fn end(&self) {}
}

fn key_of(token: &SessionToken) -> Key {
    Key::Session(SessionKey::of(&LookupKey::from(token)))
}
