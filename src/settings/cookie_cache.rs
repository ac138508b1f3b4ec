//! How Better Auth's cookie cache is read, where the operator chose to believe it.

use super::given;
use crate::error::Error;

/// Better Auth's `session.cookieCache`, as far as a reader must know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieCacheSettings {
    /// How the cookie is protected.
    pub strategy: Strategy,
    /// What its `version` must be.
    pub version: String,
}

/// How the cookie is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Better Auth's own form, signed with the secret.
    Compact,
    /// A JWT, signed with the secret.
    Jwt,
    /// A JWT, encrypted with a key made from the secret.
    Jwe,
    /// A JWT, signed by a key of the `jwks` table.
    Jwks,
}

/// The cookie cache's settings; None where answers come from the store.
pub(super) fn check(
    freshness: Option<&str>,
    strategy: Option<&str>,
    version: Option<&str>,
    has_base_url: bool,
) -> Result<Option<CookieCacheSettings>, Error> {
    let strategy = match given(strategy).unwrap_or("compact") {
        "compact" => Strategy::Compact,
        "jwt" => Strategy::Jwt,
        "jwe" => Strategy::Jwe,
        "jwks" => Strategy::Jwks,
        other => {
            return Err(Error::configuration(format!(
                "cache_strategy (AUTH_MIDDLEWARE_CACHE_STRATEGY) is {other:?}: use \"compact\", \"jwt\" or \"jwe\" as \
                 session.cookieCache.strategy at the Better Auth server, or \"jwks\" for \
                 jwt({{ sessionCookieCache: true }})"
            )));
        }
    };
    match given(freshness).unwrap_or("always") {
        "always" => Ok(None),
        "cookie_cache" if strategy == Strategy::Jwks && !has_base_url => Err(Error::configuration(
            "cache_strategy \"jwks\" needs BETTER_AUTH_URL: its origin is the issuer of the signed cookie",
        )),
        "cookie_cache" => {
            Ok(Some(CookieCacheSettings { strategy, version: given(version).unwrap_or("1").to_owned() }))
        }
        other => Err(Error::configuration(format!(
            "freshness (AUTH_MIDDLEWARE_FRESHNESS) is {other:?}: use \"always\", or \"cookie_cache\" to believe Better \
             Auth's session_data until it expires"
        ))),
    }
}
