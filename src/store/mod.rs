//! Looks up sessions by their tokens. There is one trait, and one contract for every store:
//! `tests/rust/store` tests each store against it.

pub mod memory;
pub mod postgres;

mod any;
mod change;
mod follower;

use std::sync::Arc;

pub(crate) use self::any::AnyStore;
pub use self::any::Source;
pub use self::change::{Change, Key, SessionKey, UserKey};
pub use self::follower::{Demand, Feed, Follower, OperatorLog};
use crate::error::Error;
use crate::identity::Identity;
use crate::signature::SessionToken;

/// A store's result for one token. The store does not check the time, so it returns expired sessions too.
#[derive(Clone, Debug, PartialEq)]
pub enum LookupResult {
    /// The session and its user.
    Found(Arc<Identity>),
    /// No session has this token.
    NoSession,
    /// The session's user does not exist.
    NoUser,
    /// There are rows, but they are not exactly one session.
    Unreadable,
    /// The session exists, but a value in its rows cannot be read. The text says which one, and how to fix it. Better
    /// Auth may accept the session, so it is not refused: the lookup fails instead.
    Misfit(String),
}

/// A source of sessions.
pub trait Store: Send + Sync + 'static {
    /// Returns one result for each token, in the same order. A bad token or row affects only its own result.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Schema`] if the store cannot be read; then there is no result for
    /// any token. Dropping the future cancels the lookup and leaves the store usable.
    fn find(&self, tokens: &[SessionToken]) -> impl Future<Output = Result<Vec<LookupResult>, Error>> + Send;
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
}

/// A source of public keys.
pub trait KeyStore: Send + Sync + 'static {
    /// Returns every row of the `jwks` table.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Schema`] if they cannot be read.
    fn public_keys(&self) -> impl Future<Output = Result<Vec<PublicKeyRow>, Error>> + Send;
}
