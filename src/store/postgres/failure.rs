//! Why a statement failed, by what can be done about it.

use std::error::Error as _;
use std::io;

use tokio_postgres::error::SqlState;

use crate::error::Error;

#[derive(Debug)]
pub(super) enum Failure {
    /// The connection: another one may work.
    Connection(Error),
    /// The tables changed: reading the catalog again may help.
    Tables(Error),
    /// A value in it (SQLSTATE class 22). The message could quote a token, so it is dropped.
    Data,
    /// Anything else.
    Lasting(Error),
}

impl Failure {
    pub(super) fn of(what: &str, error: tokio_postgres::Error) -> Self {
        let is_down = is_of_connection(&error);
        let Some(code) = error.code() else {
            let error = Error::unavailable_because(what, error);
            return Self::Connection(error.because_it_is_down(is_down));
        };
        match code.code() {
            data if data.starts_with("22") => Self::Data,
            // A feature that the changed table lacks ("cached plan must not change result
            // type"), a statement, table, column, cast or function that is gone, a right withdrawn.
            "0A000" | "26000" | "42P01" | "42703" | "42846" | "42883" | "42501" => {
                Self::Tables(Error::unavailable_because(what, error))
            }
            // 42P05: behind a pooler, another client's statement has the name.
            connection
                if connection.starts_with("08") || connection.starts_with("57P") || connection == "42P05" =>
            {
                Self::Connection(Error::unavailable_because(what, error).because_it_is_down(is_down))
            }
            _ if *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => {
                Self::Connection(Error::unavailable_because(what, error))
            }
            _ => Self::Lasting(Error::unavailable_because(what, error)),
        }
    }

    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Connection(error) | Self::Tables(error) | Self::Lasting(error) => error,
            Self::Data => Error::unavailable("a value could not be read"),
        }
    }
}

/// Whether there is no connection: none could be made, it broke, or the server is shutting down, starting or recovering. A
/// value that could not be sent or read is a matter of its statement.
pub(super) fn is_of_connection(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else {
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        let is_of_value = |error: &io::Error| error.kind() == io::ErrorKind::InvalidInput;
        return error.is_closed() || cause.is_some_and(|error| !is_of_value(error));
    };
    code.code().starts_with("08") || code.code().starts_with("57P")
}
