//! A store whose answers are kept.

use std::sync::Arc;

use super::LiveCache;
use crate::clock::Uptime;
use crate::error::Error;
use crate::store::{LookupKey, LookupResult, Store};

/// Asks another store and keeps what it says.
#[derive(Debug)]
pub struct CachingStore<S> {
    store: Arc<S>,
    cache: Arc<LiveCache>,
}

impl<S> CachingStore<S> {
    /// Keeps in `cache` what `store` says.
    pub fn new(store: &Arc<S>, cache: &Arc<LiveCache>) -> Self {
        Self { store: Arc::clone(store), cache: Arc::clone(cache) }
    }
}

impl<S: Store> Store for CachingStore<S> {
    async fn find(&self, keys: &[LookupKey]) -> Result<Vec<LookupResult>, Error> {
        let sent = self.cache.sent(Uptime::now());
        let answers = self.store.find(keys).await?;
        self.cache.keep(sent, keys, &answers);
        Ok(answers)
    }
}
