//! A store in memory, for tests of what stands above the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{LookupResult, Store};
use crate::error::Error;
use crate::identity::Identity;
use crate::signature::SessionToken;

/// Sessions by token, and how often it was asked.
#[derive(Debug, Default)]
pub struct MemoryStore {
    sessions: HashMap<String, Arc<Identity>>,
    asked: AtomicUsize,
}

impl MemoryStore {
    /// A store that knows these sessions.
    pub fn new(sessions: impl IntoIterator<Item = Identity>) -> Self {
        let by_token = |identity: Identity| (identity.session.token.as_str().to_owned(), Arc::new(identity));
        Self { sessions: sessions.into_iter().map(by_token).collect(), asked: AtomicUsize::new(0) }
    }

    /// How many tokens were asked for.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Store for MemoryStore {
    async fn find(&self, tokens: &[SessionToken]) -> Result<Vec<LookupResult>, Error> {
        self.asked.fetch_add(tokens.len(), Ordering::Relaxed);
        let find = |token: &SessionToken| {
            self.sessions
                .get(token.as_str())
                .map_or(LookupResult::NoSession, |found| LookupResult::Found(Arc::clone(found)))
        };
        Ok(tokens.iter().map(find).collect())
    }
}
