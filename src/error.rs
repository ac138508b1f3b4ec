//! All errors, as one enum. "No valid session" is not an error: it is a
//! [`Refusal`](crate::refusal::Refusal).

use std::error::Error as StdError;
use std::fmt;

/// A cause that is logged and never sent to a client.
pub type Cause = Box<dyn StdError + Send + Sync>;

const UNAVAILABLE: &str = "the session store is unavailable: ";

/// Why a request could not be decided.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is missing or wrong; the message names the setting and says how to fix it.
    #[error("{0}")]
    Configuration(String),
    /// The tables are not those of Better Auth, or our role has no permission to read them.
    #[error("{0}")]
    Schema(String),
    /// The tables do not exist yet. Better Auth's migration may be about to create them.
    #[error("{0}")]
    MissingTables(String),
    /// The keys that verify JWTs cannot be read; requests with other credentials are not affected.
    #[error("the keys that verify JWTs cannot be read")]
    Keys,
    /// The same because of the table that holds them.
    #[error("{0}")]
    KeyTable(String),
    /// A value in one session's rows cannot be read; other sessions are not affected.
    #[error("{0}")]
    Row(String),
    /// The store did not respond. A later request may succeed.
    #[error("{UNAVAILABLE}{what}")]
    Unavailable {
        /// What failed.
        what: String,
        /// Why it failed.
        #[source]
        cause: Option<Cause>,
        /// There is no connection, so any other request would fail too.
        is_down: bool,
    },
}

impl Error {
    /// A setting that is missing or wrong.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::Configuration(message.into())
    }

    /// The store did not respond, and no library error is the cause.
    pub fn unavailable(what: impl Into<String>) -> Self {
        Self::Unavailable { what: what.into(), cause: None, is_down: false }
    }

    /// The store did not respond, because of a library's error.
    pub fn unavailable_because(what: impl Into<String>, cause: impl Into<Cause>) -> Self {
        Self::Unavailable { what: what.into(), cause: Some(cause.into()), is_down: false }
    }

    /// There is no connection to the store.
    pub fn down(what: impl Into<String>) -> Self {
        Self::unavailable(what).because_it_is_down(true)
    }

    /// The same error, as one of the connection or not.
    #[must_use]
    pub fn because_it_is_down(self, is_down: bool) -> Self {
        match self {
            Self::Unavailable { what, cause, .. } => Self::Unavailable { what, cause, is_down },
            other => other,
        }
    }

    /// Whether there is no connection to the store.
    #[must_use]
    pub fn is_down(&self) -> bool {
        matches!(self, Self::Unavailable { is_down: true, .. })
    }

    /// The same as [`Self::chain`], without "the session store is unavailable".
    #[must_use]
    pub fn what(&self) -> String {
        let chain = self.chain();
        chain.strip_prefix(UNAVAILABLE).map_or_else(|| chain.clone(), str::to_owned)
    }

    /// Makes a configuration error that occurs during a request an [`Error::Unavailable`]: the cause may be on the
    /// database server, and may be fixed there without a restart.
    #[must_use]
    pub fn into_unavailable(self) -> Self {
        match self {
            Self::Configuration(message) => Self::unavailable(message),
            other => other,
        }
    }

    /// The error's message and those of its causes, in one line for a log.
    #[must_use]
    pub fn chain(&self) -> String {
        Chain(self).to_string()
    }
}

/// An error with all its causes: `outer: inner: innermost`.
struct Chain<'a>(&'a dyn StdError);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}
