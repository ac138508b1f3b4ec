//! One request that waits: resolved once, by whatever comes first of the result, the deadline and the end.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use super::Outcome;
use crate::sync::Mutex;

pub(super) type Resolve = Box<dyn FnOnce(Outcome) + Send>;

/// A request that waits for its lookup.
pub struct Waiter {
    resolve: Mutex<Option<Resolve>>,
    waiting: Arc<AtomicUsize>,
}

impl Waiter {
    /// A waiter that counts among `waiting` until it is resolved or gives up.
    pub(super) fn new(resolve: Resolve, waiting: &Arc<AtomicUsize>) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self { resolve: Mutex::new(Some(resolve)), waiting: Arc::clone(waiting) }
    }

    /// Gives up the wait: a lookup that was not sent yet costs nothing.
    pub fn give_up(&self) {
        drop(self.take());
    }

    pub(super) fn resolve(&self, outcome: Outcome) {
        if let Some(resolve) = self.take() {
            resolve(outcome);
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.resolve.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn take(&self) -> Option<Resolve> {
        let mut resolve = self.resolve.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = resolve.take();
        if taken.is_some() {
            // Under the lock: a request that no longer waits must not be counted, however its thread is delayed.
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        taken
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("is_waiting", &self.is_waiting()).finish()
    }
}
