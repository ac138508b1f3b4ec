//! Models of requests that wait for lookups, and of the workers that look them up.

use std::collections::HashSet;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::future::{self, block_on, yield_now};
use shuttle::thread;
use tokio::runtime::{Builder, Runtime};

use super::queue::MAX_BATCH;
use super::*;
use crate::identity::{Identity, User, UserId};
use crate::settings::PreparedStatements;
use crate::sync::explore;

/// Longer than any model runs: its clock stands still.
const NEVER: Duration = Duration::from_secs(3600);

/// For timers. Never dropped: it would wake the tasks that a failed model leaves behind, outside of the model.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut runtime = Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap()
});

fn explore(schedules: usize, model: impl Fn() + Copy + Send + Sync + 'static) {
    let _entered = RUNTIME.enter();
    explore::explore(schedules, model);
}

fn limits(lookup_timeout: Duration) -> Limits {
    Limits {
        pool_size: 0,
        lookup_timeout,
        max_waiting: 1000,
        retry_after: Duration::ZERO,
        prepared_statements: PreparedStatements::Auto,
    }
}

fn key(number: usize) -> LookupKey {
    LookupKey::User(UserId::new(&number.to_string()))
}

/// A store whose rows all change with each commit. A statement sees the rows as they are when it starts.
#[derive(Default)]
struct VersionedStore {
    version: AtomicUsize,
    statements: AtomicUsize,
}

impl VersionedStore {
    /// Changes the rows, and returns their version.
    fn commit(&self) -> usize {
        self.version.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Store for VersionedStore {
    async fn find(&self, keys: &[LookupKey]) -> Result<Vec<LookupResult>, Error> {
        assert!(!keys.is_empty() && keys.len() <= MAX_BATCH, "{} keys", keys.len());
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len(), "each key once");
        self.statements.fetch_add(1, Ordering::Relaxed);
        let version = self.version.load(Ordering::Relaxed);
        yield_now().await;
        let found = |key: &LookupKey| LookupResult::Found(Arc::new(row(key, version)));
        Ok(keys.iter().map(found).collect())
    }
}

fn row(key: &LookupKey, version: usize) -> Identity {
    Identity { session: None, user: User::with_name(key.as_str(), Some(&version.to_string())) }
}

/// A row is this key's, as it was after that commit or a later one.
fn check(outcome: &Outcome, key: &LookupKey, committed: usize) {
    let Ok(result) = outcome else { return };
    let LookupResult::Found(found) = result else { panic!("{result:?}") };
    assert_eq!(found.user.id, key.as_str());
    let version: usize = found.user.name.as_ref().unwrap().parse().unwrap();
    assert!(version >= committed, "it shares a lookup that was sent before it");
}

fn is_unavailable(outcome: &Outcome, message: &str) -> bool {
    matches!(outcome, Err(error) if error.to_string().contains(message))
}

/// A lookup whose tasks shuttle schedules.
struct Scene {
    lookup: Arc<Lookup>,
    store: Arc<VersionedStore>,
    tasks: Vec<future::JoinHandle<()>>,
}

impl Scene {
    fn new(workers: usize) -> Self {
        Self::with_timeout(workers, NEVER)
    }

    /// `lookup_timeout` is the deadline of requests. Statements have none, so that requests reach theirs.
    fn with_timeout(workers: usize, lookup_timeout: Duration) -> Self {
        let store = Arc::new(VersionedStore::default());
        let queue = Arc::new(Queue::new(limits(lookup_timeout)));
        let breaker = Arc::new(Breaker::default());
        let worker =
            |_| future::spawn(work(Arc::clone(&queue), Arc::clone(&breaker), Arc::clone(&store), NEVER));
        let mut tasks: Vec<_> = (0..workers).map(worker).collect();
        let overdue = Arc::clone(&queue);
        tasks.push(future::spawn(async move { overdue.end_overdue().await }));
        Self { lookup: Arc::new(Lookup { queue, breaker, tasks: Vec::new() }), store, tasks }
    }

    /// A thread that commits a change and then looks up a key.
    fn find(&self, number: usize) -> thread::JoinHandle<Outcome> {
        let (lookup, store) = (Arc::clone(&self.lookup), Arc::clone(&self.store));
        thread::spawn(move || {
            let committed = store.commit();
            let outcome = block_on(lookup.find(&key(number)));
            check(&outcome, &key(number), committed);
            outcome
        })
    }

    /// The same without [`Lookup::send`], and without a thread.
    fn gather(&self, number: usize) -> (Arc<Waiter>, oneshot::Receiver<Outcome>) {
        let (sender, outcome) = oneshot::channel();
        let committed = self.store.commit();
        let resolve = move |outcome| {
            check(&outcome, &key(number), committed);
            // Nobody receives it if the model has failed.
            drop(sender.send(outcome));
        };
        (self.lookup.gather(&key(number), resolve).waiter, outcome)
    }

    /// Ends the tasks.
    fn end(self) {
        assert_eq!(self.lookup.waiting(), 0);
        for task in self.tasks {
            task.abort();
            assert!(block_on(task).is_err(), "it works until it is aborted");
        }
    }
}

fn outcomes(threads: Vec<thread::JoinHandle<Outcome>>) -> Vec<Outcome> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

#[test]
fn every_request_gets_its_own_row() {
    explore(3000, || {
        let scene = Scene::new(2);
        let outcomes = outcomes([0, 0, 1].map(|number| scene.find(number)).into());
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert!(scene.store.statements.load(Ordering::Relaxed) <= 3);
        scene.end();
    });
}

/// While a statement is under way, requests gather, and none of them is forgotten if nobody sends them.
#[test]
fn requests_that_nobody_sends_follow_the_statement_that_is_under_way() {
    explore(3000, || {
        let scene = Arc::new(Scene::new(1));
        let gather = |number| {
            let scene = Arc::clone(&scene);
            thread::spawn(move || block_on(scene.gather(number).1).unwrap())
        };
        let outcomes = outcomes([0, 0, 1].map(gather).into());
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        Arc::into_inner(scene).unwrap().end();
    });
}

/// The store checks the size of each statement.
#[test]
fn more_requests_than_one_statement_may_have_are_all_looked_up() {
    explore(200, || {
        let scene = Scene::new(2);
        let other = scene.find(0);
        let gathered: Vec<_> = (0..=MAX_BATCH).map(|number| scene.gather(number)).collect();
        for (_waiter, outcome) in gathered {
            assert!(block_on(outcome).unwrap().is_ok());
        }
        assert!(other.join().unwrap().is_ok());
        scene.end();
    });
}

/// At any time: before its lookup is sent, during it, and while it is resolved.
#[test]
fn a_request_that_gives_up_leaves_the_others_of_its_lookup() {
    explore(3000, || {
        let scene = Scene::new(2);
        let (waiter, given_up) = scene.gather(0);
        let dropped = {
            let lookup = Arc::clone(&scene.lookup);
            future::spawn(async move { lookup.find(&key(0)).await })
        };
        let other = scene.find(0);
        let giving_up = thread::spawn(move || waiter.give_up());
        dropped.abort();
        assert!(other.join().unwrap().is_ok());
        giving_up.join().unwrap();
        if let Ok(outcome) = block_on(given_up) {
            assert!(outcome.is_ok(), "{outcome:?}");
        }
        drop(block_on(dropped));
        scene.end();
    });
}

#[test]
fn a_request_that_no_longer_waits_is_not_counted() {
    explore::explore_all(|| {
        let waiting = Arc::new(AtomicUsize::new(0));
        let waiter = Arc::new(Waiter::new(Box::new(drop), &waiting));
        let [resolved, given_up] = [(); 2].map(|()| Arc::clone(&waiter));
        let threads = [
            thread::spawn(move || resolved.resolve(Err(Arc::new(closed())))),
            thread::spawn(move || given_up.give_up()),
        ];
        let is_counted = usize::from(waiter.is_waiting());
        assert!(waiting.load(Ordering::Relaxed) <= is_counted);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn every_request_ends_at_its_deadline_if_the_store_does_not_answer() {
    explore(3000, || {
        let scene = Scene::with_timeout(0, Duration::ZERO);
        let outcomes = outcomes([0, 0, 1].map(|number| scene.find(number)).into());
        assert!(outcomes.iter().all(|outcome| is_unavailable(outcome, "no answer within")), "{outcomes:?}");
        scene.end();
    });
}

#[test]
fn a_request_whose_row_comes_at_its_deadline_gets_one_of_the_two() {
    explore(3000, || {
        let scene = Scene::with_timeout(1, Duration::ZERO);
        for outcome in outcomes([0, 1].map(|number| scene.find(number)).into()) {
            assert!(outcome.is_ok() || is_unavailable(&outcome, "no answer within"), "{outcome:?}");
        }
        scene.end();
    });
}

#[test]
fn a_request_that_is_refused_because_the_store_is_down_is_refused_once() {
    explore(3000, || {
        let scene = Scene::new(1);
        let finding = [0, 0, 1].map(|number| scene.find(number));
        scene.lookup.queue.refuse_waiting(&Arc::new(Error::down("it is down")));
        for outcome in outcomes(finding.into()) {
            assert!(outcome.is_ok() || is_unavailable(&outcome, "it is down"), "{outcome:?}");
        }
        scene.end();
    });
}

#[test]
fn closing_leaves_no_request_waiting() {
    explore(3000, || {
        let Scene { lookup, tasks, store } = Scene::new(2);
        let scene = Scene { lookup, store, tasks: Vec::new() };
        let gathered = [0, 1, 0].map(|number| scene.gather(number));
        let aborting = thread::spawn(move || {
            tasks.iter().for_each(future::JoinHandle::abort);
            for task in tasks {
                drop(block_on(task));
            }
        });
        drop(scene);
        for (_waiter, outcome) in gathered {
            let outcome = block_on(outcome).unwrap();
            assert!(outcome.is_ok() || is_unavailable(&outcome, "closed"), "{outcome:?}");
        }
        aborting.join().unwrap();
    });
}
