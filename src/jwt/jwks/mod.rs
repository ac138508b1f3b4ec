//! The issuer's keys: read when they are needed, and cached.
//!
//! One task reads them ([`Jwks::keep`]), so there is never more than one reading under way, and all
//! who need it wait for the same. Whoever verifies a token only looks at what was read last, and
//! wakes the task:
//!
//! - a set that is older than [`REFRESH_AFTER`] is read again in the background;
//! - one that is older than [`MAX_AGE`] is waited for;
//! - a key that it does not have has it read once, and then no more for [`COOL_DOWN`]: a flood of
//!   unknown keys costs nothing;
//! - while it cannot be read, the last one stays valid until it is older than [`MAX_AGE_IN_OUTAGE`].

pub mod http;

mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

pub use self::table::TableKeys;
use super::key_set::KeySet;
use super::public_key::PublicKey;
use crate::clock::{Clock, Uptime};
use crate::error::Error;

/// How old a set may be before it is read again, if it is used.
pub const REFRESH_AFTER: Duration = Duration::from_secs(240);
/// How old a set may be.
pub const MAX_AGE: Duration = Duration::from_secs(300);
/// How old a set may be while no newer one can be read.
pub const MAX_AGE_IN_OUTAGE: Duration = Duration::from_secs(3600);
/// How long unknown keys cause no reading after one that they caused.
pub const COOL_DOWN: Duration = Duration::from_secs(30);
/// How long one reading may take.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// After a reading that failed: doubled with each, up to [`COOL_DOWN`].
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// How many keys that are not known are noted for one reading.
const MAX_UNKNOWN: usize = 16;

/// Where keys are read.
pub trait KeySource: Send + Sync + 'static {
    /// All keys there are now.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Schema`] or [`Error::Configuration`] when they cannot be
    /// read. Dropping the future gives the attempt up.
    fn read(&self) -> impl Future<Output = Result<KeySet, Error>> + Send;
}

/// The issuer's keys, shared by all who verify tokens.
#[derive(Clone, Debug)]
pub struct Jwks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Wakes the task that reads.
    wanted: Notify,
    /// Counts the readings that ended.
    ended: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    keys: Arc<KeySet>,
    /// When the reading of `keys` began; None before the first.
    read_at: Option<Uptime>,
    /// A read was requested and has not ended.
    is_wanted: bool,
    /// The keys that it is for, as far as they were not known.
    unknown: Vec<String>,
    /// Until then unknown keys cause no reading.
    cool_until: Option<Uptime>,
    failures: u32,
    /// Why the last reading failed, if the table is missing or wrong.
    table_problem: Option<String>,
    /// After a failure, until then nothing causes a reading.
    retry_at: Option<Uptime>,
    /// Messages for an operator that were not logged yet.
    messages: Vec<String>,
    /// What was said of the set's keys, so that each sentence is logged once.
    logged: Vec<String>,
}

/// What is known of a key.
#[derive(Clone, Debug)]
pub(super) enum Key {
    Found(Arc<PublicKey>),
    /// The issuer does not have it.
    Unknown,
    /// A read was requested; its result will say.
    NeedsReading,
    Unavailable,
}

impl Default for Jwks {
    fn default() -> Self {
        let (ended, _) = watch::channel(0);
        Self(Arc::new(Shared { state: Mutex::default(), wanted: Notify::new(), ended }))
    }
}

impl Jwks {
    /// Reads the keys whenever they are wanted, for as long as it is polled.
    pub async fn keep(self, source: Arc<impl KeySource>, clock: Clock) {
        loop {
            self.0.wanted.notified().await;
            let began = clock.uptime();
            let read = timeout(DEADLINE, source.read()).await;
            let read = read.unwrap_or_else(|_elapsed| {
                Err(Error::unavailable(format!("no answer within {} s", DEADLINE.as_secs())))
            });
            self.settle(read, began, clock.uptime());
        }
    }

    /// Reads the keys now, so that trouble shows at start.
    pub fn want(&self) {
        self.request(&mut self.lock());
    }

    /// Why the keys cannot be read, if the table that holds them is missing or wrong.
    pub(crate) fn table_problem(&self) -> Option<String> {
        self.lock().table_problem.clone()
    }

    /// Messages for an operator that were not logged yet.
    #[must_use]
    pub fn take_messages(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().messages)
    }

    /// Whether the keys were read, and there are any.
    pub(crate) fn has_keys(&self) -> bool {
        !self.lock().keys.is_empty()
    }

    /// Whether the keys are known to be the problem: none can be used, which was reported, or they are being read for the
    /// first time.
    pub(crate) fn are_the_problem(&self) -> bool {
        let state = self.lock();
        let is_first_reading = state.is_wanted && state.read_at.is_none();
        is_first_reading || state.keys.is_empty() && !state.keys.unusable.is_empty()
    }

    /// Notes that an attempt to read the keys failed, as when the task makes one.
    pub fn note_failure(&self, error: Error) {
        let now = Uptime::now();
        self.settle(Err(error), now, now);
    }

    /// The key with this id. Requests a read where one is needed.
    pub(super) fn find(&self, id: &str, now: Uptime) -> Key {
        let mut state = self.lock();
        let may_read = state.retry_at.is_none_or(|retry_at| retry_at <= now);
        let is_younger_than = |age| state.read_at.is_some_and(|read_at| now < read_at.after(age));
        let (is_fresh, is_current) = (is_younger_than(REFRESH_AFTER), is_younger_than(MAX_AGE));
        let found = state.keys.get(id).cloned();
        if is_current {
            return match found {
                Some(key) => {
                    if !is_fresh && may_read {
                        self.request(&mut state);
                    }
                    Key::Found(key)
                }
                None if state.cool_until.is_some_and(|until| now < until) => Key::Unknown,
                None if may_read => {
                    state.miss(id);
                    self.request(&mut state);
                    Key::NeedsReading
                }
                None => Key::Unavailable,
            };
        }
        if may_read {
            if found.is_none() {
                state.miss(id);
            }
            self.request(&mut state);
        }
        // Where the last reading failed, nobody waits for the next one to fail as slowly.
        let is_in_outage = state.failures > 0;
        match found {
            Some(key) if is_in_outage && state.is_younger_than(MAX_AGE_IN_OUTAGE, now) => Key::Found(key),
            _ if is_in_outage && !may_read => Key::Unavailable,
            _ => Key::NeedsReading,
        }
    }

    /// The key with this id in what was just read, or why nothing was.
    pub(super) fn find_as_read(&self, id: &str, now: Uptime) -> Key {
        let state = self.lock();
        let is_in_outage = state.failures > 0;
        let max_age = if is_in_outage { MAX_AGE_IN_OUTAGE } else { MAX_AGE };
        match state.keys.get(id) {
            Some(key) if state.is_younger_than(max_age, now) => Key::Found(Arc::clone(key)),
            None if !is_in_outage && state.is_younger_than(MAX_AGE, now) => Key::Unknown,
            _ => Key::Unavailable,
        }
    }

    /// Waits for the read that is under way or was requested.
    pub(super) async fn read(&self) {
        let mut ended = self.0.ended.subscribe();
        if self.lock().is_wanted {
            // The sender lives as long as we do.
            let _closed = ended.changed().await;
        }
    }

    fn request(&self, state: &mut State) {
        if !state.is_wanted {
            state.is_wanted = true;
            self.0.wanted.notify_one();
        }
    }

    fn settle(&self, read: Result<KeySet, Error>, began: Uptime, now: Uptime) {
        let mut state = self.lock();
        state.is_wanted = false;
        let unknown = std::mem::take(&mut state.unknown);
        match read {
            Ok(keys) => {
                if unknown.iter().any(|id| keys.get(id).is_none()) {
                    state.cool_until = Some(now.after(COOL_DOWN));
                }
                let keys = keys.carrying_over(&state.keys);
                let new: Vec<String> =
                    keys.unusable.iter().filter(|text| !state.logged.contains(text)).cloned().collect();
                state.logged.clone_from(&keys.unusable);
                state.messages.extend(new);
                if state.failures > 0 {
                    state.messages.push("the keys that verify JWTs can be read again".to_owned());
                }
                state.keys = Arc::new(keys);
                state.read_at = Some(began);
                state.failures = 0;
                state.table_problem = None;
                state.retry_at = None;
            }
            Err(error) => {
                if state.failures == 0 {
                    state
                        .messages
                        .push(format!("the keys that verify JWTs cannot be read: {}", error.chain()));
                }
                state.table_problem = match &error {
                    Error::Schema(message) | Error::MissingTables(message) => Some(message.clone()),
                    _ => None,
                };
                // A migration is probably running: no need to spare a server that is in trouble.
                let doublings =
                    if matches!(error, Error::MissingTables(_)) { 0 } else { state.failures.min(5) };
                let wait = FIRST_RETRY * 2_u32.pow(doublings);
                state.retry_at = Some(now.after(wait.min(COOL_DOWN)));
                state.failures = state.failures.saturating_add(1);
            }
        }
        drop(state);
        self.0.ended.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes a key that a reading is for. A few are enough to recognise a flood.
    fn miss(&mut self, id: &str) {
        if self.unknown.len() < MAX_UNKNOWN {
            self.unknown.push(id.to_owned());
        }
    }

    fn is_younger_than(&self, age: Duration, now: Uptime) -> bool {
        self.read_at.is_some_and(|read_at| now < read_at.after(age))
    }
}

#[cfg(test)]
mod tests;
