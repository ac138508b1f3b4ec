//! 5 — Who was it at the last lookup, and has PostgreSQL notified no change since?
//!
//! Off unless the operator chose `freshness="live"`, or a number of seconds. The store's results are cached in this
//! process, bounded in number and size. With `live`, triggers notify each change of a session or its user, and a result
//! is returned only while the feed of notifications is proven to be alive: otherwise everything is evicted and every
//! request queries the store.
//!
//! The cache has one writer, which follows the feed ([`Writer`]), and any number of readers, which are clones.
//!
//! What must hold, and where:
//! - no result is cached if a change of it was received after its query was sent: `invalidations`, in one critical
//!   section with the insertion;
//! - no result is returned without a lease, which each heartbeat renews for a while from the time when it was *sent*:
//!   [`crate::store::Feed::renew`]. A process that was paused, or a machine that slept, finds its lease expired;
//! - no result is returned past its age or the session's own end: `session_index`.

mod caching_store;
mod demand;
mod effect;
mod invalidations;
mod operator_log;
mod session_index;
mod writer;

use std::sync::{Arc, PoisonError};

use tokio::sync::Notify;

pub use self::caching_store::CachingStore;
use self::demand::Demand;
use self::effect::Effect;
use self::invalidations::Invalidations;
use self::operator_log::OperatorLog;
use self::session_index::SessionIndex;
pub use self::writer::{CacheFeed, Writer};
use crate::clock::{Moment, Uptime};
use crate::identity::Identity;
use crate::settings::LiveCacheSettings;
use crate::store::{self, Key, LookupKey, LookupResult, SessionKey, UserKey};
use crate::sync::{Mutex, MutexGuard};

/// Which changes had been received when a lookup was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    position: u64,
    at: Uptime,
}

/// The state of the feed of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedState {
    /// It is proven to be alive: the cache is in use.
    Live,
    /// No request needed it for a while, so it is not followed.
    Idle,
    /// It does not work: every request queries the store.
    Down,
}

impl FeedState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Live, Self::Idle, Self::Down];

    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Idle => "idle",
            Self::Down => "down",
        }
    }
}

/// Cached results of this process. A clone reads the same cache.
#[derive(Clone, Debug)]
pub struct LiveCache(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    needs_feed: bool,
    state: Mutex<State>,
    operator_log: OperatorLog,
    demand: Demand,
    /// The feed works, or the reason why not was logged.
    has_reported: Notify,
}

#[derive(Debug)]
struct State {
    index: SessionIndex,
    invalidations: Invalidations,
    /// Counts feeds: each has a number.
    feeds: u64,
    feed: Option<u64>,
    /// None until a heartbeat has proven that the feed is alive: what is looked up before that is not cached.
    lease_end: Option<Uptime>,
    fingerprint: Option<String>,
    effect: Effect,
}

impl LiveCache {
    /// An empty cache and its only writer.
    #[must_use]
    pub fn new(settings: &LiveCacheSettings) -> (Self, Writer) {
        let state = State {
            index: SessionIndex::new(settings.max_sessions, settings.max_age),
            invalidations: Invalidations::default(),
            feeds: 0,
            feed: None,
            lease_end: None,
            fingerprint: None,
            effect: Effect::default(),
        };
        let shared = Arc::new(Shared {
            needs_feed: settings.feed.is_some(),
            state: Mutex::new(state),
            operator_log: OperatorLog::default(),
            demand: Demand::default(),
            has_reported: Notify::new(),
        });
        (Self(Arc::clone(&shared)), Writer(shared))
    }

    /// Whether results are returned only while a feed is followed.
    #[must_use]
    pub fn needs_feed(&self) -> bool {
        self.0.needs_feed
    }

    /// The identity of this token or id, if it is known without the store.
    #[must_use]
    pub fn get(&self, key: &LookupKey, now: Moment) -> Option<Arc<Identity>> {
        self.want();
        let key = SessionKey::of(key);
        let mut state = self.0.lock();
        if self.0.needs_feed && state.lease_end.is_none_or(|end| end <= now.uptime) {
            return None;
        }
        let found = state.index.get(&key, now);
        let warning = state.effect.requested(found.is_some());
        drop(state);
        if let Some(warning) = warning {
            self.0.operator_log.advise(&warning);
        }
        found
    }

    /// To be taken when a lookup is sent, for [`LiveCache::insert`].
    #[must_use]
    pub fn sent(&self, at: Uptime) -> Sent {
        Sent { position: self.0.lock().invalidations.position(), at }
    }

    /// Caches the store's results for these keys, except those of which a change was received since the query was
    /// sent.
    pub fn insert(&self, sent: Sent, keys: &[LookupKey], results: &[LookupResult]) {
        let hashed: Vec<Hashed<'_>> = keys.iter().zip(results).map(Hashed::of).collect();
        let mut state = self.0.lock();
        let State { index, invalidations, lease_end, .. } = &mut *state;
        let is_followed = lease_end.is_some() || !self.0.needs_feed;
        for Hashed { session, found } in hashed {
            let Some((user, identity)) = found else {
                index.remove(&session);
                continue;
            };
            let is_unchanged = |key| invalidations.is_unchanged_since(sent.position, &key);
            if is_followed && is_unchanged(Key::Session(session)) && is_unchanged(Key::User(user)) {
                index.insert(session, user, identity, sent.at);
            }
        }
    }

    /// Marks the feed as in use.
    pub fn want(&self) {
        self.0.demand.want();
    }

    /// Whether the cache is in use, for the feed.
    #[must_use]
    pub fn demand(&self) -> impl store::Demand + use<> {
        self.clone().0
    }

    /// Where the feed logs for an operator.
    #[must_use]
    pub fn operator_log(&self) -> impl store::OperatorLog + use<> {
        self.clone().0
    }

    /// The messages for an operator that were not taken yet.
    #[must_use]
    pub fn take_messages(&self) -> Vec<String> {
        self.0.operator_log.take()
    }

    /// Waits until the feed works, or has logged why not.
    pub async fn reported(&self) {
        self.0.has_reported.notified().await;
    }

    /// The state of the feed; None if the cache needs none.
    #[must_use]
    pub fn feed_state(&self, now: Uptime) -> Option<FeedState> {
        let is_live = self.0.lock().lease_end.is_some_and(|end| end > now);
        let state = match (is_live, self.0.operator_log.has_problem()) {
            (true, _) => FeedState::Live,
            (false, true) => FeedState::Down,
            (false, false) => FeedState::Idle,
        };
        self.0.needs_feed.then_some(state)
    }

    /// How many cached results a notification evicted.
    #[must_use]
    pub fn invalidated(&self) -> u64 {
        self.0.lock().effect.invalidated()
    }

    /// How many results are cached, and how many bytes they take.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let state = self.0.lock();
        (state.index.len(), state.index.bytes())
    }
}

impl Shared {
    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl store::Demand for Arc<Shared> {
    async fn wanted(&self) {
        self.demand.wanted().await;
    }

    fn was_wanted(&self) -> bool {
        self.demand.was_wanted()
    }
}

impl store::OperatorLog for Arc<Shared> {
    fn log(&self, problem: &str) {
        self.operator_log.log(problem);
        self.has_reported.notify_one();
    }

    fn log_recovery(&self, message: &str) {
        self.operator_log.log_recovery(message);
    }
}

/// A result and its keys, computed before the lock is taken.
struct Hashed<'a> {
    session: SessionKey,
    found: Option<(UserKey, &'a Arc<Identity>)>,
}

impl<'a> Hashed<'a> {
    fn of((key, result): (&LookupKey, &'a LookupResult)) -> Self {
        let found = match result {
            LookupResult::Found(identity) => Some((UserKey::of(&identity.user.id), identity)),
            LookupResult::NoSession
            | LookupResult::NoUser
            | LookupResult::Unreadable
            | LookupResult::Misfit(_) => None,
        };
        Self { session: SessionKey::of(key), found }
    }
}

#[cfg(test)]
mod models;
#[cfg(test)]
mod tests;
