//! The requests that wait to be sent, first come first served, and their deadlines.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::waiter::Resolve;
use super::{Gathered, Outcome, Waiter, closed, no_answer_within};
use crate::error::Error;
use crate::settings::Limits;
use crate::store::LookupKey;
use crate::sync::{Mutex, MutexGuard};

/// Keys in one statement: beyond this the statement's own time grows faster than
/// its share falls.
pub(super) const MAX_BATCH: usize = 64;

/// A token or an id, and who waits for it.
#[derive(Debug)]
pub(super) struct Requested {
    pub(super) key: LookupKey,
    waiters: Vec<Arc<Waiter>>,
}

impl Requested {
    pub(super) fn resolve(self, outcome: &Outcome) {
        for waiter in &self.waiters {
            waiter.resolve(outcome.clone());
        }
    }

    fn is_wanted(&self) -> bool {
        self.waiters.iter().any(|waiter| waiter.is_waiting())
    }
}

/// A worker that ends in the middle of a lookup leaves nobody waiting.
impl Drop for Requested {
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
    /// There is a deadline to wait for.
    to_expire: Notify,
}

#[derive(Debug, Default)]
struct State {
    order: VecDeque<LookupKey>,
    requested: HashMap<LookupKey, Requested>,
    /// All wait equally long, so the first to come is the first to be overdue.
    deadlines: VecDeque<(Instant, Arc<Waiter>)>,
    joined_since_sweep: usize,
    /// Batches that were sent and not answered yet.
    under_way: usize,
}

impl State {
    /// Shares the lookup of this key that was not sent yet, or adds one.
    fn request(&mut self, key: &LookupKey, waiter: &Arc<Waiter>) {
        if let Some(requested) = self.requested.get_mut(key) {
            requested.waiters.push(Arc::clone(waiter));
            return;
        }
        let requested = Requested { key: key.clone(), waiters: vec![Arc::clone(waiter)] };
        self.requested.insert(key.clone(), requested);
        self.order.push_back(key.clone());
    }

    /// Adds a deadline, and says whether it is the only one.
    fn expect(&mut self, deadline: Instant, waiter: &Arc<Waiter>) -> bool {
        while self.deadlines.front().is_some_and(|(_, first)| !first.is_waiting()) {
            self.deadlines.pop_front();
        }
        self.deadlines.push_back((deadline, Arc::clone(waiter)));
        self.deadlines.len() == 1
    }

    /// Counts one that joins, and sweeps after so many.
    fn sweep_after(&mut self, joined: usize) {
        if self.joined_since_sweep >= joined {
            self.sweep();
        }
        self.joined_since_sweep += 1;
    }

    /// Removes those who gave up. Otherwise they would stay in these lists until their turn, which a stuck store
    /// puts off; swept each time as many have joined as may wait, they are never more than that.
    fn sweep(&mut self) {
        let Self { order, requested, deadlines, joined_since_sweep, .. } = self;
        deadlines.retain(|(_, waiter)| waiter.is_waiting());
        requested.retain(|_, requested| {
            requested.waiters.retain(|waiter| waiter.is_waiting());
            !requested.waiters.is_empty()
        });
        order.retain(|key| requested.contains_key(key));
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
            to_expire: Notify::new(),
        }
    }

    /// Adds a waiter for the key. A lone request is sent at once; while a batch is under way, more
    /// gather until [`Queue::send`], or until that batch is answered.
    pub(super) fn join(&self, key: &LookupKey, resolve: Resolve) -> Gathered {
        let is_full = self.waiting.load(Ordering::Relaxed) >= self.limits.max_waiting;
        let waiter = Arc::new(Waiter::new(resolve, &self.waiting));
        if is_full {
            return refused(waiter, Arc::new(self.too_many()));
        }
        let mut state = self.lock();
        state.sweep_after(self.limits.max_waiting);
        state.request(key, &waiter);
        let is_first = state.expect(Instant::now() + self.limits.lookup_timeout, &waiter);
        let is_idle = state.under_way == 0;
        drop(state);
        if is_idle {
            self.send();
        }
        if is_first {
            self.to_expire.notify_one();
        }
        Gathered { waiter, waits_for_others: !is_idle }
    }

    /// The number of requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Refuses a request.
    pub(super) fn refuse(&self, resolve: Resolve, error: Arc<Error>) -> Gathered {
        refused(Arc::new(Waiter::new(resolve, &self.waiting)), error)
    }

    /// Refuses every request that was not sent yet.
    pub(super) fn refuse_waiting(&self, error: &Arc<Error>) {
        let mut state = self.lock();
        state.order.clear();
        let requested = std::mem::take(&mut state.requested);
        drop(state);
        for (_, requested) in requested {
            requested.resolve(&Err(Arc::clone(error)));
        }
    }

    fn too_many(&self) -> Error {
        Error::unavailable(format!("{} requests wait already (max_waiting)", self.limits.max_waiting))
    }

    /// Sends what has gathered: no more is about to come.
    pub(super) fn send(&self) {
        self.to_send.notify_one();
    }

    /// A batch was answered; perhaps after everything was closed.
    pub(super) fn settle(&self) {
        let mut state = self.lock();
        state.under_way = state.under_way.saturating_sub(1);
    }

    pub(super) async fn next_batch(&self) -> Vec<Requested> {
        loop {
            let batch = self.take();
            if !batch.is_empty() {
                return batch;
            }
            self.to_send.notified().await;
        }
    }

    /// Resolves each waiter that waited too long; for as long as it is polled.
    pub(super) async fn end_overdue(&self) {
        loop {
            let first = self.lock().deadlines.front().cloned();
            let Some((deadline, waiter)) = first else {
                self.to_expire.notified().await;
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

    /// Those whose deadline is over; resolved ones before them are dropped.
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

    fn take(&self) -> Vec<Requested> {
        let mut state = self.lock();
        let mut batch = Vec::new();
        while batch.len() < MAX_BATCH
            && let Some(key) = state.order.pop_front()
        {
            batch.extend(state.requested.remove(&key).filter(Requested::is_wanted));
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

fn refused(waiter: Arc<Waiter>, error: Arc<Error>) -> Gathered {
    waiter.resolve(Err(error));
    Gathered { waiter, waits_for_others: false }
}
