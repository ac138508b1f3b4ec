//! Why there is no connection: what was tried, what the server said, and which setting to change.

use std::fmt;

use tokio_postgres::Error as PgError;

use super::failure::is_of_connection;
use crate::error::Error;
use crate::settings::{DatabaseUrl, Host};

/// Where a connection leads to, without the password.
pub(super) struct Address<'a>(pub(super) &'a DatabaseUrl);

/// The error of a connection that could not be made. What only an operator can change is
/// [`Error::Configuration`]; what passes by itself is [`Error::Unavailable`].
pub(super) fn explain(database: &DatabaseUrl, setting: &str, error: &PgError) -> Error {
    let said = said(error);
    let message = |advice: &str| {
        format!("no connection to {} as role {:?}: {said}. {advice}", Address(database), database.user)
    };
    if let Some(advice) = refusal(database, setting, error, &said) {
        return Error::Configuration(message(&advice));
    }
    let advice = match error.code().map(tokio_postgres::error::SqlState::code) {
        Some("53300") => {
            "The server has no connection to spare: set AUTH_MIDDLEWARE_POOL_SIZE lower, or its limit higher"
                .to_owned()
        }
        Some(_) => format!("Is {setting} the right one?"),
        None => format!("Is the server running, and are host, port and sslmode in {setting} right?"),
    };
    // Without a code, it was not the server that refused.
    Error::unavailable(message(&advice)).because_it_is_down(error.code().is_none() || is_of_connection(error))
}

/// How to fix what does not pass by itself.
fn refusal(database: &DatabaseUrl, setting: &str, error: &PgError, said: &str) -> Option<String> {
    let says = |part: &str| said.contains(part);
    match error.code().map(tokio_postgres::error::SqlState::code) {
        Some("28P01") => Some(format!("Correct the user or the password in {setting}")),
        Some("28000") => Some(format!("Name a role in {setting} that may log in to this database from here")),
        Some("3D000") => Some(format!("Correct the name of the database in {setting}, or create it")),
        Some("42501") => Some(format!(
            "GRANT CONNECT ON DATABASE {:?} TO {:?}, or name another role in {setting}",
            database.database, database.user
        )),
        // Of PgBouncer, which has no codes of its own, and of Supabase's pooler.
        Some(_) if says("no such user") || says("no such database") || says("Tenant or user not found") => {
            Some(format!("Correct the user or the name of the database in {setting}"))
        }
        Some(_) if is_of_options(error) => Some(format!(
            "A pooler refuses options= in {setting}: leave it out, and set the schema with ?schema= or \
             AUTH_MIDDLEWARE_SCHEMA"
        )),
        Some("42704" | "22023") => Some(format!("Correct options= in {setting}")),
        None if says("password missing") => {
            Some(format!("The server requires a password: add it to {setting}"))
        }
        _ => None,
    }
}

/// Whether a pooler refused our `options`: PgBouncer ("unsupported startup parameter"), or RDS Proxy ("doesn't support
/// command-line options").
pub(super) fn is_of_options(error: &PgError) -> bool {
    error.as_db_error().is_some_and(|server| {
        ["startup parameter", "command-line options"].iter().any(|part| server.message().contains(part))
    })
}

/// The server's own words, or the innermost cause: what lies between is this library's affair.
fn said(error: &PgError) -> String {
    if let Some(server) = error.as_db_error() {
        return server.message().to_owned();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DatabaseUrl { host, port, database, .. } = self.0;
        match host {
            Host::Tcp(host) => write!(f, "database {database:?} at {host}:{port}"),
            Host::Unix(directory) => {
                write!(f, "database {database:?} at {}/.s.PGSQL.{port}", directory.display())
            }
        }
    }
}
