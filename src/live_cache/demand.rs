//! Whether requests use the cache.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Set by each request, read by the feed.
#[derive(Debug, Default)]
pub(super) struct Demand {
    was_wanted: AtomicBool,
    wanted: Notify,
}

impl Demand {
    pub(super) fn want(&self) {
        if !self.was_wanted.swap(true, Ordering::Relaxed) {
            self.wanted.notify_one();
        }
    }

    pub(super) async fn wanted(&self) {
        while !self.was_wanted.load(Ordering::Relaxed) {
            self.wanted.notified().await;
        }
    }

    pub(super) fn was_wanted(&self) -> bool {
        self.was_wanted.swap(false, Ordering::Relaxed)
    }
}
