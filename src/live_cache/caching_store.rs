//! A store whose results are cached.

use std::sync::Arc;

use super::LiveCache;
use crate::clock::Uptime;
use crate::error::Error;
use crate::store::{LookupKey, LookupResult, Store};

/// Queries another store and caches the results.
#[derive(Debug)]
pub struct CachingStore<S> {
    store: Arc<S>,
    cache: LiveCache,
}

impl<S> CachingStore<S> {
    /// Caches the results of `store` in `cache`.
    pub fn new(store: &Arc<S>, cache: &LiveCache) -> Self {
        Self { store: Arc::clone(store), cache: cache.clone() }
    }
}

impl<S: Store> Store for CachingStore<S> {
    async fn find(&self, keys: &[LookupKey]) -> Result<Vec<LookupResult>, Error> {
        let sent = self.cache.sent(Uptime::now());
        let results = self.store.find(keys).await?;
        self.cache.insert(sent, keys, &results);
        Ok(results)
    }

    async fn ping(&self) -> Result<(), Error> {
        self.store.ping().await
    }
}
