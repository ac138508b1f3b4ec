//! How old a session's state may be, and where it may come from. One setting decides both.

use std::time::Duration;

use super::{DatabaseUrl, Host, RawSettings, count, given, seconds};
use crate::error::Error;

/// Where the state of a session may come from.
#[derive(Clone, Debug)]
pub enum Freshness {
    /// The store, for every request.
    Always,
    /// Better Auth's signed snapshot, else the store.
    CookieCache(CookieCacheSettings),
    /// Lookup results cached in this process, else the store.
    LiveCache(Box<LiveCacheSettings>),
}

/// The settings of Better Auth's `session.cookieCache` that a reader needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieCacheSettings {
    /// How the cookie is protected.
    pub strategy: Strategy,
    /// The `version` that it must have.
    pub version: String,
}

/// How the cookie is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Better Auth's own form, signed with the secret.
    Compact,
    /// A JWT, signed with the secret.
    Jwt,
    /// A JWT, encrypted with a key derived from the secret.
    Jwe,
    /// A JWT, signed by a key of the `jwks` table.
    Jwks,
}

/// How lookup results are cached in this process.
#[derive(Clone, Debug)]
pub struct LiveCacheSettings {
    /// The maximum number of cached sessions, at 1 KiB each on average.
    pub max_sessions: usize,
    /// How long after its lookup a result may be used.
    pub max_age: Duration,
    /// The source of invalidations; None if entries only expire.
    pub feed: Option<FeedSettings>,
}

/// The settings of the listener for PostgreSQL's `NOTIFY`.
#[derive(Clone, Debug)]
pub struct FeedSettings {
    /// A direct connection to the database: through a transaction pooler, `LISTEN` receives nothing.
    pub database: DatabaseUrl,
    /// How long the cache may be trusted after the last confirmation that the feed works.
    pub heartbeat: Duration,
}

impl Strategy {
    /// The word of the setting.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Jwt => "jwt",
            Self::Jwe => "jwe",
            Self::Jwks => "jwks",
        }
    }
}

impl Freshness {
    /// The cookie cache's settings, if it may be trusted.
    #[must_use]
    pub fn cookie_cache(&self) -> Option<&CookieCacheSettings> {
        if let Self::CookieCache(settings) = self { Some(settings) } else { None }
    }

    /// The name of the cache that may identify a request, if there is one.
    #[must_use]
    pub fn cache_name(&self) -> Option<&'static str> {
        match self {
            Self::Always => None,
            Self::CookieCache(_) => Some("cookie_cache"),
            Self::LiveCache(_) => Some("live_cache"),
        }
    }

    /// Whether the cookie cache is signed by keys of the `jwks` table.
    #[must_use]
    pub fn uses_public_keys(&self) -> bool {
        self.cookie_cache().is_some_and(|cache| cache.strategy == Strategy::Jwks)
    }

    /// The settings of the cache in this process, if there is one.
    #[must_use]
    pub fn live_cache(&self) -> Option<&LiveCacheSettings> {
        if let Self::LiveCache(settings) = self { Some(settings) } else { None }
    }

    /// Checks `freshness` and the settings that belong to it. Also returns the warnings for an operator.
    pub(super) fn check(
        raw: &RawSettings,
        database: Option<&DatabaseUrl>,
        has_base_url: bool,
    ) -> Result<(Self, Vec<String>), Error> {
        let strategy = strategy(raw.cache_strategy.as_deref())?;
        let max_sessions = count("max_cached_sessions", raw.max_cached_sessions, 1..=10_000_000)?;
        let max_age = seconds("max_age_seconds", raw.max_age_seconds)?;
        let heartbeat = seconds("heartbeat_seconds", raw.heartbeat_seconds)?;
        let live_cache =
            |max_age, feed| Self::LiveCache(Box::new(LiveCacheSettings { max_sessions, max_age, feed }));
        match given(raw.freshness.as_deref()).unwrap_or_default() {
            "always" => Ok((Self::Always, Vec::new())),
            "cookie_cache" if strategy == Strategy::Jwks && !has_base_url => Err(Error::configuration(
                "cache_strategy \"jwks\" needs BETTER_AUTH_URL: its origin is the issuer of the signed cookie",
            )),
            "cookie_cache" => {
                let version = given(raw.cache_version.as_deref()).unwrap_or_default().to_owned();
                Ok((Self::CookieCache(CookieCacheSettings { strategy, version }), Vec::new()))
            }
            "live" => {
                let own = given(raw.listen_database_url.as_deref());
                let missing = "freshness \"live\" listens to the database: set DATABASE_URL";
                let mut database = own.map_or_else(
                    || database.cloned().ok_or_else(|| Error::configuration(missing)),
                    |url| DatabaseUrl::check_as("AUTH_MIDDLEWARE_LISTEN_DATABASE_URL", Some(url)),
                )?;
                if is_pooled(&database) {
                    return Ok((Self::Always, vec![cannot_listen(own.is_some())]));
                }
                "auth_middleware listener".clone_into(&mut database.application_name);
                let warnings = if own.is_some() { database.warnings.clone() } else { Vec::new() };
                Ok((live_cache(max_age, Some(FeedSettings { database, heartbeat })), warnings))
            }
            other => match other.parse().ok().filter(|seconds| (0.001..=86_400.0).contains(seconds)) {
                Some(seconds) => Ok((live_cache(Duration::from_secs_f64(seconds), None), Vec::new())),
                None => Err(Error::configuration(format!(
                    "freshness (AUTH_MIDDLEWARE_FRESHNESS) is {other:?}: use \"always\"; \"live\" for a \
                     cache that PostgreSQL's NOTIFY invalidates; the number of seconds, from 0.001 to 86400, for which \
                     sessions may be cached; or \"cookie_cache\" to trust Better Auth's session_data until it expires"
                ))),
            },
        }
    }
}

fn strategy(word: Option<&str>) -> Result<Strategy, Error> {
    match given(word).unwrap_or_default() {
        "compact" => Ok(Strategy::Compact),
        "jwt" => Ok(Strategy::Jwt),
        "jwe" => Ok(Strategy::Jwe),
        "jwks" => Ok(Strategy::Jwks),
        other => Err(Error::configuration(format!(
            "cache_strategy (AUTH_MIDDLEWARE_CACHE_STRATEGY) is {other:?}: use \"compact\", \"jwt\" or \"jwe\" as \
             session.cookieCache.strategy at the Better Auth server, or \"jwks\" for \
             jwt({{ sessionCookieCache: true }})"
        ))),
    }
}

/// Through a transaction pooler, `LISTEN` succeeds but receives nothing. Neon's pooler is recognized by its name.
fn is_pooled(database: &DatabaseUrl) -> bool {
    let is_neons = |name: &str| {
        name.ends_with(".neon.tech") && name.split('.').next().is_some_and(|label| label.ends_with("-pooler"))
    };
    database.behind_pooler || matches!(&database.host, Host::Tcp(name) if is_neons(name))
}

fn cannot_listen(is_own: bool) -> String {
    let (setting, fix) = if is_own {
        ("AUTH_MIDDLEWARE_LISTEN_DATABASE_URL", "set it to")
    } else {
        ("DATABASE_URL", "set AUTH_MIDDLEWARE_LISTEN_DATABASE_URL to")
    };
    format!(
        "freshness \"live\" receives no notifications through a transaction pooler, and {setting} points to one, so every \
         request queries the store: {fix} a direct connection (at Neon: the host name without \"-pooler\")"
    )
}
