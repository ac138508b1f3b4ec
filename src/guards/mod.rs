//! Connections that end with their session: sockets, streams and other long requests.
//!
//! A connection is guarded from its [`Guards::add`] until its [`Watch`] is dropped. Three signals make the store be
//! queried for it, and the result decides:
//! - the session's expiry, which may have moved meanwhile;
//! - the feed of changes, while it is proven to be alive ([`GuardFollower`]);
//! - otherwise a re-check, at regular intervals.
//!
//! What must hold, and where:
//! - a change that was received after a query was sent leads to another query: `roster`;
//! - a connection is either current by the feed or among those that are re-checked: `round`;
//! - an outage ends no connection before its grace: `roster`.
//!
//! There is one task for all connections of an engine, and it holds no lock while it queries.

mod feed;
mod roster;
mod round;
mod unique_queue;
mod watcher;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

pub use self::feed::{GuardDemand, GuardFollower};
use self::roster::Roster;
use crate::clock::{Clock, Uptime};
use crate::error::Error;
use crate::identity::{Identity, UserId};
use crate::process;
use crate::refusal::Reason;
use crate::settings::Settings;
use crate::store::{LookupKey, UserKey};

/// Closes connections.
pub trait Closer: Send + Sync {
    /// Closes the connection with this number. Called once for each, from any thread; it must not wait.
    fn close(&self, number: u64, ending: Ending);
}

/// Closes one connection. There is one per guarded connection, so it is smaller than a boxed closure.
pub struct End {
    closer: Arc<dyn Closer>,
    number: u64,
}

impl End {
    /// Closes the connection with this number, the closer's own.
    #[must_use]
    pub fn new(closer: Arc<dyn Closer>, number: u64) -> Self {
        Self { closer, number }
    }

    fn close(self, ending: Ending) {
        self.closer.close(self.number, ending);
    }
}

/// Why a connection is closed.
#[derive(Clone, Debug)]
pub enum Ending {
    /// The session or its user is no longer valid.
    Ended(Reason),
    /// The application called `disconnect`.
    Disconnected,
    /// The store could not be queried for longer than the grace.
    Unchecked(Arc<Error>),
}

impl Ending {
    /// The WebSocket close code: of those that RFC 6455, section 7.4.2, leaves to applications.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Ended(_) | Self::Disconnected => 4001,
            Self::Unchecked(_) => 4002,
        }
    }

    /// The WebSocket close reason. It reveals nothing that the client must not know.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Ended(_) | Self::Disconnected => "session ended",
            Self::Unchecked(_) => "session could not be checked",
        }
    }

    /// The cause, for a log.
    #[must_use]
    pub fn cause(&self) -> String {
        match self {
            Self::Ended(reason) => reason.as_str().to_owned(),
            Self::Disconnected => "disconnect was called".to_owned(),
            Self::Unchecked(error) => error.chain(),
        }
    }
}

/// The session or user that a connection belongs to. Several connections of one request share it.
#[derive(Debug)]
pub struct Subject {
    /// What is looked up; None if the claims of a JWT are its user, which no query can change.
    key: Option<LookupKey>,
    user: UserKey,
    /// Only a hash, to save memory: it is needed only for `disconnect` by a session's id.
    session_id: Option<IdHash>,
    expires_at: DateTime<Utc>,
}

impl Subject {
    /// The subject of a connection that was opened with a session.
    #[must_use]
    pub fn of_session(identity: &Identity) -> Option<Self> {
        let session = identity.session.as_ref()?;
        Some(Self {
            key: Some(LookupKey::from(&session.token)),
            user: UserKey::of(&identity.user.id),
            session_id: Some(IdHash::of(&session.id)),
            expires_at: session.expires_at,
        })
    }

    /// The subject of a connection that was opened with a JWT, which ends when the token does. The user is looked up if
    /// there is a store that knows.
    #[must_use]
    pub fn of_token(user_id: &str, expires_at: DateTime<Utc>, is_looked_up: bool) -> Self {
        Self {
            key: is_looked_up.then(|| LookupKey::User(UserId::new(user_id))),
            user: UserKey::of(user_id),
            session_id: None,
            expires_at,
        }
    }

    /// What is looked up for it.
    #[must_use]
    pub fn key(&self) -> Option<&LookupKey> {
        self.key.as_ref()
    }
}

/// The first half of an id's SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct IdHash([u8; 16]);

impl IdHash {
    fn of(id: &str) -> Self {
        let sha256: [u8; 32] = Sha256::digest(id).into();
        let mut half = [0; 16];
        half.copy_from_slice(&sha256[..16]);
        Self(half)
    }
}

/// Whose connections an application closes.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// Every connection of the user with this id.
    User(&'a str),
    /// Every connection that was opened with the session with this id.
    Session(&'a str),
}

/// The guarded connections of one engine in one process. A clone has the same ones.
#[derive(Clone)]
pub struct Guards(Arc<Shared>);

struct Shared {
    process: u32,
    clock: Clock,
    roster: Mutex<Roster>,
    /// Something is to be done before the next timer.
    to_do: Notify,
    /// There is a connection.
    opened: Notify,
}

impl Guards {
    /// No connections yet.
    #[must_use]
    pub fn new(settings: &Settings, clock: Clock) -> Self {
        let roster = Roster::new(settings.guards, settings.limits.max_waiting);
        Self(Arc::new(Shared {
            process: process::id(),
            clock,
            roster: Mutex::new(roster),
            to_do: Notify::new(),
            opened: Notify::new(),
        }))
    }

    /// Guards a connection until its [`Watch`] is dropped. `since` is a time at which the subject was valid: not after
    /// the store was queried, or a cache trusted.
    #[must_use]
    pub fn add(&self, subject: Arc<Subject>, since: Uptime, end: End) -> Watch {
        let number = self.lock().add(subject, since, self.now(), end);
        self.0.opened.notify_one();
        self.0.to_do.notify_one();
        Watch { guards: Some(self.clone()), number }
    }

    /// Closes connections on behalf of the application, and returns how many.
    #[must_use]
    pub fn disconnect(&self, whose: Whose<'_>) -> usize {
        let ends = self.lock().disconnect(whose);
        ends.into_iter().map(|end| end.close(Ending::Disconnected)).count()
    }

    /// Closes every connection: nothing will query the store for them any more.
    pub fn close(&self) {
        let ends = self.lock().take_all();
        let closed = Arc::new(Error::unavailable("it was closed"));
        for end in ends {
            end.close(Ending::Unchecked(Arc::clone(&closed)));
        }
    }

    /// How many connections are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn now(&self) -> Uptime {
        self.0.clock.uptime()
    }

    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Roster> {
        self.0.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Roster)) {
        change(&mut self.lock());
        self.0.to_do.notify_one();
    }
}

/// One guarded connection. It is released when this is dropped.
pub struct Watch {
    guards: Option<Guards>,
    number: u64,
}

impl Watch {
    /// Queries the store soon, unless a re-check is due anyway: a change may have been missed before it was guarded.
    pub fn check_soon(&self) {
        if let Some(guards) = &self.guards {
            guards.change(|roster| roster.check_soon(self.number));
        }
    }
}

/// A child leaks what its parent had: a thread of the parent may have held the lock when the child was born.
impl Drop for Watch {
    fn drop(&mut self) {
        match self.guards.take() {
            Some(guards) if guards.0.process == process::id() => {
                let released = guards.lock().remove(self.number);
                drop(released);
            }
            parents => std::mem::forget(parents),
        }
    }
}

/// When the task has to look again: at a calendar time, at an uptime, or when something happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wake {
    wall: Option<DateTime<Utc>>,
    uptime: Option<Uptime>,
}

impl Wake {
    fn earlier(self, uptime: Option<Uptime>) -> Self {
        Self { uptime: [self.uptime, uptime].into_iter().flatten().min(), ..self }
    }
}

#[cfg(test)]
mod tests;
