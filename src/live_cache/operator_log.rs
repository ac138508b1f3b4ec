//! Messages of the feed for an operator. Python logs them, on one of its own threads: ours never take the GIL.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many messages wait to be logged. If they are taken more seldom, the latest are what matters.
const MAX_WAITING: usize = 16;
/// How many different messages one problem can cause.
const MAX_PROBLEMS: usize = 8;

/// Messages that wait to be logged.
#[derive(Debug, Default)]
pub(super) struct OperatorLog {
    any: AtomicBool,
    messages: Mutex<Messages>,
}

#[derive(Debug, Default)]
struct Messages {
    /// What was logged since everything last worked.
    problems: Vec<String>,
    waiting: VecDeque<String>,
}

impl OperatorLog {
    /// Logs a problem once until recovery, however often it alternates with others.
    pub(super) fn log(&self, problem: &str) {
        let mut messages = self.lock();
        if messages.problems.len() < MAX_PROBLEMS && !messages.problems.iter().any(|known| known == problem) {
            messages.problems.push(problem.to_owned());
            self.put(messages, problem);
        }
    }

    /// Logs that everything works again, if a problem was logged.
    pub(super) fn log_recovery(&self, message: &str) {
        let mut messages = self.lock();
        if !messages.problems.is_empty() {
            messages.problems.clear();
            self.put(messages, message);
        }
    }

    /// Whether a problem was logged since everything last worked.
    pub(super) fn has_problem(&self) -> bool {
        !self.lock().problems.is_empty()
    }

    /// Logs what is no problem of the feed, and so has no recovery.
    pub(super) fn advise(&self, message: &str) {
        self.put(self.lock(), message);
    }

    /// The messages that were not taken yet, in order.
    pub(super) fn take(&self) -> Vec<String> {
        if !self.any.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        self.lock().waiting.drain(..).collect()
    }

    fn put(&self, mut messages: MutexGuard<'_, Messages>, message: &str) {
        if messages.waiting.len() == MAX_WAITING {
            messages.waiting.pop_front();
        }
        messages.waiting.push_back(message.to_owned());
        self.any.store(true, Ordering::Release);
    }

    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Messages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
