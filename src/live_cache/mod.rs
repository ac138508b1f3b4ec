//! 5 — Who was it when we last looked, and has PostgreSQL told of no change since?
//!
//! Off unless the operator chose `freshness="live"`, or a number of seconds. Answers of the store are
//! kept in this process, bounded in number and size. With `live`, triggers notify each change of a
//! session or its user, and an answer is given only while the feed of notifications is proven to be alive:
//! whenever that cannot be said, everything is forgotten and every request asks the store.
//!
//! What must hold, and where:
//! - nothing is kept that was asked before a change of it was heard: `recent`, in one critical section with
//!   the insertion;
//! - nothing is given without a lease, which each heartbeat renews for a while from the time when it was
//!   *sent*: [`Follower::renew`]. A paused process or a machine that slept finds its lease over;
//! - nothing is given past its age or the session's own end: `kept`.

mod caching_store;
mod invalidations;
mod operator_log;
mod session_index;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::Notify;

pub use self::caching_store::CachingStore;
use self::invalidations::Invalidations;
use self::operator_log::OperatorLog;
use self::session_index::{PART, SessionIndex};
use crate::clock::{Moment, Uptime};
use crate::identity::Identity;
use crate::settings::LiveCacheSettings;
use crate::store::{Change, FeedId, Follower, Key, LookupKey, LookupResult, SessionKey, UserKey};

/// So many sessions are dropped in a millisecond.
const MUCH: usize = 1000;

/// How far the feed was heard when a look-up was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    position: u64,
    at: Uptime,
}

/// Answers that are kept in this process.
#[derive(Debug)]
pub struct LiveCache {
    needs_feed: bool,
    state: Mutex<State>,
    operator_log: OperatorLog,
    was_asked: AtomicBool,
    asked: Notify,
    has_spoken: Notify,
}

#[derive(Debug)]
struct State {
    index: SessionIndex,
    invalidations: Invalidations,
    feeds: u64,
    feed: Option<FeedId>,
    /// None until the feed has proven to be alive: what is looked up meanwhile is not kept.
    believed_until: Option<Uptime>,
    fingerprint: Option<String>,
}

impl LiveCache {
    /// An empty one.
    #[must_use]
    pub fn new(settings: &LiveCacheSettings) -> Self {
        let state = State {
            index: SessionIndex::new(settings.max_sessions, settings.max_age),
            invalidations: Invalidations::default(),
            feeds: 0,
            feed: None,
            believed_until: None,
            fingerprint: None,
        };
        Self {
            needs_feed: settings.feed.is_some(),
            state: Mutex::new(state),
            operator_log: OperatorLog::default(),
            was_asked: AtomicBool::new(false),
            asked: Notify::new(),
            has_spoken: Notify::new(),
        }
    }

    /// Whether answers are given only while a feed is followed.
    #[must_use]
    pub fn needs_feed(&self) -> bool {
        self.needs_feed
    }

    /// Whose token or id this is, if that may be said without the store.
    #[must_use]
    pub fn get(&self, key: &LookupKey, now: Moment) -> Option<Arc<Identity>> {
        self.want();
        let key = SessionKey::of(key);
        let mut state = self.lock();
        if self.needs_feed && state.believed_until.is_none_or(|end| end <= now.uptime) {
            return None;
        }
        state.index.get(&key, now)
    }

    /// To be taken when a look-up is sent, for [`LiveCache::keep`].
    #[must_use]
    pub fn sent(&self, at: Uptime) -> Sent {
        Sent { position: self.lock().invalidations.position(), at }
    }

    /// Keeps what the store said of these tokens, unless a change was heard since they were asked for.
    pub fn keep(&self, sent: Sent, keys: &[LookupKey], answers: &[LookupResult]) {
        let hashed: Vec<Hashed<'_>> = keys.iter().zip(answers).map(Hashed::of).collect();
        let mut state = self.lock();
        let State { index, invalidations, believed_until, .. } = &mut *state;
        let would_hear = believed_until.is_some() || !self.needs_feed;
        for Hashed { session, found } in hashed {
            let Some((user, identity)) = found else {
                index.remove(&session);
                continue;
            };
            let is_quiet = |key| invalidations.is_quiet_since(sent.position, &key);
            if would_hear && is_quiet(Key::Session(session)) && is_quiet(Key::User(user)) {
                index.insert(session, user, identity, sent.at);
            }
        }
    }

    /// Somebody asks: the feed is worth its while.
    pub fn want(&self) {
        if !self.was_asked.swap(true, Ordering::Relaxed) {
            self.asked.notify_one();
        }
    }

    /// What there is to tell and was not taken yet.
    pub fn take_messages(&self) -> Vec<String> {
        self.operator_log.take()
    }

    /// Until the feed works, or says why not.
    pub async fn spoke(&self) {
        self.has_spoken.notified().await;
    }

    /// How many answers are kept, and how many bytes they take.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let state = self.lock();
        (state.index.len(), state.index.bytes())
    }

    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower for LiveCache {
    fn begin(&self) -> FeedId {
        let mut state = self.lock();
        state.feeds += 1;
        let feed = FeedId(state.feeds);
        state.feed = Some(feed);
        forget_and_doubt(state);
        feed
    }

    fn apply(&self, feed: FeedId, change: &Change) {
        let mut state = self.lock();
        if state.feed != Some(feed) {
            return;
        }
        let Change::Of(keys) = change else { return forget(state) };
        for key in keys {
            state.invalidations.note(*key);
            let mut forgotten = state.index.forget(key);
            // A user's very many sessions go part by part: requests wait for this lock.
            while forgotten.len() == PART {
                drop(state);
                drop(forgotten);
                state = self.lock();
                forgotten = state.index.forget(key);
            }
        }
    }

    fn renew(&self, feed: FeedId, until: Uptime, fingerprint: &str) {
        let mut state = self.lock();
        if state.feed != Some(feed) {
            return;
        }
        state.believed_until = Some(until);
        self.has_spoken.notify_one();
        if state.fingerprint.as_deref() != Some(fingerprint) {
            state.fingerprint = Some(fingerprint.to_owned());
            forget(state);
        }
    }

    fn suspend(&self, feed: FeedId) {
        let state = self.lock();
        if state.feed == Some(feed) {
            forget_and_doubt(state);
        }
    }

    fn end(&self, feed: FeedId) {
        let mut state = self.lock();
        if state.feed == Some(feed) {
            state.feed = None;
            forget_and_doubt(state);
        }
    }

    fn log(&self, sentence: &str) {
        self.operator_log.log(sentence);
        self.has_spoken.notify_one();
    }

    fn log_recovery(&self, sentence: &str) {
        self.operator_log.log_recovery(sentence);
    }

    fn was_wanted(&self) -> bool {
        self.was_asked.swap(false, Ordering::Relaxed)
    }

    async fn wanted(&self) {
        while !self.was_asked.load(Ordering::Relaxed) {
            self.asked.notified().await;
        }
    }
}

/// An answer and its keys, worked out before the lock is taken.
struct Hashed<'a> {
    session: SessionKey,
    found: Option<(UserKey, &'a Arc<Identity>)>,
}

impl<'a> Hashed<'a> {
    fn of((key, answer): (&LookupKey, &'a LookupResult)) -> Self {
        let found = match answer {
            LookupResult::Found(identity) => Some((UserKey::of(&identity.user.id), identity)),
            LookupResult::NoSession | LookupResult::NoUser | LookupResult::Unreadable => None,
        };
        Self { session: SessionKey::of(key), found }
    }
}

/// Nothing may be given until the next heartbeat.
fn forget_and_doubt(mut state: MutexGuard<'_, State>) {
    state.believed_until = None;
    state.fingerprint = None;
    forget(state);
}

/// What was forgotten is dropped outside of the lock, and much of it on a thread of its own: a hundred thousand
/// sessions would hold up the one that asks the store.
fn forget(mut state: MutexGuard<'_, State>) {
    state.invalidations.note_everything();
    let forgotten = state.index.take();
    drop(state);
    if forgotten.len() > MUCH {
        // Where no thread can be had, it is dropped here.
        let _dropping =
            thread::Builder::new().name("auth_middleware forgets".into()).spawn(|| drop(forgotten));
    }
}

#[cfg(test)]
mod tests;
