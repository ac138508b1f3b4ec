//! The settings. All rules and defaults are here. The result is typed, and a wrong value is an
//! [`Error::Configuration`] that names the setting and says how to fix it.

mod cookie_names;
mod credentials;
mod database_parameters;
mod database_tls;
mod database_url;
mod faults;
mod freshness;
mod jwt;
mod origin_pattern;
mod quotes;
mod raw;
mod registrars;
mod secret;
mod strangers;
mod tables;
mod trusted_origins;
mod unescaped;
mod without_effect;

use std::time::Duration;

pub(crate) use cookie_names::is_signed_beside;
pub use cookie_names::{CookieNames, CookieOptions};
pub use credentials::{AcceptedCredentials, BearerForm};
pub use database_tls::{ChannelBinding, RootCertificates, SslMode};
pub use database_url::{DatabaseUrl, Host};
pub use faults::{Fault, faults};
pub use freshness::{CookieCacheSettings, FeedSettings, Freshness, LiveCacheSettings, Strategy};
use jwt::Neon;
pub use jwt::{JwksUrl, JwtFreshness, JwtSettings, KeyLocation};
pub use origin_pattern::OriginPattern;
pub use raw::RawSettings;
pub(crate) use registrars::{Common, common, hosting_domain};
pub use secret::{Secret, Secrets};
pub use tables::{OwnField, Table, Tables, spellings};
pub(crate) use trusted_origins::is_this_machine;
pub use trusted_origins::{TrustedOrigins, is_https};

use crate::error::Error;

/// The settings, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the sessions are; None where nothing is looked up: JWTs alone, by their claims.
    pub database: Option<DatabaseUrl>,
    /// Which kinds of credentials count.
    pub accepted: AcceptedCredentials,
    /// Whose JWTs count, where any do.
    pub jwt: Option<JwtSettings>,
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
    /// When guarded connections are checked.
    pub guards: GuardSettings,
    /// Warnings for an operator, logged once.
    pub warnings: Vec<String>,
}

/// When guarded connections are checked.
#[derive(Clone, Copy, Debug)]
pub struct GuardSettings {
    /// How long after a check the next one follows, where no feed keeps a connection current.
    pub recheck: Duration,
    /// How long a connection stays open although it cannot be checked.
    pub outage_grace: Duration,
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
        let mut raw = raw.or_defaults();
        let neon = Neon::check(&raw)?;
        let accepted = accepted(&raw, neon.as_ref())?;
        let secrets = if accepted.any_session() {
            secret::check(raw.secret.as_deref(), raw.secrets.as_deref(), &raw.previous_secrets)?
        } else {
            Secrets::default()
        };
        let base_url = match &neon {
            Some(neon) => Some(neon.base_url.clone()),
            None => trusted_origins::check_base_url(raw.base_url.as_deref())?,
        };
        // Without cookies, the name is never used.
        let is_https =
            base_url.as_ref().map(|url| url.scheme() == "https").or((!accepted.cookie).then_some(true));
        let cookie_names = CookieNames::check(CookieOptions {
            is_https,
            secure: raw.secure_cookies,
            prefix: raw.cookie_prefix.as_deref(),
            name: raw.cookie_name.as_deref(),
            cache_name: raw.cache_cookie_name.as_deref(),
        })?;
        let (trusted_origins, mut warnings) =
            TrustedOrigins::check(base_url.as_ref(), &raw.trusted_origins, &cookie_names)?;
        let has_database = given(raw.database_url.as_deref()).is_some();
        let check_jwt = || JwtSettings::check(&raw, base_url.as_ref(), neon.as_ref(), has_database);
        let jwt = accepted.jwt.then(check_jwt).transpose()?;
        let is_needed = has_database || accepted.any_session();
        let database = is_needed.then(|| DatabaseUrl::check(raw.database_url.as_deref())).transpose()?;
        warnings.extend(database.iter().flat_map(|database| database.warnings.clone()));
        let needs_live = jwt.as_ref().is_some_and(|jwt| jwt.freshness == JwtFreshness::Live);
        if needs_live && !accepted.any_session() && given(raw.freshness.as_deref()) == Some("always") {
            // The default, which is about sessions, of which there are none.
            raw.freshness = Some("live".to_owned());
        }
        let (freshness, of_freshness) = Freshness::check(&raw, database.as_ref(), base_url.is_some())?;
        // A number of seconds has no feed either: a deleted user would keep access for that long.
        let has_feed = freshness.live_cache().is_some_and(|cache| cache.feed.is_some());
        if needs_live && !has_feed && of_freshness.is_empty() {
            return Err(Error::configuration(format!(
                "jwt_freshness (AUTH_MIDDLEWARE_JWT_FRESHNESS) is \"live\", which requires the database's notifications, and \
                 freshness is {:?}, which does not listen to them: set freshness (AUTH_MIDDLEWARE_FRESHNESS) to \"live\" \
                 too, or jwt_freshness to \"always\"",
                given(raw.freshness.as_deref()).unwrap_or_default()
            )));
        }
        warnings.extend(of_freshness);
        warnings.extend(without_effect::warnings(&raw, accepted, jwt.as_ref()));
        warnings.extend(without_effect::of_neon(&raw, neon.is_some()));
        let prepared_statements = check_prepared(raw.prepared_statements.as_deref(), database.as_ref())?;
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
        let guards = GuardSettings {
            recheck: seconds("recheck_seconds", raw.recheck_seconds)?,
            outage_grace: seconds_within("outage_grace_seconds", raw.outage_grace_seconds, 0.0..=86_400.0)?,
        };
        let zone = tables::check_time_zone(raw.database_time_zone.as_deref().unwrap_or_default())?;
        let tables = Tables {
            schema: name("schema", raw.schema)?
                .or_else(|| database.as_ref()?.schema.clone())
                .or_else(|| neon.map(|_| Neon::SCHEMA.to_owned())),
            user: Table::check("user", raw.user_table, &raw.user_columns, raw.user_fields)?,
            session: Table::check("session", raw.session_table, &raw.session_columns, raw.session_fields)?,
            jwks: Table::check("jwks", raw.jwks_table, &raw.jwks_columns, Vec::new())?,
            zone,
        };
        Ok(Self {
            database,
            accepted,
            jwt,
            secrets,
            cookie_names,
            freshness,
            trusted_origins,
            tables,
            limits,
            guards,
            warnings,
        })
    }
}

/// Which kinds of credentials these settings accept, without a check of anything else.
///
/// # Errors
/// [`Error::Configuration`] when `credentials` is wrong.
pub fn accepted_credentials(raw: &RawSettings) -> Result<AcceptedCredentials, Error> {
    accepted(raw, Neon::check(raw)?.as_ref())
}

fn accepted(raw: &RawSettings, neon: Option<&Neon>) -> Result<AcceptedCredentials, Error> {
    let default = neon.map_or(AcceptedCredentials::COOKIE, |_| AcceptedCredentials::JWT);
    AcceptedCredentials::check(&raw.credentials, raw.bearer_unsigned, default)
}

/// An optional text, where empty means "not set": that is how environments say nothing.
fn given(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|value| !value.is_empty())
}

fn check_prepared(word: Option<&str>, database: Option<&DatabaseUrl>) -> Result<PreparedStatements, Error> {
    match given(word).unwrap_or_default() {
        // The DSN's own word (pgbouncer=true, statement_cache_size=0) decides where ours does not.
        "auto" if database.is_some_and(|database| database.behind_pooler) => Ok(PreparedStatements::Off),
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
    seconds_within(setting, value, 0.001..=3600.0)
}

fn seconds_within(
    setting: &str,
    value: Option<f64>,
    range: std::ops::RangeInclusive<f64>,
) -> Result<Duration, Error> {
    let value = value.unwrap_or_default();
    if !range.contains(&value) {
        return Err(Error::configuration(format!(
            "{setting} (AUTH_MIDDLEWARE_{}) is {value}: use seconds from {} to {}",
            setting.to_uppercase(),
            range.start(),
            range.end()
        )));
    }
    Ok(Duration::from_secs_f64(value))
}

#[cfg(test)]
mod tests;
