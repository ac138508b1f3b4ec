//! A store in memory, for tests of what stands above the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{LookupKey, LookupResult, Store};
use crate::error::Error;
use crate::identity::Identity;

/// Sessions by token, users by id, and how often it was asked.
#[derive(Debug, Default)]
pub struct MemoryStore {
    sessions: HashMap<String, Arc<Identity>>,
    users: HashMap<String, Arc<Identity>>,
    asked: AtomicUsize,
}

impl MemoryStore {
    /// A store that knows these sessions and users.
    pub fn new(sessions: impl IntoIterator<Item = Identity>) -> Self {
        let mut store = Self::default();
        for identity in sessions {
            let user = Identity { session: None, user: identity.user.clone() };
            store.users.insert(user.user.id.clone(), Arc::new(user));
            if let Some(token) = identity.session.as_ref().map(|session| session.token.as_str().to_owned()) {
                store.sessions.insert(token, Arc::new(identity));
            }
        }
        store
    }

    /// How many keys were asked for.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Store for MemoryStore {
    async fn find(&self, keys: &[LookupKey]) -> Result<Vec<LookupResult>, Error> {
        self.asked.fetch_add(keys.len(), Ordering::Relaxed);
        let find = |key: &LookupKey| {
            let (found, missing) = match key {
                LookupKey::Session(token) => (self.sessions.get(token.as_str()), LookupResult::NoSession),
                LookupKey::User(id) => (self.users.get(id.as_str()), LookupResult::NoUser),
            };
            found.map_or(missing, |found| LookupResult::Found(Arc::clone(found)))
        };
        Ok(keys.iter().map(find).collect())
    }
}
