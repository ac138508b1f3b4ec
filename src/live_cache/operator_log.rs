//! What the feed's thread has to say to an operator. Python logs it, from a thread of its own: ours never
//! take the GIL.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// So many sentences wait to be told. Somebody who listens that seldom wants the last ones.
const WAITING: usize = 16;
/// So much is said of one trouble.
const MOST_TROUBLES: usize = 8;

/// Sentences that wait to be logged.
#[derive(Debug, Default)]
pub(super) struct OperatorLog {
    any: AtomicBool,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// What was said of the trouble that goes on.
    troubles: Vec<String>,
    waiting: VecDeque<String>,
}

impl OperatorLog {
    /// A trouble, told once until its end, however often it takes turns with others.
    pub(super) fn log(&self, trouble: &str) {
        let mut told = self.lock();
        if told.troubles.len() < MOST_TROUBLES && !told.troubles.iter().any(|known| known == trouble) {
            told.troubles.push(trouble.to_owned());
            self.put(told, trouble);
        }
    }

    /// The end of all trouble, which nobody wants to hear of who heard of none.
    pub(super) fn log_recovery(&self, sentence: &str) {
        let mut told = self.lock();
        if !told.troubles.is_empty() {
            told.troubles.clear();
            self.put(told, sentence);
        }
    }

    /// What was not taken yet, in order.
    pub(super) fn take(&self) -> Vec<String> {
        if !self.any.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        self.lock().waiting.drain(..).collect()
    }

    fn put(&self, mut told: MutexGuard<'_, Told>, sentence: &str) {
        if told.waiting.len() == WAITING {
            told.waiting.pop_front();
        }
        told.waiting.push_back(sentence.to_owned());
        self.any.store(true, Ordering::Release);
    }

    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
