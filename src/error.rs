//! What can go wrong, as one enum. "No valid session" is not an error: it is a
//! [`Refusal`](crate::refusal::Refusal).

use std::error::Error as StdError;
use std::fmt;

/// A cause that is kept for the log and never shown to a client.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// Everything that keeps us from giving an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is missing or wrong; the message names it and the mend.
    #[error("{0}")]
    Configuration(String),
    /// The tables are not what Better Auth writes, or we may not read them.
    #[error("{0}")]
    Schema(String),
    /// A value in one session's rows cannot be read; other sessions are not concerned.
    #[error("{0}")]
    Row(String),
    /// The store did not answer; it may again.
    #[error("the session store is unavailable: {what}")]
    Unavailable {
        /// What we were doing.
        what: String,
        /// Why it failed.
        #[source]
        cause: Option<Cause>,
    },
}

impl Error {
    /// A wrong setting.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::Configuration(message.into())
    }

    /// A store that did not answer, for a reason of ours.
    pub fn unavailable(what: impl Into<String>) -> Self {
        Self::Unavailable { what: what.into(), cause: None }
    }

    /// A store that did not answer, and the library's own word for it.
    pub fn unavailable_because(what: impl Into<String>, cause: impl Into<Cause>) -> Self {
        Self::Unavailable { what: what.into(), cause: Some(cause.into()) }
    }

    /// The same where a request meets it: a setting that is wrong on the server's side may be corrected there.
    #[must_use]
    pub fn into_unavailable(self) -> Self {
        match self {
            Self::Configuration(message) => Self::unavailable(message),
            other => other,
        }
    }

    /// The message and those of its causes, in one line for a log.
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
