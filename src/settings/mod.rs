//! The settings. All rules and defaults are here. The result is typed, and a wrong value is an
//! [`Error::Configuration`] that names the setting and says how to fix it.

mod cookie_names;
mod database_parameters;
mod database_tls;
mod database_url;
mod freshness;
mod origin_pattern;
mod quotes;
mod raw;
mod secret;
mod strangers;
mod tables;
mod trusted_origins;
mod unescaped;

use std::time::Duration;

pub use cookie_names::{CookieNames, CookieOptions};
pub use database_tls::{ChannelBinding, RootCertificates, SslMode};
pub use database_url::{DatabaseUrl, Host};
pub use freshness::{CookieCacheSettings, FeedSettings, Freshness, LiveCacheSettings, Strategy};
pub use origin_pattern::OriginPattern;
pub use raw::RawSettings;
pub use secret::{Secret, Secrets};
pub use tables::{OwnField, Table, Tables, spellings};
pub(crate) use trusted_origins::is_this_machine;
pub use trusted_origins::{TrustedOrigins, is_https};

use crate::error::Error;

/// The settings, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The database that has the sessions.
    pub database: DatabaseUrl,
    /// The secrets that may have signed or encrypted a cookie.
    pub secrets: Secrets,
    /// The names of the cookies.
    pub cookie_names: CookieNames,
    /// Where the state of a session may come from.
    pub freshness: Freshness,
    /// Which pages may act for a user.
    pub trusted_origins: TrustedOrigins,
    /// Where to look for the tables.
    pub tables: Tables,
    /// The limits for queries to the store.
    pub limits: Limits,
    /// Warnings for an operator, logged once.
    pub warnings: Vec<String>,
}

/// The limits for queries to the store.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The number of connections, and so of concurrent lookup statements.
    pub pool_size: usize,
    /// How long a request waits for the store.
    pub lookup_timeout: Duration,
    /// How many requests may wait. Further ones are refused at once.
    pub max_waiting: usize,
    /// The `Retry-After` for a refused client.
    pub retry_after: Duration,
    /// Whether statements may be named on the server.
    pub prepared_statements: PreparedStatements,
}

/// Whether statements may be named on the server. Behind a transaction pooler, a name can
/// belong to another client's statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreparedStatements {
    /// Only if the connection is found to be direct.
    Auto,
    /// Always: the operator knows that the connection is direct.
    On,
    /// Never.
    Off,
}

impl Settings {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::Configuration`] for the first setting that is missing or wrong. No message contains
    /// a secret or a password.
    pub fn check(raw: RawSettings) -> Result<Self, Error> {
        quotes::refuse(&raw)?;
        let raw = raw.or_defaults();
        let secrets = secret::check(raw.secret.as_deref(), raw.secrets.as_deref(), &raw.previous_secrets)?;
        let base_url = trusted_origins::check_base_url(raw.base_url.as_deref())?;
        let cookie_names = CookieNames::check(CookieOptions {
            is_https: base_url.as_ref().map(|url| url.scheme() == "https"),
            secure: raw.secure_cookies,
            prefix: raw.cookie_prefix.as_deref(),
            name: raw.cookie_name.as_deref(),
            cache_name: raw.cache_cookie_name.as_deref(),
        })?;
        let (trusted_origins, mut warnings) =
            TrustedOrigins::check(base_url.as_ref(), &raw.trusted_origins, &cookie_names)?;
        let database = DatabaseUrl::check(raw.database_url.as_deref())?;
        warnings.extend(database.warnings.iter().cloned());
        let (freshness, of_freshness) = Freshness::check(&raw, &database, base_url.is_some())?;
        warnings.extend(of_freshness);
        let prepared_statements = check_prepared(raw.prepared_statements.as_deref(), &database)?;
        let limits = Limits {
            pool_size: count("pool_size", raw.pool_size, 1..=1000)?,
            lookup_timeout: seconds("lookup_timeout_seconds", raw.lookup_timeout_seconds)?,
            max_waiting: count("max_waiting", raw.max_waiting, 1..=10_000_000)?,
            retry_after: Duration::from_secs(count(
                "retry_after_seconds",
                raw.retry_after_seconds,
                0..=86_400,
            )?),
            prepared_statements,
        };
        let zone = tables::check_time_zone(raw.database_time_zone.as_deref().unwrap_or_default())?;
        let tables = Tables {
            schema: name("schema", raw.schema)?.or_else(|| database.schema.clone()),
            user: Table::check("user", raw.user_table, &raw.user_columns, raw.user_fields)?,
            session: Table::check("session", raw.session_table, &raw.session_columns, raw.session_fields)?,
            jwks: Table::check("jwks", raw.jwks_table, &raw.jwks_columns, Vec::new())?,
            zone,
        };
        Ok(Self { database, secrets, cookie_names, freshness, trusted_origins, tables, limits, warnings })
    }
}

/// An optional text. Empty means "not set", since an environment variable is often unset by emptying it.
fn given(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|value| !value.is_empty())
}

fn check_prepared(word: Option<&str>, database: &DatabaseUrl) -> Result<PreparedStatements, Error> {
    match given(word).unwrap_or_default() {
        // Parameters of the URL (pgbouncer=true, statement_cache_size=0) decide if the setting does not.
        "auto" if database.behind_pooler => Ok(PreparedStatements::Off),
        "auto" => Ok(PreparedStatements::Auto),
        "on" => Ok(PreparedStatements::On),
        "off" => Ok(PreparedStatements::Off),
        other => Err(Error::configuration(format!(
            "prepared_statements (AUTH_MIDDLEWARE_PREPARED_STATEMENTS) is {other:?}: use \"auto\", \"on\" or \"off\""
        ))),
    }
}

/// A PostgreSQL name. It is always quoted, so only NUL and the length are checked.
fn name(setting: &str, value: Option<String>) -> Result<Option<String>, Error> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
    if value.contains('\0') || value.len() > 63 {
        return Err(Error::configuration(format!(
            "{setting} (AUTH_MIDDLEWARE_{}) is not a PostgreSQL name: at most 63 bytes, no NUL",
            setting.to_uppercase()
        )));
    }
    Ok(Some(value))
}

fn count<T: TryFrom<i64>>(
    setting: &str,
    value: Option<i64>,
    range: std::ops::RangeInclusive<i64>,
) -> Result<T, Error> {
    let value = value.unwrap_or_default();
    T::try_from(value).ok().filter(|_| range.contains(&value)).ok_or_else(|| {
        Error::configuration(format!(
            "{setting} (AUTH_MIDDLEWARE_{}) is {value}: use a number from {} to {}",
            setting.to_uppercase(),
            range.start(),
            range.end()
        ))
    })
}

fn seconds(setting: &str, value: Option<f64>) -> Result<Duration, Error> {
    let value = value.unwrap_or_default();
    if !(0.001..=3600.0).contains(&value) {
        return Err(Error::configuration(format!(
            "{setting} (AUTH_MIDDLEWARE_{}) is {value}: use seconds from 0.001 to 3600",
            setting.to_uppercase()
        )));
    }
    Ok(Duration::from_secs_f64(value))
}

#[cfg(test)]
mod tests;
