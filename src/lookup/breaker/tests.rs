use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::*;
use crate::store::{LookupKey, LookupResult};

fn refused() -> Error {
    Error::down("connection refused")
}

fn is_down(state: &State) -> bool {
    matches!(state, State::Down(_))
}

#[test]
fn a_failure_is_a_suspicion_until_a_probe_confirms_it() {
    let mut state = State::Up;
    assert!(state.failed());
    assert!(!is_down(&state));
    assert!(!state.failed(), "one suspicion is enough");
    assert!(state.confirm(&refused()));
    assert!(is_down(&state));
    assert!(!state.confirm(&refused()));
    assert!(!state.failed());
    assert!(is_down(&state), "a failure while it is down changes nothing");
    assert!(state.responded());
    assert!(matches!(state, State::Up));
    assert!(!state.responded());
}

#[test]
fn a_probe_that_fails_after_the_store_responded_confirms_nothing() {
    let mut state = State::Up;
    state.failed();
    state.responded();
    assert!(!state.confirm(&refused()));
    assert!(matches!(state, State::Up));
}

#[test]
fn a_suspicion_refuses_no_request() {
    let breaker = Breaker::default();
    breaker.failed();
    assert!(breaker.refusal().is_none());
}

/// What the next probes find, the last of them for good.
#[derive(Clone, Copy, Debug)]
enum Probe {
    Responds,
    Refuses,
    /// The server sends an error, such as "too many connections".
    SendsAnError,
    /// It responds after so many seconds.
    After(u64),
    Hangs,
}

struct Probed {
    probes: Mutex<Vec<Probe>>,
    started: AtomicUsize,
}

impl Probed {
    fn new(probes: &[Probe]) -> Self {
        let store = Self { probes: Mutex::default(), started: AtomicUsize::new(0) };
        store.set(probes);
        store
    }

    fn set(&self, probes: &[Probe]) {
        *self.probes.lock().expect("no test panics with it") = probes.iter().rev().copied().collect();
    }

    fn next(&self) -> Probe {
        self.started.fetch_add(1, Ordering::Relaxed);
        let mut probes = self.probes.lock().expect("no test panics with it");
        if probes.len() > 1 { probes.pop() } else { probes.last().copied() }.expect("there is one")
    }
}

impl Store for Probed {
    async fn find(&self, _keys: &[LookupKey]) -> Result<Vec<LookupResult>, Error> {
        Ok(Vec::new())
    }

    async fn ping(&self) -> Result<(), Error> {
        match self.next() {
            Probe::Responds => Ok(()),
            Probe::Refuses => Err(refused()),
            Probe::SendsAnError => Err(Error::unavailable("too many connections")),
            Probe::After(seconds) => {
                sleep(Duration::from_secs(seconds)).await;
                Ok(())
            }
            Probe::Hangs => std::future::pending().await,
        }
    }
}

/// A breaker that watches a store, and how often it was found to be down.
struct Watched {
    breaker: Arc<Breaker>,
    store: Arc<Probed>,
    downs: Arc<AtomicUsize>,
}

const DEADLINE: Duration = Duration::from_secs(5);

impl Watched {
    fn start(probes: &[Probe]) -> Self {
        let (breaker, store) = (Arc::new(Breaker::default()), Arc::new(Probed::new(probes)));
        let downs = Arc::new(AtomicUsize::new(0));
        let (ours, theirs, counted) = (Arc::clone(&breaker), Arc::clone(&store), Arc::clone(&downs));
        tokio::spawn(async move {
            ours.watch(&*theirs, DEADLINE, |_| {
                counted.fetch_add(1, Ordering::Relaxed);
            })
            .await;
        });
        Self { breaker, store, downs }
    }

    /// Waits until the store is down, or is not, and returns how long that took.
    async fn wait_until(&self, is_down: bool) -> Duration {
        let started = Instant::now();
        while self.breaker.refusal().is_some() != is_down {
            assert!(started.elapsed() < Duration::from_secs(60), "not within a minute");
            sleep(Duration::from_millis(10)).await;
        }
        started.elapsed()
    }

    fn downs(&self) -> usize {
        self.downs.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_probe_confirms_it_at_once_and_the_first_that_succeeds_ends_it() {
    let watched = Watched::start(&[Probe::Refuses, Probe::Refuses, Probe::Refuses, Probe::Responds]);
    watched.breaker.failed();
    assert!(watched.wait_until(true).await < SHORT_PAUSE);
    let error = watched.breaker.refusal().expect("it is down");
    assert!(error.to_string().contains("connection refused"), "{error}");
    assert!(watched.wait_until(false).await <= SHORT + SHORT_PAUSE);
    assert_eq!(watched.downs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_succeeds_or_gets_an_error_of_the_server_dispels_the_suspicion() {
    for probe in [Probe::Responds, Probe::SendsAnError, Probe::After(4)] {
        let watched = Watched::start(&[probe]);
        for _ in 0..3 {
            watched.breaker.failed();
            sleep(DEADLINE * 2).await;
            assert!(watched.breaker.refusal().is_none(), "{probe:?}");
        }
        assert_eq!(watched.downs(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_out_needs_a_second_one() {
    let watched = Watched::start(&[Probe::Hangs]);
    watched.breaker.failed();
    assert!(watched.wait_until(true).await >= DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hung_is_found_again_by_the_next_short_probe() {
    // The patient probe hangs for good.
    let watched = Watched::start(&[Probe::Hangs, Probe::Hangs, Probe::Hangs, Probe::Responds]);
    watched.breaker.failed();
    watched.wait_until(true).await;
    assert!(watched.wait_until(false).await <= SHORT + SHORT_PAUSE * 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_long_for_each_connection_is_found_by_the_patient_probe() {
    let watched = Watched::start(&[Probe::Refuses, Probe::After(8)]);
    watched.breaker.failed();
    watched.wait_until(true).await;
    assert!(watched.wait_until(false).await >= Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn probes_go_on_while_it_is_down_and_end_with_it() {
    let watched = Watched::start(&[Probe::Refuses]);
    watched.breaker.failed();
    watched.wait_until(true).await;
    sleep(Duration::from_secs(10)).await;
    let probes = watched.store.started.load(Ordering::Relaxed);
    assert!((20..=60).contains(&probes), "{probes}");
    watched.breaker.responded();
    watched.wait_until(false).await;
    let probes = watched.store.started.load(Ordering::Relaxed);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(
        watched.store.started.load(Ordering::Relaxed),
        probes,
        "a response to a lookup ends the probes"
    );
    assert_eq!(watched.downs(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_outage_is_found() {
    let watched = Watched::start(&[Probe::Refuses]);
    for outage in 1..=3 {
        watched.store.set(&[Probe::Refuses]);
        watched.breaker.failed();
        watched.wait_until(true).await;
        watched.store.set(&[Probe::Responds]);
        watched.wait_until(false).await;
        assert_eq!(watched.downs(), outage);
    }
}
