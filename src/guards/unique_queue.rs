//! A queue in which nothing waits twice.

use std::collections::{HashSet, VecDeque};

/// Numbers of connections, first in, first out.
#[derive(Debug, Default)]
pub(super) struct UniqueQueue {
    order: VecDeque<u64>,
    /// Those in `order` that were not removed since.
    waiting: HashSet<u64>,
}

impl UniqueQueue {
    /// Adds a number, unless it waits already.
    pub(super) fn push(&mut self, number: u64) {
        if self.waiting.insert(number) {
            self.order.push_back(number);
        }
    }

    pub(super) fn remove(&mut self, number: u64) {
        self.waiting.remove(&number);
        if self.waiting.is_empty() {
            self.order.clear();
        }
    }

    pub(super) fn take(&mut self, most: usize) -> Vec<u64> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(number) = self.order.pop_front()
        {
            if self.waiting.remove(&number) {
                taken.push(number);
            }
        }
        taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
