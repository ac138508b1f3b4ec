//! What is open while requests are identified: connections, caches and tasks.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::counting_store::CountingStore;
use crate::authenticator::Unavailable;
use crate::cookie_cache::keys::PublicKeys;
use crate::counters::Counters;
use crate::error::Error;
use crate::guards::Guards;
use crate::jwt::jwks::http::HttpKeys;
use crate::jwt::jwks::{Jwks, TableKeys};
use crate::live_cache::{CachingStore, LiveCache};
use crate::lookup::Lookup;
use crate::settings::{KeyLocation, Settings};
use crate::store::memory::Following;
use crate::store::{AnyStore, KeyStore as _, Source};

/// Connections, caches and tasks.
pub(super) struct Open {
    /// None where JWTs alone identify requests, by their claims.
    store: Option<AnyStore>,
    lookup: Option<Arc<Lookup>>,
    /// Held once by each request that waits for the issuer's keys.
    pub(super) waiting: Arc<()>,
    pub(super) live_cache: Option<LiveCache>,
    pub(super) guards: Guards,
    /// The keys that verify JWTs.
    jwks: Option<Jwks>,
    reads_key_table: bool,
    /// Keeps the live cache and the guarded connections current where the store is in memory.
    _following: Option<Arc<Following>>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Open {
    /// Starts what the settings need. Does not connect yet.
    pub(super) fn start(
        settings: &Settings,
        source: &Source,
        keys: &PublicKeys,
        jwks: Option<&Jwks>,
        counters: &Arc<Counters>,
        runtime: &Handle,
    ) -> Result<Self, Error> {
        let has_store = settings.database.is_some() || matches!(source, Source::Memory(_));
        let clock = source.clock();
        let store = has_store.then(|| AnyStore::new(source, settings)).transpose()?;
        let shared = store.clone().map(Arc::new);
        let mut tasks = Vec::new();
        let mut spawn = |task: Task| tasks.push(AbortOnDropHandle::new(runtime.spawn(task)));
        if let Some(shared) = shared.as_ref().filter(|_| settings.freshness.uses_public_keys()) {
            if let AnyStore::Memory(store) = &**shared {
                // A test cannot wait until the task has read them.
                keys.replace(&store.public_key_rows(), clock.wall());
            }
            spawn(Box::pin(keys.clone().keep_current(Arc::clone(shared))));
        }
        if let (Some(jwt), Some(jwks)) = (&settings.jwt, jwks.cloned()) {
            match (&jwt.keys, &shared) {
                (KeyLocation::Url(url), _) => {
                    spawn(Box::pin(jwks.keep(Arc::new(HttpKeys::new(url)?), clock.clone())));
                }
                (KeyLocation::Table, Some(shared)) => {
                    spawn(Box::pin(jwks.keep(Arc::new(TableKeys(Arc::clone(shared))), clock.clone())));
                }
                (KeyLocation::Table, None) => {}
            }
        }
        let guards = Guards::new(settings, clock.clone());
        let mut following = match &store {
            // A test cannot wait for the regular re-check either.
            Some(AnyStore::Memory(store)) => Some(store.follow(guards.follow(()))),
            _ => None,
        };
        let live_cache = settings.freshness.live_cache().map(|chosen| {
            let (cache, writer) = LiveCache::new(chosen);
            match (&store, chosen.feed.clone()) {
                (Some(AnyStore::Postgres(store)), Some(feed)) => {
                    let (log, demand) = (cache.operator_log(), guards.demand(cache.demand()));
                    spawn(Box::pin(Arc::clone(store).feed(guards.follow(writer), log, demand, feed)));
                }
                (Some(AnyStore::Memory(store)), Some(_)) => {
                    following = Some(store.follow(guards.follow(writer)));
                }
                _ => {}
            }
            cache
        });
        let start = |shared: &Arc<AnyStore>| {
            let counting = Arc::new(CountingStore::new(shared, counters));
            match &live_cache {
                Some(cache) => {
                    let caching = CachingStore::new(&counting, cache, &clock);
                    Lookup::start(&Arc::new(caching), settings.limits, runtime)
                }
                None => Lookup::start(&counting, settings.limits, runtime),
            }
        };
        let lookup = shared.as_ref().map(start).map(Arc::new);
        spawn(Box::pin(guards.clone().watch(lookup.clone())));
        let reads_key_table = settings.jwt.as_ref().is_some_and(|jwt| jwt.keys == KeyLocation::Table);
        Ok(Self {
            store,
            lookup,
            waiting: Arc::default(),
            live_cache,
            guards,
            jwks: jwks.cloned(),
            reads_key_table,
            _following: following,
            _tasks: tasks,
        })
    }

    /// The lookups of the store.
    ///
    /// # Errors
    /// There is no store.
    pub(super) fn lookup(&self) -> Result<Arc<Lookup>, Error> {
        self.lookup.clone().ok_or_else(|| Unavailable::Database.into())
    }

    /// Connects and reads the catalog. `strict`: a `jwks` table that does not exist yet is an error too.
    pub(super) async fn connect(&self, deadline: Duration, strict: bool) -> Result<Vec<String>, Error> {
        let warnings = match &self.store {
            Some(store) => store.open().await?,
            None => Vec::new(),
        };
        if let (Some(store), Some(jwks), true) = (&self.store, &self.jwks, self.reads_key_table) {
            // A table that we may not read is reported at start.
            match store.public_keys().await {
                Err(error @ Error::MissingTables(_)) if !strict => {
                    jwks.note_failure(error);
                }
                read => drop(read?),
            }
        }
        self.jwks.iter().for_each(Jwks::want);
        if let Some(cache) = self.live_cache.as_ref().filter(|cache| cache.needs_feed()) {
            if let Some(store) = &self.store {
                store.check_ignored_columns().await?;
            }
            cache.want();
            // A feed that takes longer does not delay the start: until it works, requests query the store.
            let _late = timeout(deadline, cache.reported()).await;
        }
        Ok(warnings)
    }

    pub(super) fn waiting_for_lookups(&self) -> usize {
        self.lookup.as_ref().map_or(0, |lookup| lookup.waiting())
    }

    pub(super) fn store(&self) -> Option<&AnyStore> {
        self.store.as_ref()
    }

    pub(super) fn close(&self) {
        self.guards.close();
        self.store.iter().for_each(AnyStore::close);
    }
}
