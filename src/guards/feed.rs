//! The feed of changes, for guarded connections beside the live cache.

use std::time::Duration;

use tokio::select;

use super::Guards;
use crate::clock::Uptime;
use crate::store::{Change, Demand, Feed, Follower};

/// Passes everything on to another follower, and then to the guarded connections: what the other one still has was
/// current when a connection was added.
pub struct GuardFollower<F> {
    inner: F,
    guards: Guards,
}

/// One of its feeds.
#[derive(Clone)]
pub struct GuardFeed<F> {
    inner: F,
    guards: Guards,
    number: u64,
}

/// Whether requests or guarded connections use the feed.
pub struct GuardDemand<D> {
    inner: D,
    guards: Guards,
}

impl Guards {
    /// Follows the changes that this follower follows.
    #[must_use]
    pub fn follow<F: Follower>(&self, inner: F) -> GuardFollower<F> {
        GuardFollower { inner, guards: self.clone() }
    }

    /// Demands the feed for as long as there are connections.
    #[must_use]
    pub fn demand<D: Demand>(&self, inner: D) -> GuardDemand<D> {
        GuardDemand { inner, guards: self.clone() }
    }

    async fn any_open(&self) {
        while self.count() == 0 {
            self.0.opened.notified().await;
        }
    }
}

impl<F: Follower> Follower for GuardFollower<F> {
    type Feed = GuardFeed<F::Feed>;

    fn begin(&mut self) -> Self::Feed {
        let inner = self.inner.begin();
        let number = self.guards.lock().begin_feed(self.guards.now());
        self.guards.0.to_do.notify_one();
        GuardFeed { inner, guards: self.guards.clone(), number }
    }
}

impl<F: Feed> Feed for GuardFeed<F> {
    fn apply(&self, change: &Change) {
        self.inner.apply(change);
        self.guards.change(|roster| roster.apply(change));
    }

    fn renew(&self, until: Uptime, fingerprint: &str) {
        self.inner.renew(until, fingerprint);
        let now = self.guards.now();
        self.guards.change(|roster| roster.renew(self.number, until, fingerprint, now));
    }

    fn suspend(&self) {
        self.inner.suspend();
        let now = self.guards.now();
        self.guards.change(|roster| roster.suspend(self.number, now));
    }

    fn end(&self) {
        self.inner.end();
        let now = self.guards.now();
        self.guards.change(|roster| roster.suspend(self.number, now));
    }
}

impl<D: Demand> Demand for GuardDemand<D> {
    async fn wanted(&self) {
        select! {
            () = self.inner.wanted() => {}
            () = self.guards.any_open() => {}
        }
    }

    fn was_wanted(&self) -> bool {
        // The other one clears its state when it returns it, so it is called in any case.
        self.inner.was_wanted() || self.guards.count() > 0
    }
}

/// Whether a feed keeps connections current.
#[derive(Debug, Default)]
pub(super) struct Lease {
    /// Counts feeds: each has a number.
    number: u64,
    end: Option<Uptime>,
    /// Since when it was not interrupted: what was queried before may have changed unnoticed.
    unbroken_since: Option<Uptime>,
    fingerprint: Option<String>,
}

impl Lease {
    /// The number of a new feed, which is not alive yet.
    pub(super) fn begin(&mut self) -> u64 {
        *self = Self { number: self.number + 1, ..Self::default() };
        self.number
    }

    /// Renews the lease. Returns whether changes may have been missed meanwhile, although the feed was not interrupted.
    pub(super) fn renew(&mut self, number: u64, until: Uptime, fingerprint: &str, now: Uptime) -> bool {
        if number != self.number {
            return false;
        }
        self.end = Some(until);
        self.unbroken_since.get_or_insert(now);
        let last = self.fingerprint.replace(fingerprint.to_owned());
        last.is_some_and(|last| last != fingerprint)
    }

    /// Whether this is the current feed: then it is not alive any more.
    pub(super) fn revoke(&mut self, number: u64) -> bool {
        let is_current = number == self.number;
        if is_current {
            *self = Self { number, ..Self::default() };
        }
        is_current
    }

    /// Whether it has just lapsed.
    pub(super) fn lapses(&mut self, now: Uptime) -> bool {
        let is_over = self.end.is_some_and(|end| end <= now);
        if is_over {
            self.end = None;
            self.unbroken_since = None;
        }
        is_over
    }

    pub(super) fn is_alive(&self) -> bool {
        self.end.is_some()
    }

    pub(super) fn end(&self) -> Option<Uptime> {
        self.end
    }

    /// Whether every change since a query that was sent then has been received.
    pub(super) fn covers(&self, sent: Uptime) -> bool {
        self.unbroken_since.is_some_and(|since| since <= sent)
    }
}

/// How long the task sleeps at most: a calendar that is set forward must not delay an expiry by more.
pub(super) const LONGEST_SLEEP: Duration = Duration::from_secs(1);
