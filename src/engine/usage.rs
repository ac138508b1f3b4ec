//! What an engine uses at the moment, for metrics.

use std::sync::Arc;

use super::{Engine, State};
use crate::live_cache::{FeedState, LiveCache};
use crate::store::{AnyStore, Connections};

/// What an engine uses at the moment, in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The requests that wait for a lookup or for the issuer's keys.
    pub waiting: usize,
    /// The connections of the pool.
    pub connections: Connections,
    /// How many connections the pool may have.
    pub pool_size: usize,
    /// The cached sessions, and the bytes that they take.
    pub cached: (usize, usize),
    /// The results that a notification evicted from the open live cache. Those of closed caches are in the counters.
    pub invalidated: u64,
    /// The connections that end with their session.
    pub guarded: usize,
    /// The state of the feed of changes, if `freshness` is `live`.
    pub feed: Option<FeedState>,
}

impl Engine {
    /// What is in use at the moment. Opens nothing.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let settings = self.settings();
        let needs_feed = settings.freshness.live_cache().is_some_and(|cache| cache.feed.is_some());
        let closed = Usage {
            pool_size: if settings.database.is_some() { settings.limits.pool_size } else { 0 },
            feed: needs_feed.then_some(FeedState::Idle),
            ..Usage::default()
        };
        let state = self.lock();
        let ours = state.as_ref().filter(|state| State::is_ours(state));
        let Some(open) = ours.and_then(|state| state.open.as_ref()) else { return closed };
        let waiting_for_keys = Arc::strong_count(&open.waiting).saturating_sub(1);
        let cache = open.live_cache.as_ref();
        Usage {
            waiting: open.waiting_for_lookups() + waiting_for_keys,
            connections: open.store().and_then(AnyStore::connections).unwrap_or_default(),
            cached: cache.map(LiveCache::size).unwrap_or_default(),
            invalidated: cache.map(LiveCache::invalidated).unwrap_or_default(),
            guarded: open.guards.count(),
            feed: cache.and_then(|cache| cache.feed_state(self.now().uptime)),
            ..closed
        }
    }
}
