//! The path of a request from its headers to an identity, and everything that is open meanwhile.
//!
//! 1. [`Engine::inspect`] decides from the headers and the caches, without waiting.
//! 2. [`Engine::look_up`] queries the store for the token that is left, in a batch with other requests.
//! 3. [`Authenticator::decide`] decides what the store's answer means at the time of the request.
//!
//! # Forks
//! Threads of ours write to the store's connections, the public keys and the live cache, and a child can be born while
//! one of them does. So a child leaks what its parent had opened, without a drop or a close, and opens its own.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::authenticator::{Authenticator, Verdict};
use crate::clock::Moment;
use crate::cookie_cache::keys::PublicKeys;
use crate::counters::Counters;
use crate::credentials::Request;
use crate::error::Error;
use crate::identity::Identity;
use crate::live_cache::{CachingStore, LiveCache};
use crate::lookup::{Gathered, Lookup, Waiter};
use crate::process;
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::signature::SessionToken;
use crate::store::{AnyStore, LookupResult, Source};

/// What the store's answer means for the request, or why there is none.
pub type Decision = Result<Result<Arc<Identity>, Refusal>, Arc<Error>>;

/// A look-up that is waiting or under way.
pub struct PendingLookup {
    /// Give it up to cancel the look-up.
    pub waiter: Arc<Waiter>,
    /// Set while the look-up waits for others to share its statement: call [`Lookup::send`] when no more come.
    pub to_send: Option<Arc<Lookup>>,
}

/// Identifies requests by one set of settings. Nothing is opened before it is needed.
pub struct Engine {
    settings: Settings,
    source: Source,
    runtime: fn() -> Result<Handle, Error>,
    counters: Arc<Counters>,
    /// Locked only by threads that call the engine. In Python those hold the GIL, as a thread that forks does, so no
    /// child is born with it locked.
    state: Mutex<Option<State>>,
}

/// What one process has.
struct State {
    process: u32,
    authenticator: Arc<Authenticator>,
    keys: PublicKeys,
    open: Option<Arc<Open>>,
}

impl Engine {
    /// An engine whose tasks run on `runtime`, which is called when something opens.
    ///
    /// # Errors
    /// [`Error::Configuration`] if the store cannot be opened with these settings.
    pub fn new(
        settings: Settings,
        source: Source,
        runtime: fn() -> Result<Handle, Error>,
    ) -> Result<Self, Error> {
        // Certificates are read again when it opens, but an unreadable one is reported now.
        AnyStore::new(&source, &settings)?;
        Ok(Self { settings, source, runtime, counters: Arc::default(), state: Mutex::default() })
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many requests ended in which way.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Decides from the headers and the caches as far as possible.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if a cache that is needed for it cannot be opened.
    pub fn inspect<'a>(
        &self,
        request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])>>,
    ) -> Result<Verdict, Error> {
        let now = Moment::now();
        let (authenticator, cache) = self.inspector()?;
        Ok(recall(authenticator.inspect(request, now.wall), cache.as_deref(), now))
    }

    /// Decides from a cookie's value, percent-encoded or not, and the caches. There are no headers, so the origin is
    /// not checked.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if a cache that is needed for it cannot be opened.
    pub fn inspect_value(&self, value: &str) -> Result<Verdict, Error> {
        let (authenticator, cache) = self.inspector()?;
        Ok(recall(authenticator.inspect_value(value), cache.as_deref(), Moment::now()))
    }

    /// Decides from the headers alone: never [`Verdict::Known`].
    pub fn inspect_for_store<'a>(
        &self,
        request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])>>,
    ) -> Verdict {
        self.authenticator().inspect_for_store(request)
    }

    /// The session cookie as it stands in the headers.
    pub fn session_cookie<'a>(
        &self,
        headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Option<Cow<'a, str>> {
        self.authenticator().session_cookie(headers)
    }

    /// Queries the store and calls `resolve` once with what its answer means now: from another thread, or at once if
    /// too many requests wait already. Only a look-up that was not sent yet is shared with other requests.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store cannot be opened.
    pub fn look_up(
        &self,
        token: &SessionToken,
        resolve: impl FnOnce(Decision) + Send + 'static,
    ) -> Result<PendingLookup, Error> {
        self.counters.saw_good_signature();
        let now = Utc::now();
        let lookup = Arc::clone(&self.open_now()?.lookup);
        let Gathered { waiter, waits_for_others } =
            lookup.gather(token, move |found| resolve(found.map(|found| Authenticator::decide(found, now))));
        Ok(PendingLookup { waiter, to_send: waits_for_others.then_some(lookup) })
    }

    /// Connects and reads the catalog. Returns what an operator should know.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Schema`].
    pub fn open(&self) -> impl Future<Output = Result<Vec<String>, Error>> + Send + use<> {
        // Before the future is polled, on the caller's thread: see `state`.
        let open = self.open_now();
        let deadline = self.settings.limits.lookup_timeout;
        let counters = Arc::clone(&self.counters);
        async move {
            let opened = async { open?.connect(deadline).await }.await;
            if matches!(opened, Err(Error::Unavailable { .. })) {
                counters.unavailable();
            }
            opened
        }
    }

    /// Closes the connections and drops the caches. The next use opens them anew.
    pub fn close(&self) {
        match self.lock().take() {
            Some(ours) if ours.is_ours() => ours.open.iter().for_each(|open| open.store.close()),
            parents => std::mem::forget(parents),
        }
    }

    /// Messages for an operator that came up since the last call.
    #[must_use]
    pub fn operator_messages(&self) -> Vec<String> {
        let state = self.lock();
        let Some(state) = state.as_ref().filter(|state| state.is_ours()) else { return Vec::new() };
        let of_feed =
            state.open.iter().flat_map(|open| &open.live_cache).flat_map(|cache| cache.take_messages());
        of_feed.chain(state.authenticator.take_message()).collect()
    }

    /// The number of sessions in the live cache, and the bytes that they take.
    #[must_use]
    pub fn cache_size(&self) -> (usize, usize) {
        let state = self.lock();
        let open = state.as_ref().filter(|state| state.is_ours()).and_then(|state| state.open.as_ref());
        open.and_then(|open| open.live_cache.as_ref()).map(|cache| cache.size()).unwrap_or_default()
    }

    /// What decides about headers. Opens what that needs.
    fn inspector(&self) -> Result<(Arc<Authenticator>, Option<Arc<LiveCache>>), Error> {
        let needs_open =
            self.settings.freshness.live_cache().is_some() || self.settings.freshness.uses_public_keys();
        if !needs_open {
            return Ok((self.authenticator(), None));
        }
        let mut state = self.lock();
        let state = self.of_this_process(&mut state);
        let cache = self.opened(state)?.live_cache.clone();
        Ok((Arc::clone(&state.authenticator), cache))
    }

    fn authenticator(&self) -> Arc<Authenticator> {
        Arc::clone(&self.of_this_process(&mut self.lock()).authenticator)
    }

    fn open_now(&self) -> Result<Arc<Open>, Error> {
        let mut state = self.lock();
        self.opened(self.of_this_process(&mut state)).cloned()
    }

    fn of_this_process<'a>(&self, state: &'a mut Option<State>) -> &'a mut State {
        if !state.as_ref().is_some_and(State::is_ours) {
            std::mem::forget(state.take());
        }
        state.get_or_insert_with(|| State::new(&self.settings))
    }

    fn opened<'a>(&self, state: &'a mut State) -> Result<&'a Arc<Open>, Error> {
        let open = match state.open.take() {
            Some(open) => open,
            None => Arc::new(Open::start(&self.settings, &self.source, &state.keys, &(self.runtime)()?)?),
        };
        Ok(state.open.insert(open))
    }

    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A child must not drop what its parent opened.
impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

impl State {
    fn new(settings: &Settings) -> Self {
        let keys = PublicKeys::default();
        let authenticator = Arc::new(Authenticator::new(settings, &keys));
        Self { process: process::id(), authenticator, keys, open: None }
    }

    fn is_ours(&self) -> bool {
        self.process == process::id()
    }
}

/// Looks into the live cache for what the headers left undecided.
fn recall(verdict: Verdict, cache: Option<&LiveCache>, now: Moment) -> Verdict {
    let (Verdict::Lookup(token), Some(cache)) = (&verdict, cache) else { return verdict };
    let cached = cache.get(token, now);
    // What has expired or was banned since is decided by the store: a ban may have been lifted.
    match cached.and_then(|identity| Authenticator::decide(LookupResult::Found(identity), now.wall).ok()) {
        Some(identity) => Verdict::Known(identity),
        None => verdict,
    }
}

/// Connections, caches and tasks.
struct Open {
    store: AnyStore,
    lookup: Arc<Lookup>,
    live_cache: Option<Arc<LiveCache>>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Open {
    /// Starts what the settings need. Does not connect yet.
    fn start(
        settings: &Settings,
        source: &Source,
        keys: &PublicKeys,
        runtime: &Handle,
    ) -> Result<Self, Error> {
        let store = AnyStore::new(source, settings)?;
        let shared = Arc::new(store.clone());
        let mut tasks = Vec::new();
        let mut spawn = |task: Task| tasks.push(AbortOnDropHandle::new(runtime.spawn(task)));
        if settings.freshness.uses_public_keys() {
            spawn(Box::pin(keys.clone().keep(Arc::clone(&shared))));
        }
        let live_cache = settings.freshness.live_cache().map(|chosen| {
            let cache = Arc::new(LiveCache::new(chosen));
            if let (AnyStore::Postgres(store), Some(feed)) = (&store, chosen.feed.clone()) {
                spawn(Box::pin(Arc::clone(store).feed(Arc::clone(&cache), feed)));
            }
            cache
        });
        let lookup = match &live_cache {
            Some(cache) => {
                Lookup::start(&Arc::new(CachingStore::new(&shared, cache)), settings.limits, runtime)
            }
            None => Lookup::start(&shared, settings.limits, runtime),
        };
        Ok(Self { store, lookup: Arc::new(lookup), live_cache, _tasks: tasks })
    }

    async fn connect(&self, deadline: Duration) -> Result<Vec<String>, Error> {
        let warnings = self.store.open().await?;
        if let Some(cache) = self.live_cache.as_ref().filter(|cache| cache.needs_feed()) {
            cache.want();
            // A feed that takes longer does not delay the start: until it works, requests query the store.
            let _late = timeout(deadline, cache.spoke()).await;
        }
        Ok(warnings)
    }
}
