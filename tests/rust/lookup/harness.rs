//! A `Lookup` with a store that the test controls, and a record of all outcomes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use auth_middleware::error::Error;
use auth_middleware::identity::{Identity, Session, User};
use auth_middleware::lookup::{self, Lookup, Waiter};
use auth_middleware::settings::{Limits, RawSettings, Secret, Settings};
use auth_middleware::signature::{Keys, SessionToken};
use auth_middleware::store::memory::MemoryStore;
use auth_middleware::store::{LookupKey, LookupResult, Store};
use chrono::DateTime;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

const SECRET: &str = "0123456789abcdefghijklmnopqrstuv";

/// More statements than any test sends.
const MANY: usize = 1 << 20;

/// The outcome of a lookup for one waiter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    SignedIn,
    NoSession,
    Unavailable(String),
}

impl Outcome {
    pub(crate) fn of(outcome: lookup::Outcome) -> Self {
        match outcome {
            Ok(LookupResult::Found(_)) => Self::SignedIn,
            Ok(_) => Self::NoSession,
            Err(error) => Self::Unavailable(error.to_string()),
        }
    }

    pub(crate) fn is_unavailable(&self, reason: &str) -> bool {
        matches!(self, Self::Unavailable(message) if message.contains(reason))
    }
}

/// Sessions in memory. A lookup sees the sessions that exist when it starts, like the snapshot of a statement, and
/// returns once the gate lets it through.
pub(crate) struct GatedStore {
    sessions: Mutex<Arc<MemoryStore>>,
    gate: Semaphore,
    latency: Duration,
    log: Mutex<StoreLog>,
    omitted_results: Mutex<usize>,
    is_failing: Mutex<bool>,
    is_down: Mutex<bool>,
}

/// What the store recorded.
#[derive(Clone, Default)]
pub(crate) struct StoreLog {
    /// The tokens of each statement.
    pub(crate) statements: Vec<Vec<String>>,
    pub(crate) in_progress: usize,
    pub(crate) most_in_progress: usize,
    /// Statements that were dropped before they finished.
    pub(crate) abandoned: usize,
}

impl Store for GatedStore {
    async fn find(&self, tokens: &[LookupKey]) -> Result<Vec<LookupResult>, Error> {
        let statement = Statement::begin(self, tokens);
        let sessions = Arc::clone(&lock(&self.sessions));
        let mut results = sessions.find(tokens).await?;
        sleep(self.latency).await;
        self.gate.acquire().await.map_err(|_| Error::unavailable("the gate is closed"))?.forget();
        statement.end();
        self.ping().await?;
        if *lock(&self.is_failing) {
            return Err(Error::unavailable("the store failed"));
        }
        results.truncate(results.len() - *lock(&self.omitted_results));
        Ok(results)
    }

    async fn ping(&self) -> Result<(), Error> {
        if *lock(&self.is_down) { Err(Error::down("connection refused")) } else { Ok(()) }
    }
}

struct Statement<'a> {
    store: &'a GatedStore,
    has_ended: bool,
}

impl<'a> Statement<'a> {
    fn begin(store: &'a GatedStore, tokens: &[LookupKey]) -> Self {
        let mut log = lock(&store.log);
        log.statements.push(tokens.iter().map(|token| token.as_str().to_owned()).collect());
        log.in_progress += 1;
        log.most_in_progress = log.most_in_progress.max(log.in_progress);
        Self { store, has_ended: false }
    }

    fn end(mut self) {
        self.has_ended = true;
    }
}

impl Drop for Statement<'_> {
    fn drop(&mut self) {
        let mut log = lock(&self.store.log);
        log.in_progress -= 1;
        log.abandoned += usize::from(!self.has_ended);
    }
}

/// A `Lookup`, its store, and the outcomes by token, in order.
pub(crate) struct Harness {
    pub(crate) lookup: Arc<Lookup>,
    store: Arc<GatedStore>,
    outcomes: Arc<Mutex<Vec<(String, Outcome)>>>,
    started: Instant,
    signed_in: Vec<&'static str>,
}

impl Harness {
    /// Starts with the gate closed.
    pub(crate) fn new(settings: RawSettings, signed_in: &[&'static str]) -> Self {
        Self::with_latency(Duration::ZERO, settings, signed_in)
    }

    /// The same, with a store that takes this long.
    pub(crate) fn with_latency(latency: Duration, settings: RawSettings, signed_in: &[&'static str]) -> Self {
        let store = Arc::new(GatedStore {
            sessions: Mutex::new(sessions_of(signed_in)),
            gate: Semaphore::new(0),
            latency,
            log: Mutex::default(),
            omitted_results: Mutex::default(),
            is_failing: Mutex::default(),
            is_down: Mutex::default(),
        });
        Self {
            lookup: Arc::new(Lookup::start(&store, limits(settings), &Handle::current())),
            store,
            outcomes: Arc::default(),
            started: Instant::now(),
            signed_in: signed_in.to_vec(),
        }
    }

    /// Starts a lookup of this token.
    pub(crate) fn start(&self, token: &str) -> Arc<Waiter> {
        let (outcomes, name) = (Arc::clone(&self.outcomes), token.to_owned());
        self.lookup.request(&signed(token), move |outcome| lock(&outcomes).push((name, Outcome::of(outcome))))
    }

    /// The same for one of many lookups that start together. Returns whether it waits for `send`.
    pub(crate) fn gather(&self, token: &str) -> bool {
        let (outcomes, name) = (Arc::clone(&self.outcomes), token.to_owned());
        let resolve = move |outcome| lock(&outcomes).push((name, Outcome::of(outcome)));
        self.lookup.gather(&signed(token), resolve).waits_for_others
    }

    /// Starts a lookup and waits for its outcome.
    pub(crate) async fn find(&self, token: &str) -> Outcome {
        Outcome::of(self.lookup.find(&signed(token)).await)
    }

    pub(crate) fn sign_out(&mut self, token: &str) {
        self.signed_in.retain(|other| *other != token);
        *lock(&self.store.sessions) = sessions_of(&self.signed_in);
    }

    /// Lets all statements through from now on.
    pub(crate) fn open_gate(&self) {
        self.store.gate.add_permits(MANY);
    }

    /// Lets this many statements through.
    pub(crate) fn release(&self, statements: usize) {
        self.store.gate.add_permits(statements);
    }

    pub(crate) fn set_failing(&self, is_failing: bool) {
        *lock(&self.store.is_failing) = is_failing;
    }

    /// Ends all connections, or accepts new ones again.
    pub(crate) fn set_down(&self, is_down: bool) {
        *lock(&self.store.is_down) = is_down;
    }

    /// Makes the store omit this many results of each statement.
    pub(crate) fn omit_results(&self, count: usize) {
        *lock(&self.store.omitted_results) = count;
    }

    pub(crate) fn store_log(&self) -> StoreLog {
        lock(&self.store.log).clone()
    }

    pub(crate) fn statements(&self) -> Vec<Vec<String>> {
        self.store_log().statements
    }

    pub(crate) fn outcomes(&self) -> Vec<(String, Outcome)> {
        lock(&self.outcomes).clone()
    }

    /// The outcome, if there is exactly one so far.
    pub(crate) fn only_outcome(&self) -> Option<Outcome> {
        let [(_, outcome)] = &self.outcomes()[..] else { return None };
        Some(outcome.clone())
    }

    /// Closes the lookup.
    pub(crate) fn closed(self) -> Self {
        let unused = Lookup::start(&self.store, limits(one_connection()), &Handle::current());
        Self { lookup: Arc::new(unused), ..self }
    }

    pub(crate) fn elapsed_seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

/// Waits until all tasks are idle. The clock advances by a millisecond, which is far from any timeout.
pub(crate) async fn wait_until_idle() {
    sleep(Duration::from_millis(1)).await;
}

/// The default settings with one connection.
pub(crate) fn one_connection() -> RawSettings {
    RawSettings { pool_size: Some(1), ..RawSettings::default() }
}

/// This many different tokens.
pub(crate) fn tokens(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("token {number:05}")).collect()
}

#[expect(clippy::expect_used, reason = "a test with invalid settings must fail")]
fn limits(settings: RawSettings) -> Limits {
    let settings = RawSettings {
        database_url: Some("postgresql://app@localhost/app".into()),
        secret: Some(SECRET.into()),
        base_url: Some("http://localhost".into()),
        ..settings
    };
    Settings::check(settings).expect("the settings are valid").limits
}

pub(crate) fn signed(token: &str) -> LookupKey {
    session_token(token).into()
}

#[expect(clippy::expect_used, reason = "a signed token is always valid")]
fn session_token(token: &str) -> SessionToken {
    let keys = Keys::new(&[Secret::new(SECRET)]);
    keys.sign(token).and_then(|value| keys.verify(&value)).expect("the token was just signed")
}

fn sessions_of(tokens: &[&str]) -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(tokens.iter().map(|token| identity(token))))
}

fn identity(token: &str) -> Identity {
    let session = Session {
        id: format!("session of {token}"),
        user_id: token.into(),
        token: session_token(token),
        expires_at: DateTime::UNIX_EPOCH,
        ip_address: None,
        user_agent: None,
        created_at: None,
        updated_at: None,
        own: Vec::new(),
    };
    let user = User {
        id: token.into(),
        name: Some(token.into()),
        email: Some(format!("{token}@example.com")),
        email_verified: false,
        image: None,
        created_at: None,
        updated_at: None,
        ban: None,
        own: Vec::new(),
    };
    Identity { session: Some(session), user }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
