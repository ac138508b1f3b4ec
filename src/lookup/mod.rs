//! 6 — Looks up the tokens of many requests with one statement.
//!
//! A few workers each take everything that waits, up to a batch, and query the store with one
//! statement; meanwhile the next batch gathers. There is no timer: a lone request is sent at once when
//! nothing is under way, else when the requests of one pass of the event loop have come. The busier it gets, the
//! more requests share a statement.
//!
//! A request may join a lookup that still waits, never one already sent: that one could have
//! been sent before a sign-out that this request comes after.

mod breaker;
mod queue;
mod waiter;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::breaker::Breaker;
use self::queue::Queue;
pub use self::waiter::Waiter;
use crate::error::Error;
use crate::settings::Limits;
use crate::store::{LookupKey, LookupResult, Store};

/// The result of a lookup, or why there is none; the whole batch shares the error.
pub type Outcome = Result<LookupResult, Arc<Error>>;

/// Queries the store for many requests at once.
#[derive(Debug)]
pub struct Lookup {
    queue: Arc<Queue>,
    breaker: Arc<Breaker>,
    tasks: Vec<JoinHandle<()>>,
}

impl Lookup {
    /// Starts the workers, as many as there may be connections, on this runtime.
    pub fn start(store: &Arc<impl Store>, limits: Limits, runtime: &Handle) -> Self {
        let queue = Arc::new(Queue::new(limits));
        let breaker = Arc::new(Breaker::default());
        let worker = |_| {
            let (queue, breaker, store) = (Arc::clone(&queue), Arc::clone(&breaker), Arc::clone(store));
            runtime.spawn(work(queue, breaker, store, limits.lookup_timeout))
        };
        let mut tasks: Vec<JoinHandle<()>> = (0..limits.pool_size).map(worker).collect();
        let overdue = Arc::clone(&queue);
        tasks.push(runtime.spawn(async move { overdue.end_overdue().await }));
        let (watching, waiting, store) = (Arc::clone(&breaker), Arc::clone(&queue), Arc::clone(store));
        tasks.push(runtime.spawn(async move {
            watching.watch(&*store, limits.lookup_timeout, |error| waiting.refuse_waiting(error)).await;
        }));
        Self { queue, breaker, tasks }
    }

    /// Calls `resolve` once with what the store says of this token or id, queried after this call:
    /// from another thread, or at once when too many wait or the store is down. A waiter that gives up is not resolved.
    pub fn request(&self, key: &LookupKey, resolve: impl FnOnce(Outcome) + Send + 'static) -> Arc<Waiter> {
        let Gathered { waiter, waits_for_others } = self.gather(key, resolve);
        if waits_for_others {
            self.send();
        }
        waiter
    }

    /// The same for one of several requests: while a lookup is under way they gather until
    /// [`Lookup::send`], or its end, so that they share statements. A lone one is sent at once.
    pub fn gather(&self, key: &LookupKey, resolve: impl FnOnce(Outcome) + Send + 'static) -> Gathered {
        match self.breaker.refusal() {
            Some(error) => self.queue.refuse(Box::new(resolve), error),
            None => self.queue.join(key, Box::new(resolve)),
        }
    }

    /// Sends what has gathered, as far as there are connections.
    pub fn send(&self) {
        self.queue.send();
    }

    /// The number of requests that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// What the store says of this token or id, queried after this call.
    ///
    /// # Errors
    /// The store's own, shared with the batch; [`Error::Unavailable`] when the store is down, too many wait
    /// or it takes longer than `lookup_timeout`. Dropping the future gives up the wait.
    pub async fn find(&self, key: &LookupKey) -> Outcome {
        let waiting = self.wait_for(key);
        self.send();
        waiting.outcome().await
    }

    /// The same for each of these, with as few statements as possible: one outcome for each key, in their order.
    pub async fn find_all(&self, keys: &[LookupKey]) -> Vec<Outcome> {
        let waiting: Vec<Waiting> = keys.iter().map(|key| self.wait_for(key)).collect();
        self.send();
        let mut outcomes = Vec::with_capacity(keys.len());
        for each in waiting {
            outcomes.push(each.outcome().await);
        }
        outcomes
    }

    fn wait_for(&self, key: &LookupKey) -> Waiting {
        let (sender, outcome) = oneshot::channel();
        let gathered = self.gather(key, |outcome| {
            let _gone = sender.send(outcome);
        });
        Waiting { _waiter: GivenUpOnDrop(gathered.waiter), outcome }
    }
}

/// A waiter, and whether its owner must call [`Lookup::send`] when no more requests are about to come.
#[derive(Debug)]
pub struct Gathered {
    /// The waiter.
    pub waiter: Arc<Waiter>,
    /// False for a lone one, which was sent at once, and for one that was refused because too many wait or the store is down.
    pub waits_for_others: bool,
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.queue.close();
    }
}

/// A lookup that a task waits for, until this is dropped.
struct Waiting {
    _waiter: GivenUpOnDrop,
    outcome: oneshot::Receiver<Outcome>,
}

impl Waiting {
    async fn outcome(self) -> Outcome {
        self.outcome.await.unwrap_or_else(|_| Err(Arc::new(closed())))
    }
}

struct GivenUpOnDrop(Arc<Waiter>);

impl Drop for GivenUpOnDrop {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

async fn work(queue: Arc<Queue>, breaker: Arc<Breaker>, store: Arc<impl Store>, deadline: Duration) {
    loop {
        let batch = queue.next_batch().await;
        let keys: Vec<LookupKey> = batch.iter().map(|requested| requested.key.clone()).collect();
        let found = timeout(deadline, store.find(&keys)).await;
        match &found {
            Ok(Err(error)) if error.is_down() => breaker.failed(),
            Ok(_) => breaker.responded(),
            Err(_elapsed) => breaker.failed(),
        }
        let found = found.unwrap_or_else(|_elapsed| Err(no_answer_within(deadline)));
        queue.settle();
        match found {
            Ok(results) => {
                for (requested, result) in batch.into_iter().zip(results) {
                    requested.resolve(&outcome(result));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for requested in batch {
                    requested.resolve(&Err(Arc::clone(&error)));
                }
            }
        }
    }
}

/// A session that Better Auth may accept is not refused for a value that we cannot read.
fn outcome(result: LookupResult) -> Outcome {
    match result {
        LookupResult::Misfit(problem) => Err(Arc::new(Error::Row(problem))),
        result => Ok(result),
    }
}

fn no_answer_within(deadline: Duration) -> Error {
    Error::unavailable(format!("no answer within {} s (lookup_timeout_seconds)", deadline.as_secs_f64()))
}

fn closed() -> Error {
    Error::unavailable("it was closed during the lookup")
}

#[cfg(test)]
mod models;
