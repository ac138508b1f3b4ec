//! A store whose results are cached.

use std::sync::Arc;

use super::LiveCache;
use crate::clock::Clock;
use crate::error::Error;
use crate::store::{LookupKey, LookupResult, Store};

/// Queries another store and caches the results.
#[derive(Debug)]
pub struct CachingStore<S> {
    store: Arc<S>,
    cache: LiveCache,
    clock: Clock,
}

impl<S> CachingStore<S> {
    /// Caches the results of `store` in `cache`, from the time that they have by `clock`.
    pub fn new(store: &Arc<S>, cache: &LiveCache, clock: &Clock) -> Self {
        Self { store: Arc::clone(store), cache: cache.clone(), clock: clock.clone() }
    }
}

impl<S: Store> Store for CachingStore<S> {
    async fn find(&self, keys: &[LookupKey]) -> Result<Vec<LookupResult>, Error> {
        let sent = self.cache.sent(self.clock.uptime());
        let results = self.store.find(keys).await?;
        self.cache.insert(sent, keys, &results);
        Ok(results)
    }

    async fn ping(&self) -> Result<(), Error> {
        self.store.ping().await
    }
}
