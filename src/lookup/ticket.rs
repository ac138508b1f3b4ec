//! One request's place: told once, whoever is first — the answer, the deadline, or the end.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Outcome;

pub(super) type Tell = Box<dyn FnOnce(Outcome) + Send>;

/// A place among those who wait.
pub struct Ticket {
    tell: Mutex<Option<Tell>>,
    waiting: Arc<AtomicUsize>,
}

impl Ticket {
    /// A place that counts among `waiting` until it is told or given up.
    pub(super) fn new(tell: Tell, waiting: &Arc<AtomicUsize>) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self { tell: Mutex::new(Some(tell)), waiting: Arc::clone(waiting) }
    }

    /// Nobody waits here any more: if the look-up was not sent yet, it costs nothing.
    pub fn give_up(&self) {
        drop(self.take());
    }

    pub(super) fn tell(&self, outcome: Outcome) {
        if let Some(tell) = self.take() {
            tell(outcome);
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.tell.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn take(&self) -> Option<Tell> {
        let told = self.tell.lock().unwrap_or_else(PoisonError::into_inner).take();
        if told.is_some() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        told
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("is_waiting", &self.is_waiting()).finish()
    }
}
