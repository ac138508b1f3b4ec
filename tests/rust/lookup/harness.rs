//! A look-up over a store that the test holds in its hand, and a record of who was told what.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use auth_middleware::error::Error;
use auth_middleware::identity::{Identity, Session, User};
use auth_middleware::lookup::{Lookup, Outcome, Waiter};
use auth_middleware::settings::{Limits, RawSettings, Secret, Settings};
use auth_middleware::signature::{Keys, SessionToken};
use auth_middleware::store::memory::MemoryStore;
use auth_middleware::store::{LookupKey, LookupResult, Store};
use chrono::DateTime;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

const SECRET: &str = "0123456789abcdefghijklmnopqrstuv";

/// More than any test asks.
const MANY: usize = 1 << 20;

/// How a look-up ended, for one who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    SignedIn,
    Nobody,
    Unavailable(String),
}

impl Said {
    fn of(outcome: Outcome) -> Self {
        match outcome {
            Ok(LookupResult::Found(_)) => Self::SignedIn,
            Ok(_) => Self::Nobody,
            Err(error) => Self::Unavailable(error.to_string()),
        }
    }

    pub(crate) fn is_unavailable(&self, because: &str) -> bool {
        matches!(self, Self::Unavailable(message) if message.contains(because))
    }
}

/// Sessions in memory. An answer is what was there when the store was asked, as a statement's
/// snapshot is, and it is given when the gate lets it through.
pub(crate) struct GatedStore {
    sessions: Mutex<Arc<MemoryStore>>,
    gate: Semaphore,
    takes: Duration,
    seen: Mutex<SnapshotCache>,
    leaves_out: Mutex<usize>,
    fails: Mutex<bool>,
}

/// What the store saw of those who asked it.
#[derive(Clone, Default)]
pub(crate) struct SnapshotCache {
    /// The tokens of each statement.
    pub(crate) statements: Vec<Vec<String>>,
    pub(crate) under_way: usize,
    pub(crate) most_under_way: usize,
    /// Statements that nobody waited for to the end.
    pub(crate) given_up: usize,
}

impl Store for GatedStore {
    async fn find(&self, tokens: &[LookupKey]) -> Result<Vec<LookupResult>, Error> {
        let under_way = UnderWay::begin(self, tokens);
        let sessions = Arc::clone(&lock(&self.sessions));
        let mut answers = sessions.find(tokens).await?;
        sleep(self.takes).await;
        self.gate.acquire().await.map_err(|_| Error::unavailable("the gate is gone"))?.forget();
        under_way.end();
        if *lock(&self.fails) {
            return Err(Error::unavailable("the store failed"));
        }
        answers.truncate(answers.len() - *lock(&self.leaves_out));
        Ok(answers)
    }
}

struct UnderWay<'a> {
    store: &'a GatedStore,
    has_ended: bool,
}

impl<'a> UnderWay<'a> {
    fn begin(store: &'a GatedStore, tokens: &[LookupKey]) -> Self {
        let mut seen = lock(&store.seen);
        seen.statements.push(tokens.iter().map(|token| token.as_str().to_owned()).collect());
        seen.under_way += 1;
        seen.most_under_way = seen.most_under_way.max(seen.under_way);
        Self { store, has_ended: false }
    }

    fn end(mut self) {
        self.has_ended = true;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut seen = lock(&self.store.seen);
        seen.under_way -= 1;
        seen.given_up += usize::from(!self.has_ended);
    }
}

/// A look-up, its store, and what was told to whom, in the order in which it was.
pub(crate) struct Harness {
    pub(crate) lookup: Arc<Lookup>,
    store: Arc<GatedStore>,
    told: Arc<Mutex<Vec<(String, Said)>>>,
    began: Instant,
    signed_in: Vec<&'static str>,
}

impl Harness {
    /// Its gate is shut.
    pub(crate) fn new(settings: RawSettings, signed_in: &[&'static str]) -> Self {
        Self::taking(Duration::ZERO, settings, signed_in)
    }

    /// The same with a store that takes its time.
    pub(crate) fn taking(takes: Duration, settings: RawSettings, signed_in: &[&'static str]) -> Self {
        let store = Arc::new(GatedStore {
            sessions: Mutex::new(sessions_of(signed_in)),
            gate: Semaphore::new(0),
            takes,
            seen: Mutex::default(),
            leaves_out: Mutex::default(),
            fails: Mutex::default(),
        });
        Self {
            lookup: Arc::new(Lookup::start(&store, limits(settings), &Handle::current())),
            store,
            told: Arc::default(),
            began: Instant::now(),
            signed_in: signed_in.to_vec(),
        }
    }

    /// One more who waits for this token.
    pub(crate) fn ask(&self, token: &str) -> Arc<Waiter> {
        let (told, whose) = (Arc::clone(&self.told), token.to_owned());
        self.lookup.ask(&signed(token), move |outcome| lock(&told).push((whose, Said::of(outcome))))
    }

    /// The same for one of many who ask in one go. Whether they wait until somebody says that it is over.
    pub(crate) fn gather(&self, token: &str) -> bool {
        let (told, whose) = (Arc::clone(&self.told), token.to_owned());
        let resolve = move |outcome| lock(&told).push((whose, Said::of(outcome)));
        self.lookup.gather(&signed(token), resolve).waits_for_others
    }

    /// Waits for an answer itself.
    pub(crate) async fn find(&self, token: &str) -> Said {
        Said::of(self.lookup.find(&signed(token)).await)
    }

    pub(crate) fn sign_out(&mut self, token: &str) {
        self.signed_in.retain(|other| *other != token);
        *lock(&self.store.sessions) = sessions_of(&self.signed_in);
    }

    /// Lets as many statements through as ask.
    pub(crate) fn open_gate(&self) {
        self.store.gate.add_permits(MANY);
    }

    pub(crate) fn let_through(&self, statements: usize) {
        self.store.gate.add_permits(statements);
    }

    pub(crate) fn fail(&self, fails: bool) {
        *lock(&self.store.fails) = fails;
    }

    /// How many of a statement's tokens the store says nothing of.
    pub(crate) fn leave_out(&self, tokens: usize) {
        *lock(&self.store.leaves_out) = tokens;
    }

    pub(crate) fn seen(&self) -> SnapshotCache {
        lock(&self.store.seen).clone()
    }

    pub(crate) fn statements(&self) -> Vec<Vec<String>> {
        self.seen().statements
    }

    pub(crate) fn told(&self) -> Vec<(String, Said)> {
        lock(&self.told).clone()
    }

    /// The only one who was told something so far was told this.
    pub(crate) fn only_told(&self) -> Option<Said> {
        let [(_, said)] = &self.told()[..] else { return None };
        Some(said.clone())
    }

    /// The same without its look-up.
    pub(crate) fn closed(self) -> Self {
        let nobody_asks = Lookup::start(&self.store, limits(one_connection()), &Handle::current());
        Self { lookup: Arc::new(nobody_asks), ..self }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

/// Until everything waits. The clock moves by a millisecond, which is far from any deadline.
pub(crate) async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

/// The default settings with one connection.
pub(crate) fn one_connection() -> RawSettings {
    RawSettings { pool_size: Some(1), ..RawSettings::default() }
}

/// Names of their own for as many.
pub(crate) fn crowd(number: usize) -> Vec<String> {
    (0..number).map(|each| format!("token {each:05}")).collect()
}

#[expect(clippy::expect_used, reason = "a test whose settings are wrong has failed")]
fn limits(settings: RawSettings) -> Limits {
    let settings = RawSettings {
        database_url: Some("postgresql://app@localhost/app".into()),
        secret: Some(SECRET.into()),
        base_url: Some("http://localhost".into()),
        ..settings
    };
    Settings::check(settings).expect("the settings are good").limits
}

pub(crate) fn signed(token: &str) -> LookupKey {
    session_token(token).into()
}

#[expect(clippy::expect_used, reason = "only what was signed is a token")]
fn session_token(token: &str) -> SessionToken {
    let keys = Keys::new(&[Secret::new(SECRET)]);
    keys.sign(token).and_then(|value| keys.verify(&value)).expect("we signed it ourselves")
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
        name: token.into(),
        email: format!("{token}@example.com"),
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
