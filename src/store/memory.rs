//! A store in memory, for tests of the code that uses a store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{LookupKey, LookupResult, Store};
use crate::clock::{Clock, ClockShift};
use crate::error::Error;
use crate::identity::{Identity, Session, User};
use crate::signature::SessionToken;

/// Sessions by token and users by id, and how many of both were looked up.
#[derive(Debug, Default)]
pub struct MemoryStore {
    rows: Mutex<Rows>,
    lookups: AtomicUsize,
    clock: ClockShift,
}

#[derive(Debug, Default)]
struct Rows {
    sessions: HashMap<String, Session>,
    users: HashMap<String, User>,
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
        let mut rows = self.rows();
        rows.sessions.extend(session.map(|session| (session.token.as_str().to_owned(), session)));
        rows.users.insert(user.id.clone(), user);
    }

    /// Ends a session.
    pub fn remove_session(&self, token: &SessionToken) {
        self.rows().sessions.remove(token.as_str());
    }

    /// Deletes a user, but none of their sessions.
    pub fn remove_user(&self, id: &str) {
        self.rows().users.remove(id);
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
        self.lookups.fetch_add(keys.len(), Ordering::Relaxed);
        let rows = self.rows();
        Ok(keys.iter().map(|key| rows.find(key)).collect())
    }
}
