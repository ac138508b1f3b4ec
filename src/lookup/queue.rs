//! What waits to be sent, first come first served, and until when.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::waiter::Resolve;
use super::{Gathered, Outcome, Waiter, closed, no_answer_within};
use crate::error::Error;
use crate::settings::Limits;
use crate::store::LookupKey;

/// Keys asked for in one statement: beyond this the statement's own time grows faster than
/// its share falls.
const MAX_BATCH: usize = 64;

/// A token or an id, and who waits for it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) key: LookupKey,
    waiters: Vec<Arc<Waiter>>,
}

impl Asked {
    pub(super) fn resolve(self, outcome: &Outcome) {
        for waiter in &self.waiters {
            waiter.resolve(outcome.clone());
        }
    }

    fn is_wanted(&self) -> bool {
        self.waiters.iter().any(|waiter| waiter.is_waiting())
    }
}

/// A look-up that ends in the middle, with its worker, leaves nobody waiting.
impl Drop for Asked {
    fn drop(&mut self) {
        for waiter in self.waiters.iter().filter(|waiter| waiter.is_waiting()) {
            waiter.resolve(Err(Arc::new(closed())));
        }
    }
}

#[derive(Debug)]
pub(super) struct Queue {
    limits: Limits,
    waiting: Arc<AtomicUsize>,
    state: Mutex<State>,
    /// Something waits to be sent.
    to_send: Notify,
    /// Something waits to be answered.
    to_answer: Notify,
}

#[derive(Debug, Default)]
struct State {
    order: VecDeque<LookupKey>,
    asked: HashMap<LookupKey, Asked>,
    /// All wait equally long, so the first to come is the first to be overdue.
    deadlines: VecDeque<(Instant, Arc<Waiter>)>,
    joined_since_sweep: usize,
    /// Batches that were sent and not answered yet.
    under_way: usize,
}

impl State {
    /// Who gave up holds a place in these lists until it is their turn, which a stuck store puts
    /// off: swept each time as many have come as may wait, they are never more than that.
    fn sweep(&mut self) {
        let Self { order, asked, deadlines, joined_since_sweep, .. } = self;
        deadlines.retain(|(_, waiter)| waiter.is_waiting());
        asked.retain(|_, asked| {
            asked.waiters.retain(|waiter| waiter.is_waiting());
            !asked.waiters.is_empty()
        });
        order.retain(|key| asked.contains_key(key));
        *joined_since_sweep = 0;
    }
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            waiting: Arc::default(),
            state: Mutex::default(),
            to_send: Notify::new(),
            to_answer: Notify::new(),
        }
    }

    /// A place among those who wait. A lone request is sent at once; while a batch is under way, more
    /// gather until [`Queue::send`], or until that batch is answered.
    pub(super) fn join(&self, key: &LookupKey, resolve: Resolve) -> Gathered {
        let is_full = self.waiting.load(Ordering::Relaxed) >= self.limits.max_waiting;
        let waiter = Arc::new(Waiter::new(resolve, &self.waiting));
        if is_full {
            let limit = self.limits.max_waiting;
            waiter.resolve(Err(Arc::new(Error::unavailable(format!(
                "{limit} requests wait already (max_waiting)"
            )))));
            return Gathered { waiter, waits_for_others: false };
        }
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.joined_since_sweep >= self.limits.max_waiting {
            state.sweep();
        }
        state.joined_since_sweep += 1;
        if let Some(asked) = state.asked.get_mut(key) {
            asked.waiters.push(Arc::clone(&waiter));
        } else {
            let asked = Asked { key: key.clone(), waiters: vec![Arc::clone(&waiter)] };
            state.asked.insert(key.clone(), asked);
            state.order.push_back(key.clone());
        }
        while state.deadlines.front().is_some_and(|(_, first)| !first.is_waiting()) {
            state.deadlines.pop_front();
        }
        state.deadlines.push_back((Instant::now() + self.limits.lookup_timeout, Arc::clone(&waiter)));
        let is_first = state.deadlines.len() == 1;
        let is_idle = state.under_way == 0;
        drop(guard);
        if is_idle {
            self.send();
        }
        if is_first {
            self.to_answer.notify_one();
        }
        Gathered { waiter, waits_for_others: !is_idle }
    }

    /// Nobody else comes for the moment.
    pub(super) fn send(&self) {
        self.to_send.notify_one();
    }

    /// A batch was answered; perhaps after everything was closed.
    pub(super) fn settle(&self) {
        let mut state = self.lock();
        state.under_way = state.under_way.saturating_sub(1);
    }

    pub(super) async fn next_batch(&self) -> Vec<Asked> {
        loop {
            let batch = self.take();
            if !batch.is_empty() {
                return batch;
            }
            self.to_send.notified().await;
        }
    }

    /// Tells each who waited too long; for as long as it is polled.
    pub(super) async fn end_overdue(&self) {
        loop {
            let first = self.lock().deadlines.front().cloned();
            let Some((deadline, waiter)) = first else {
                self.to_answer.notified().await;
                continue;
            };
            if waiter.is_waiting() {
                sleep_until(deadline).await;
            }
            for waiter in self.take_overdue(Instant::now()) {
                waiter.resolve(Err(Arc::new(no_answer_within(self.limits.lookup_timeout))));
            }
        }
    }

    /// Those whose time is over; the answered ones before them are forgotten.
    fn take_overdue(&self, now: Instant) -> Vec<Arc<Waiter>> {
        let mut state = self.lock();
        let mut overdue = Vec::new();
        while state.deadlines.front().is_some_and(|(deadline, first)| *deadline <= now || !first.is_waiting())
        {
            overdue.extend(state.deadlines.pop_front().map(|(_, waiter)| waiter));
        }
        overdue
    }

    /// Leaves nobody waiting.
    pub(super) fn close(&self) {
        let left = std::mem::take(&mut *self.lock());
        drop(left);
    }

    fn take(&self) -> Vec<Asked> {
        let mut state = self.lock();
        let mut batch = Vec::new();
        while batch.len() < MAX_BATCH
            && let Some(key) = state.order.pop_front()
        {
            batch.extend(state.asked.remove(&key).filter(Asked::is_wanted));
        }
        let has_more = !state.order.is_empty();
        state.under_way += usize::from(!batch.is_empty());
        drop(state);
        if has_more {
            self.to_send.notify_one();
        }
        batch
    }

    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
