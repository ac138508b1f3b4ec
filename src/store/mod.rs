//! Looks up sessions by their tokens. There is one trait, and one contract for every store:
//! `tests/rust/store` tests each store against it.

pub mod memory;
pub mod postgres;

mod any;
mod change;
mod follower;

use std::sync::Arc;

use chrono::{DateTime, Utc};

pub(crate) use self::any::AnyStore;
pub use self::any::Source;
pub use self::change::{Change, Key, SessionKey, UserKey};
pub use self::follower::{Demand, Feed, Follower, OperatorLog};
use crate::error::Error;
use crate::identity::{Identity, UserId};
use crate::signature::SessionToken;

/// What a lookup is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LookupKey {
    /// The session with this token, and its user.
    Session(SessionToken),
    /// The user with this id, whom a JWT names.
    User(UserId),
}

impl LookupKey {
    /// The token or the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Session(token) => token.as_str(),
            Self::User(id) => id.as_str(),
        }
    }
}

impl From<SessionToken> for LookupKey {
    fn from(token: SessionToken) -> Self {
        Self::Session(token)
    }
}

impl From<&SessionToken> for LookupKey {
    fn from(token: &SessionToken) -> Self {
        Self::Session(token.clone())
    }
}

/// What a store has for one session or user. It does not look at the time: an expired session is found.
#[derive(Clone, Debug, PartialEq)]
pub enum LookupResult {
    /// The session and its user.
    Found(Arc<Identity>),
    /// No session has this token.
    NoSession,
    /// There is no such user, or the session's user is gone.
    NoUser,
    /// There are rows, but they are not exactly one session.
    Unreadable,
    /// The session exists, but a value in its rows cannot be read. The text says which one, and how to fix it. Better
    /// Auth may accept the session, so it is not refused: the lookup fails instead.
    Misfit(String),
}

/// A source of sessions.
pub trait Store: Send + Sync + 'static {
    /// One result for each key, in their order. A bad key or row spoils only its own result.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Schema`] when the store cannot be read; then there is no result for
    /// any key. Dropping the future gives up the attempt and leaves nothing half-done.
    fn find(&self, keys: &[LookupKey]) -> impl Future<Output = Result<Vec<LookupResult>, Error>> + Send;

    /// Whether the store responds, whatever lookups do: by a new connection, where there are connections.
    ///
    /// # Errors
    /// An error that [`Error::is_down`] when it does not respond. Any other one is a response.
    fn ping(&self) -> impl Future<Output = Result<(), Error>> + Send {
        std::future::ready(Ok(()))
    }
}

/// A row of Better Auth's `jwks` table, without its private key: that column is never read.
#[derive(Clone, Debug)]
pub struct PublicKeyRow {
    /// The key's id.
    pub id: String,
    /// A JSON Web Key.
    pub public_key: String,
    /// The algorithm, if the table has such a column.
    pub algorithm: Option<String>,
    /// When Better Auth stops signing with it, where the table has such a column; None is never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// The connections of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Those that a statement is using.
    pub used: usize,
    /// Those that are open and free.
    pub idle: usize,
}

/// A source of public keys.
pub trait KeyStore: Send + Sync + 'static {
    /// Returns every row of the `jwks` table.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Schema`] if they cannot be read.
    fn public_keys(&self) -> impl Future<Output = Result<Vec<PublicKeyRow>, Error>> + Send;
}
