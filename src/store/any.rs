//! The stores behind one type: the kind is chosen at run time.

use std::sync::Arc;

use chrono::TimeDelta;

use super::memory::MemoryStore;
use super::postgres::PostgresStore;
use super::{Connections, KeyStore, LookupKey, LookupResult, PublicKeyRow, Store};
use crate::clock::Clock;
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

impl Source {
    /// The clock of an engine with this source. Where sessions are in a database, nothing can shift it.
    #[must_use]
    pub fn clock(&self) -> Clock {
        match self {
            Self::Postgres => Clock::default(),
            Self::Memory(store) => store.clock(),
        }
    }
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
            Self::Memory(store) => store.check_available().map(|()| Vec::new()),
        }
    }

    /// Checks that the triggers of the live feed ignore no column that has to be current.
    pub(crate) async fn check_ignored_columns(&self) -> Result<(), Error> {
        match self {
            Self::Postgres(store) => store.check_ignored_columns().await,
            Self::Memory(_) => Ok(()),
        }
    }

    /// Warnings for an operator that came up since the last call.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        match self {
            Self::Postgres(store) => store.take_warnings(),
            Self::Memory(_) => Vec::new(),
        }
    }

    /// How lookups are sent, or what the triggers ignore: once it is known, and again when it changes.
    pub(crate) fn take_note(&self) -> Option<String> {
        match self {
            Self::Postgres(store) => store.take_note(),
            Self::Memory(_) => None,
        }
    }

    /// The column of a field of the `user` or `session` table, for messages.
    pub(crate) fn column(&self, is_user: bool, field: &str) -> Option<String> {
        match self {
            Self::Postgres(store) if is_user => store.user_column(field),
            Self::Postgres(store) => store.session_column(field),
            Self::Memory(_) => None,
        }
    }

    /// By how much the server's clock is ahead of ours, as measured when a connection was opened.
    pub(crate) fn clock_ahead(&self) -> Option<TimeDelta> {
        match self {
            Self::Postgres(store) => store.clock_ahead(),
            Self::Memory(_) => None,
        }
    }

    /// The connections of the pool; None where there is none.
    pub(crate) fn connections(&self) -> Option<Connections> {
        match self {
            Self::Postgres(store) => Some(store.connections()),
            Self::Memory(_) => None,
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

    async fn ping(&self) -> Result<(), Error> {
        match self {
            Self::Postgres(store) => store.ping().await,
            Self::Memory(store) => store.ping().await,
        }
    }
}

impl KeyStore for AnyStore {
    async fn public_keys(&self) -> Result<Vec<PublicKeyRow>, Error> {
        match self {
            Self::Postgres(store) => store.public_keys().await,
            Self::Memory(store) => store.public_keys().await,
        }
    }
}
