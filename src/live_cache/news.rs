//! What the feed's thread has to say to an operator. Python logs it, from a thread of its own: ours never
//! take the GIL.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// So many sentences wait to be told. Somebody who listens that seldom wants the last ones.
const WAITING: usize = 16;

/// Sentences that wait to be logged.
#[derive(Debug, Default)]
pub(super) struct News {
    any: AtomicBool,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    last: String,
    waiting: VecDeque<String>,
}

impl News {
    /// Something to tell, once: until there is something else to say.
    pub(super) fn tell(&self, sentence: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.last == sentence {
            return;
        }
        sentence.clone_into(&mut told.last);
        if told.waiting.len() == WAITING {
            told.waiting.pop_front();
        }
        told.waiting.push_back(sentence.to_owned());
        self.any.store(true, Ordering::Release);
    }

    /// The end of a trouble, which nobody wants to hear of who heard of none.
    pub(super) fn tell_end_of_trouble(&self, sentence: &str) {
        let heard_of_trouble = !self.told.lock().unwrap_or_else(PoisonError::into_inner).last.is_empty();
        if heard_of_trouble {
            self.tell(sentence);
        }
    }

    /// What was not taken yet, in order.
    pub(super) fn take(&self) -> Vec<String> {
        if !self.any.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.waiting.drain(..).collect()
    }
}
