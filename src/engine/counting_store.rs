//! A store whose statements are counted.

use std::sync::Arc;

use crate::counters::Counters;
use crate::error::Error;
use crate::store::{LookupKey, LookupResult, Store};

/// Counts the batches that are sent to another store, and the keys in them.
pub(super) struct CountingStore<S> {
    store: Arc<S>,
    counters: Arc<Counters>,
}

impl<S> CountingStore<S> {
    pub(super) fn new(store: &Arc<S>, counters: &Arc<Counters>) -> Self {
        Self { store: Arc::clone(store), counters: Arc::clone(counters) }
    }
}

impl<S: Store> Store for CountingStore<S> {
    fn find(&self, keys: &[LookupKey]) -> impl Future<Output = Result<Vec<LookupResult>, Error>> + Send {
        self.counters.batch(keys.len());
        self.store.find(keys)
    }

    fn ping(&self) -> impl Future<Output = Result<(), Error>> + Send {
        self.store.ping()
    }
}
