//! The path of a request from its headers to an identity, and everything that is open meanwhile.
//!
//! 1. [`Engine::inspect`] decides from the headers and the caches, without waiting.
//! 2. [`Engine::look_up`] queries the store for the token that is left, in a batch with other requests.
//! 3. [`Authenticator::decide`] decides what the store's answer means at the time of the request.
//!
//! # Forks
//! Threads of ours write to the store's connections, the public keys and the live cache, and a child can be born while
//! one of them does. So a child leaks what its parent had opened, without a drop or a close, and opens its own.

mod counting_store;
mod decision;
mod guarding;
mod open;
mod usage;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use self::decision::decide;
use self::open::Open;
pub use self::usage::Usage;
use crate::advice::advice;
use crate::authenticator::{Authenticator, Need, Unavailable, Verdict};
use crate::checks::Checks;
use crate::clock::{Clock, Moment, Uptime};
use crate::cookie_cache::keys::PublicKeys;
use crate::counters::{Counters, Fault};
use crate::credentials::{Credential, Request};
use crate::error::Error;
use crate::identity::Identity;
use crate::jwt::{PendingToken, UserToken};
use crate::live_cache::LiveCache;
use crate::lookup::{Gathered, Lookup, Waiter};
use crate::process;
use crate::refusal::Refusal;
use crate::settings::{JwtFreshness, JwtSettings, Settings};
use crate::store::{AnyStore, LookupKey, LookupResult, Source};

/// What the store's answer means for the request, or why there is none.
pub type Decision = Result<Result<Arc<Identity>, Refusal>, Arc<Error>>;

/// What is known of a request before anything is awaited.
#[derive(Debug)]
pub struct Inspected {
    /// The kind of credential that it presents, if any.
    pub credential: Option<Credential>,
    /// What that means; [`Error::Unavailable`] if a cache that is needed for it cannot be opened, or the issuer's keys
    /// cannot be read, and [`Error::Configuration`] if there is no database that would know.
    pub verdict: Result<Verdict, Error>,
    /// When that was decided.
    pub at: Uptime,
}

/// A lookup that is waiting or under way.
pub struct PendingLookup {
    /// Give it up to cancel the lookup.
    pub place: Place,
    /// Set while the lookup waits for others to share its statement: call [`Lookup::send`] when no more come.
    pub to_send: Option<Arc<Lookup>>,
}

/// Where a request waits.
pub enum Place {
    /// In the queue of lookups.
    Lookup(Arc<Waiter>),
    /// For the issuer's keys, and perhaps for a lookup after that.
    Keys(AbortHandle),
}

impl Place {
    /// Nobody waits here any more.
    pub fn give_up(&self) {
        match self {
            Self::Lookup(waiter) => waiter.give_up(),
            Self::Keys(task) => task.abort(),
        }
    }
}

/// Identifies requests by one set of settings. Nothing is opened before it is needed.
pub struct Engine {
    settings: Settings,
    source: Source,
    /// The source's: the system's, except in front of a store in memory.
    clock: Clock,
    runtime: fn() -> Result<Handle, Error>,
    counters: Arc<Counters>,
    checks: Arc<Checks>,
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
        if settings.database.is_some() {
            AnyStore::new(&source, &settings)?;
        }
        let clock = source.clock();
        let (counters, checks) = (Arc::default(), Arc::default());
        Ok(Self { settings, source, clock, runtime, counters, checks, state: Mutex::default() })
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

    /// What an operator can do about a refusal, if a wrong setting may have caused it; and whether the check that failed
    /// has succeeded before, so that a stale or forged credential is likelier.
    #[must_use]
    pub fn advice(&self, refusal: &Refusal) -> Option<(String, bool)> {
        let check = refusal.cause?.check();
        let has_passed = check.is_some_and(|check| self.checks.has_passed(check));
        Some((advice(refusal, &self.settings)?, has_passed))
    }

    /// The current moment, by which this engine decides.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// The clock of [`Engine::now`], for timers: a test may move it.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Decides from the headers and the caches as far as possible.
    pub fn inspect<'a>(
        &self,
        request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])> + Clone>,
    ) -> Inspected {
        self.inspect_for(Need::Usual, request)
    }

    /// Decides from a cookie's value, percent-encoded or not, and the caches. There are no headers, so the origin is
    /// not checked.
    #[must_use]
    pub fn inspect_value(&self, value: &str) -> Inspected {
        let now = self.now();
        let verdict = self.inspector().and_then(|(authenticator, cache)| {
            self.settle(authenticator.inspect_value(value), cache.as_ref(), now)
        });
        let is_presented = !value.is_empty() && self.settings.accepted.cookie;
        Inspected { credential: is_presented.then_some(Credential::Cookie), verdict, at: now.uptime }
    }

    /// Decides from the headers alone: never [`Verdict::Known`].
    pub fn inspect_for_store<'a>(
        &self,
        request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])> + Clone>,
    ) -> Inspected {
        self.inspect_for(Need::Store, request)
    }

    fn inspect_for<'a>(
        &self,
        need: Need,
        request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])> + Clone>,
    ) -> Inspected {
        let now = self.now();
        match self.inspector() {
            Ok((authenticator, cache)) => {
                let cache = cache.filter(|_| need == Need::Usual);
                let (credential, verdict) = authenticator.inspect_for(need, request, now);
                let verdict = self.settle(verdict, cache.as_ref(), now);
                Inspected { credential, verdict, at: now.uptime }
            }
            Err(error) => Inspected { credential: None, verdict: Err(error), at: now.uptime },
        }
    }

    /// The claims of the verified JWT that this request presents; None before it was identified.
    pub fn token_claims<'a>(
        &self,
        request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])>>,
    ) -> Option<UserToken> {
        self.authenticator().user_token(request, self.now())
    }

    fn settle(&self, verdict: Verdict, cache: Option<&LiveCache>, now: Moment) -> Result<Verdict, Error> {
        match self.recall(verdict, cache, now) {
            Verdict::Unavailable(why) => Err(why.into()),
            verdict => Ok(verdict),
        }
    }

    /// Looks into the live cache for what the headers left undecided.
    fn recall(&self, verdict: Verdict, cache: Option<&LiveCache>, now: Moment) -> Verdict {
        let (Verdict::Lookup(key), Some(cache)) = (&verdict, cache) else { return verdict };
        let is_live = |jwt: &JwtSettings| jwt.freshness == JwtFreshness::Live;
        if matches!(key, LookupKey::User(_)) && !self.settings.jwt.as_ref().is_some_and(is_live) {
            return verdict;
        }
        let cached = cache.get(key, now);
        // What has expired or was banned since is decided by the store: a ban may have been lifted.
        match cached.and_then(|identity| Authenticator::decide(LookupResult::Found(identity), now.wall).ok())
        {
            Some(identity) => Verdict::Known(identity),
            None => verdict,
        }
    }

    /// The session cookie as it stands in the headers.
    pub fn session_cookie<'a>(
        &self,
        request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])>>,
    ) -> Option<Cow<'a, str>> {
        self.authenticator().session_cookie(request)
    }

    /// Why there is no session cookie in the headers, if a wrong setting or client may be the cause.
    pub fn missing_cookie<'a>(
        &self,
        request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])> + Clone>,
    ) -> Option<Refusal> {
        self.authenticator().missing_cookie(request)
    }

    /// Queries the store and calls `resolve` once with what its answer means now: from another thread, or at once if
    /// too many requests wait already. Only a lookup that was not sent yet is shared with other requests.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store cannot be opened.
    pub fn look_up(
        &self,
        key: &LookupKey,
        resolve: impl FnOnce(Decision) + Send + 'static,
    ) -> Result<PendingLookup, Error> {
        let now = self.clock.wall();
        let open = self.open_now()?;
        let (lookup, store) = (open.lookup()?, open.store().cloned());
        let (checks, is_session) = (Arc::clone(&self.checks), matches!(key, LookupKey::Session(_)));
        let Gathered { waiter, waits_for_others } = lookup.gather(key, move |found| {
            let ahead = || store.as_ref().and_then(AnyStore::clock_ahead);
            resolve(found.map(|found| decide(&checks, is_session, found, now, ahead)));
        });
        Ok(PendingLookup { place: Place::Lookup(waiter), to_send: waits_for_others.then_some(lookup) })
    }

    /// Waits for the issuer's keys, decides, and queries the store where it has to; all within the deadline of a lookup.
    /// Calls `resolve` once from another thread, unless the place is given up.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if too many requests wait already, or nothing can be opened.
    pub fn verify(
        &self,
        token: PendingToken,
        need: Need,
        resolve: impl FnOnce(Decision) + Send + 'static,
    ) -> Result<PendingLookup, Error> {
        let (authenticator, _) = self.inspector()?;
        let open = self.open_now()?;
        let (deadline, limit) = (self.settings.limits.lookup_timeout, self.settings.limits.max_waiting);
        // One of these is its own.
        if Arc::strong_count(&open.waiting) > limit {
            return Err(Error::unavailable(format!("{limit} requests wait already (max_waiting)")));
        }
        let waiting = Arc::clone(&open.waiting);
        let (checks, clock) = (Arc::clone(&self.checks), self.clock());
        let task = (self.runtime)()?.spawn(async move {
            let verified =
                timeout(deadline, verify(&authenticator, &open, &checks, &clock, &token, need)).await;
            drop(waiting);
            resolve(verified.unwrap_or_else(|_elapsed| {
                let seconds = deadline.as_secs_f64();
                Err(Arc::new(Error::unavailable(format!(
                    "the keys that verify JWTs were not read within {seconds} s (lookup_timeout_seconds)"
                ))))
            }));
        });
        Ok(PendingLookup { place: Place::Keys(task.abort_handle()), to_send: None })
    }

    /// Connects and reads the catalog. Returns what an operator should know. `strict`: a `jwks` table that does not
    /// exist yet is an error too.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::MissingTables`] or [`Error::Schema`].
    pub fn open(&self, strict: bool) -> impl Future<Output = Result<Vec<String>, Error>> + Send + use<> {
        // Before the future is polled, on the caller's thread: see `state`.
        let open = self.open_now();
        let deadline = self.settings.limits.lookup_timeout;
        let counters = Arc::clone(&self.counters);
        async move {
            let opened = async { open?.connect(deadline, strict).await }.await;
            match &opened {
                Err(Error::Unavailable { .. }) => counters.unavailable(Fault::Store, None),
                Err(Error::MissingTables(_)) => counters.unavailable(Fault::Schema, None),
                _ => {}
            }
            opened
        }
    }

    /// Closes the connections and drops the caches. The next use opens them anew.
    pub fn close(&self) {
        match self.lock().take() {
            Some(ours) if ours.is_ours() => {
                if let Some(open) = &ours.open {
                    open.close();
                    self.counters.invalidated(open.live_cache.as_ref().map_or(0, LiveCache::invalidated));
                }
            }
            parents => std::mem::forget(parents),
        }
    }

    /// Messages for an operator that came up since the last call.
    #[must_use]
    pub fn operator_messages(&self) -> Vec<String> {
        let state = self.lock();
        let Some(state) = state.as_ref().filter(|state| state.is_ours()) else { return Vec::new() };
        let of_feed = state.open.iter().flat_map(|open| &open.live_cache).flat_map(LiveCache::take_messages);
        let of_store = state.open.iter().filter_map(|open| open.store()).flat_map(AnyStore::take_warnings);
        of_feed
            .chain(self.checks.take_message())
            .chain(of_store)
            .chain(state.authenticator.take_messages())
            .collect()
    }

    /// How lookups are sent, and why: once it is known, and again when it changes.
    #[must_use]
    pub fn store_note(&self) -> Option<String> {
        let state = self.lock();
        state.as_ref().filter(|state| state.is_ours())?.open.as_ref()?.store()?.take_note()
    }

    /// The column of a field of the `user` or `session` table, with the table's name, once the tables were found: for
    /// messages.
    #[must_use]
    pub fn column(&self, is_user: bool, field: &str) -> Option<String> {
        let state = self.lock();
        let open = state.as_ref().filter(|state| state.is_ours())?.open.as_ref()?;
        open.store()?.column(is_user, field)
    }

    /// The number of sessions in the live cache, and the bytes that they take.
    #[must_use]
    pub fn cache_size(&self) -> (usize, usize) {
        self.of_live_cache(LiveCache::size)
    }

    /// How many results a notification evicted from the live cache.
    #[must_use]
    pub fn cache_invalidations(&self) -> u64 {
        self.counters.invalidations() + self.of_live_cache(LiveCache::invalidated)
    }

    fn of_live_cache<T: Default>(&self, read: impl FnOnce(&LiveCache) -> T) -> T {
        let state = self.lock();
        let open = state.as_ref().filter(|state| state.is_ours()).and_then(|state| state.open.as_ref());
        open.and_then(|open| open.live_cache.as_ref()).map(read).unwrap_or_default()
    }

    /// What decides about headers. Opens what that needs.
    fn inspector(&self) -> Result<(Arc<Authenticator>, Option<LiveCache>), Error> {
        let freshness = &self.settings.freshness;
        let needs_open =
            freshness.live_cache().is_some() || freshness.uses_public_keys() || self.settings.jwt.is_some();
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
        state.get_or_insert_with(|| State::new(&self.settings, &self.checks))
    }

    fn opened<'a>(&self, state: &'a mut State) -> Result<&'a Arc<Open>, Error> {
        let open = match state.open.take() {
            Some(open) => open,
            None => Arc::new(Open::start(
                &self.settings,
                &self.source,
                &state.keys,
                state.authenticator.jwks(),
                &self.counters,
                &(self.runtime)()?,
            )?),
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
    fn new(settings: &Settings, checks: &Arc<Checks>) -> Self {
        let keys = PublicKeys::default();
        let authenticator = Arc::new(Authenticator::with_checks(settings, &keys, Arc::clone(checks)));
        Self { process: process::id(), authenticator, keys, open: None }
    }

    fn is_ours(&self) -> bool {
        self.process == process::id()
    }
}

/// What a token means once the keys were read for it.
async fn verify(
    authenticator: &Authenticator,
    open: &Open,
    checks: &Checks,
    clock: &Clock,
    token: &PendingToken,
    need: Need,
) -> Decision {
    authenticator.keys_read().await;
    let now = clock.now();
    match authenticator.inspect_token(token, need, now) {
        Verdict::Refused(refusal) => Ok(Err(refusal)),
        Verdict::Known(identity) => Ok(Ok(identity)),
        Verdict::Unavailable(why) => Err(Arc::new(why.into())),
        Verdict::NeedsKeys(..) => Err(Arc::new(Unavailable::Keys.into())),
        Verdict::Lookup(key) => {
            let found = open.lookup().map_err(Arc::new)?.find(&key).await?;
            Ok(decide(checks, false, found, now.wall, || None))
        }
    }
}
