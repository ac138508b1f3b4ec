//! The stores behind one type: the kind is chosen at run time.

use std::sync::Arc;

use super::memory::MemoryStore;
use super::postgres::PostgresStore;
use super::{KeyStore, LookupKey, LookupResult, PublicKeyRow, Store};
use crate::error::Error;
use crate::settings::Settings;

/// Where sessions are looked up.
#[derive(Clone, Debug)]
pub enum Source {
    /// The database of the settings.
    Postgres,
    /// Sessions in memory.
    Memory(Arc<MemoryStore>),
}

/// A store of either kind.
#[derive(Clone)]
pub(crate) enum AnyStore {
    Postgres(Arc<PostgresStore>),
    Memory(Arc<MemoryStore>),
}

impl AnyStore {
    /// Connects to nothing yet.
    pub(crate) fn new(source: &Source, settings: &Settings) -> Result<Self, Error> {
        match source {
            Source::Postgres => Ok(Self::Postgres(Arc::new(PostgresStore::new(settings)?))),
            Source::Memory(store) => Ok(Self::Memory(Arc::clone(store))),
        }
    }

    /// Connects. Returns what an operator should know.
    pub(crate) async fn open(&self) -> Result<Vec<String>, Error> {
        match self {
            Self::Postgres(store) => store.open().await,
            Self::Memory(_) => Ok(Vec::new()),
        }
    }

    pub(crate) fn close(&self) {
        if let Self::Postgres(store) = self {
            store.close();
        }
    }
}

impl Store for AnyStore {
    async fn find(&self, keys: &[LookupKey]) -> Result<Vec<LookupResult>, Error> {
        match self {
            Self::Postgres(store) => store.find(keys).await,
            Self::Memory(store) => store.find(keys).await,
        }
    }
}

impl KeyStore for AnyStore {
    async fn public_keys(&self) -> Result<Vec<PublicKeyRow>, Error> {
        match self {
            Self::Postgres(store) => store.public_keys().await,
            Self::Memory(_) => Ok(Vec::new()),
        }
    }
}
