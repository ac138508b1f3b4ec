//! 5 — Gathers what waits, asks once, answers each.
//!
//! A few workers each take everything that waits, up to a batch, and ask the store with one
//! statement; meanwhile the next batch gathers. There is no timer and so no added delay: a lone
//! request is asked for at once, and the busier it gets the more share a statement.
//!
//! A request may join a look-up that still waits, never one already sent: that one could have
//! been sent before a sign-out that this request comes after.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::Error;
use crate::settings::Limits;
use crate::signature::SessionToken;
use crate::store::{Answer, Store};

/// Tokens asked for in one statement: beyond this the statement's own time grows faster than
/// its share falls.
const MAX_BATCH: usize = 64;

/// An answer, or why there is none; the whole batch shares the error.
pub type Outcome = Result<Answer, Arc<Error>>;

/// Asks the store for many requests at once.
#[derive(Debug)]
pub struct Lookup {
    queue: Arc<Queue>,
    waiting_room: Semaphore,
    limits: Limits,
    workers: Vec<JoinHandle<()>>,
}

impl Lookup {
    /// Starts the workers, as many as there may be connections, on this runtime.
    pub fn start(store: &Arc<impl Store>, limits: Limits, runtime: &Handle) -> Self {
        let queue = Arc::new(Queue::default());
        let worker = |_| runtime.spawn(work(Arc::clone(&queue), Arc::clone(store), limits.lookup_timeout));
        let workers = (0..limits.pool_size).map(worker).collect();
        Self { queue, waiting_room: Semaphore::new(limits.max_waiting), limits, workers }
    }

    /// What the store says of this token, asked after this call.
    ///
    /// # Errors
    /// The store's own, shared with the batch; [`Error::Unavailable`] when too many wait or the
    /// answer takes longer than `lookup_timeout`. Dropping the future gives up the place.
    pub async fn find(&self, token: &SessionToken) -> Outcome {
        let Ok(_place) = self.waiting_room.try_acquire() else {
            let limit = self.limits.max_waiting;
            return Err(Arc::new(Error::unavailable(format!("{limit} requests wait already (max_waiting)"))));
        };
        let answer = self.queue.join(token);
        match timeout(self.limits.lookup_timeout, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_closed)) => Err(Arc::new(Error::unavailable("it was closed during the look-up"))),
            Err(_elapsed) => Err(Arc::new(no_answer_within(self.limits.lookup_timeout))),
        }
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.workers.iter().for_each(JoinHandle::abort);
    }
}

async fn work(queue: Arc<Queue>, store: Arc<impl Store>, deadline: Duration) {
    loop {
        let batch = queue.next_batch().await;
        let tokens: Vec<SessionToken> = batch.iter().map(|asked| asked.token.clone()).collect();
        let found = timeout(deadline, store.find(&tokens)).await;
        match found.unwrap_or_else(|_elapsed| Err(no_answer_within(deadline))) {
            Ok(answers) => {
                for (asked, answer) in batch.into_iter().zip(answers) {
                    asked.answer(&Ok(answer));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for asked in batch {
                    asked.answer(&Err(Arc::clone(&error)));
                }
            }
        }
    }
}

fn no_answer_within(deadline: Duration) -> Error {
    Error::unavailable(format!("no answer within {} s (lookup_timeout_seconds)", deadline.as_secs_f64()))
}

/// A token, and who waits for it.
#[derive(Debug)]
struct Asked {
    token: SessionToken,
    waiters: Vec<oneshot::Sender<Outcome>>,
}

impl Asked {
    fn answer(self, outcome: &Outcome) {
        for waiter in self.waiters {
            // A waiter that gave up is no longer there to be told.
            let _gone = waiter.send(outcome.clone());
        }
    }

    fn is_wanted(&self) -> bool {
        self.waiters.iter().any(|waiter| !waiter.is_closed())
    }
}

/// What waits, first come first served.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<SessionToken>,
    waiters: HashMap<SessionToken, Vec<oneshot::Sender<Outcome>>>,
}

impl Queue {
    fn join(&self, token: &SessionToken) -> oneshot::Receiver<Outcome> {
        let (waiter, answer) = oneshot::channel();
        let mut waiting = self.lock();
        if let Some(others) = waiting.waiters.get_mut(token) {
            others.push(waiter);
        } else {
            waiting.waiters.insert(token.clone(), vec![waiter]);
            waiting.order.push_back(token.clone());
        }
        drop(waiting);
        self.wake.notify_one();
        answer
    }

    async fn next_batch(&self) -> Vec<Asked> {
        loop {
            let batch = self.take();
            if !batch.is_empty() {
                return batch;
            }
            self.wake.notified().await;
        }
    }

    fn take(&self) -> Vec<Asked> {
        let mut waiting = self.lock();
        let mut batch = Vec::new();
        while batch.len() < MAX_BATCH
            && let Some(token) = waiting.order.pop_front()
        {
            let waiters = waiting.waiters.remove(&token).unwrap_or_default();
            let asked = Asked { token, waiters };
            if asked.is_wanted() {
                batch.push(asked);
            }
        }
        if !waiting.order.is_empty() {
            self.wake.notify_one();
        }
        batch
    }

    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
