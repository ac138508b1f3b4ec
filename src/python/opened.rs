//! What lives only while an authenticator is open, and only in the process that opened it.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::process;
use crate::authenticator::{Authenticator, Verdict};
use crate::clock::Moment;
use crate::cookie_cache::keys::PublicKeys;
use crate::credentials::Request;
use crate::error::Error;
use crate::live_cache::{CachingStore, LiveCache};
use crate::lookup::Lookup;
use crate::settings::{Settings, Strategy};
use crate::store::postgres::PostgresStore;

/// Threads of ours write to all of it, and a child could be born while one does: so a child leaks its
/// parent's and makes its own.
pub(super) struct Opened {
    process: u32,
    pub(super) store: Arc<PostgresStore>,
    pub(super) lookup: Arc<Lookup>,
    authenticator: Authenticator,
    pub(super) live_cache: Option<LiveCache>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Opened {
    /// Whether headers are decided by what only an open authenticator has.
    pub(super) fn is_needed_to_inspect(settings: &Settings) -> bool {
        settings.freshness.live_cache().is_some() || uses_public_keys(settings)
    }

    /// Starts what the settings ask for. Connects to nothing yet.
    pub(super) fn start(settings: &Settings, runtime: &Handle) -> Result<Self, Error> {
        let store = Arc::new(PostgresStore::new(settings)?);
        let mut tasks = Vec::new();
        let mut spawn = |task| tasks.push(AbortOnDropHandle::new(runtime.spawn::<BoxedTask>(task)));
        let keys = PublicKeys::default();
        if uses_public_keys(settings) {
            spawn(Box::pin(keys.clone().keep(Arc::clone(&store))));
        }
        let live_cache = settings.freshness.live_cache().map(|chosen| {
            let (cache, writer) = LiveCache::new(chosen);
            if let Some(feed) = chosen.feed.clone() {
                let (log, demand) = (cache.operator_log(), cache.demand());
                spawn(Box::pin(Arc::clone(&store).feed(writer, log, demand, feed)));
            }
            cache
        });
        let lookup = match &live_cache {
            Some(cache) => {
                Lookup::start(&Arc::new(CachingStore::new(&store, cache)), settings.limits, runtime)
            }
            None => Lookup::start(&store, settings.limits, runtime),
        };
        Ok(Self {
            process: process::id(),
            store,
            lookup: Arc::new(lookup),
            authenticator: Authenticator::new(settings, &keys),
            live_cache,
            _tasks: tasks,
        })
    }

    pub(super) fn is_ours(&self) -> bool {
        self.process == process::id()
    }

    /// Decides from the headers and from what is kept.
    pub(super) fn inspect<'a>(
        &self,
        request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])>>,
        now: Moment,
    ) -> Verdict {
        self.recall(self.authenticator.inspect(request, now.wall), now)
    }

    /// Decides from what is kept, where the headers did not.
    pub(super) fn recall(&self, verdict: Verdict, now: Moment) -> Verdict {
        match &self.live_cache {
            Some(cache) => Authenticator::recall(verdict, cache, now),
            None => verdict,
        }
    }

    /// Connects, so that trouble shows at start. Gives what an operator should know.
    pub(super) async fn open(&self, deadline: Duration) -> Result<Vec<String>, Error> {
        let warnings = self.store.open().await?;
        if let Some(cache) = self.live_cache.as_ref().filter(|cache| cache.needs_feed()) {
            cache.want();
            // A feed that takes longer is no reason not to start: until it works, requests ask the store.
            let _late = timeout(deadline, cache.reported()).await;
        }
        Ok(warnings)
    }
}

type BoxedTask = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn uses_public_keys(settings: &Settings) -> bool {
    settings.freshness.cookie_cache().is_some_and(|cache| cache.strategy == Strategy::Jwks)
}
