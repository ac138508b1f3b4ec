//! Whose JWTs are accepted, where the keys to them are, and how current the user must be.

use std::time::Duration;

use url::{Host, Url};

use super::{RawSettings, given};
use crate::error::Error;

/// A minute of difference is a clock that nobody sets.
const MAX_LEEWAY_SECONDS: f64 = 300.0;

/// The settings of JWTs, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtSettings {
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must be or contain.
    pub audience: String,
    /// How much our clock and the issuer's may differ.
    pub leeway: Duration,
    /// How current the user must be.
    pub freshness: JwtFreshness,
    /// Where the issuer's keys are.
    pub keys: KeyLocation,
}

/// How current the user of a JWT must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtFreshness {
    /// The user's row, for every request.
    Always,
    /// The user's row, from the live cache where it has it.
    Live,
    /// What the token claims: no database at all.
    Claims,
}

/// Where the issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyLocation {
    /// Behind a URL.
    Url(JwksUrl),
    /// In Better Auth's `jwks` table.
    Table,
}

/// A URL over which keys may be fetched: HTTPS, or plain HTTP to this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksUrl(Url);

impl JwksUrl {
    /// Checks a URL; `setting` says which one, for the message.
    ///
    /// # Errors
    /// [`Error::Configuration`] if an attacker between us and the server could choose the keys.
    pub fn check(setting: &str, text: &str) -> Result<Self, Error> {
        let url = Url::parse(text).ok().filter(Url::has_host).map(Self);
        let safe = url.filter(|url| match url.0.scheme() {
            "https" => true,
            "http" => url.is_this_machine(),
            _ => false,
        });
        safe.ok_or_else(|| {
            Error::configuration(format!(
                "{setting} is not an https URL: the keys that verify JWTs are fetched over HTTPS, or over plain HTTP from \
                 localhost. Set it as in https://auth.example.com/api/auth/jwks"
            ))
        })
    }

    /// The URL.
    #[must_use]
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// Whether it leads to this machine: then it is never fetched through a proxy.
    #[must_use]
    pub fn is_this_machine(&self) -> bool {
        match self.0.host() {
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                name == "localhost" || name.ends_with(".localhost")
            }
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }
}

/// Neon's managed Better Auth, where its environment variables are set and no setting names another
/// server.
#[derive(Clone, Debug)]
pub(super) struct Neon {
    /// `NEON_AUTH_BASE_URL`.
    pub(super) base_url: Url,
    jwks_url: JwksUrl,
}

impl Neon {
    /// The schema in which Neon keeps Better Auth's tables.
    pub(super) const SCHEMA: &'static str = "neon_auth";

    pub(super) fn check(raw: &RawSettings) -> Result<Option<Self>, Error> {
        let of_better_auth = [&raw.base_url, &raw.secret, &raw.secrets];
        let Some(base) = given(raw.neon_auth_base_url.as_deref()) else { return Ok(None) };
        if of_better_auth.into_iter().any(|setting| given(setting.as_deref()).is_some()) {
            return Ok(None);
        }
        let base = base.trim_end_matches('/');
        let base_url = JwksUrl::check("NEON_AUTH_BASE_URL", base)?.0;
        let jwks_url = match given(raw.neon_auth_jwks_url.as_deref()) {
            Some(url) => JwksUrl::check("NEON_AUTH_JWKS_URL", url)?,
            None => JwksUrl::check("NEON_AUTH_BASE_URL", &format!("{base}/.well-known/jwks.json"))?,
        };
        Ok(Some(Self { base_url, jwks_url }))
    }
}

impl JwtSettings {
    /// Checks what belongs to JWTs. `base_url` is the Better Auth server's, Neon's too.
    pub(super) fn check(
        raw: &RawSettings,
        base_url: Option<&Url>,
        neon: Option<&Neon>,
        has_database: bool,
    ) -> Result<Self, Error> {
        let origin = base_url.map(|url| url.origin().ascii_serialization());
        let claim = |setting: &str, value: Option<&str>| {
            given(value).map(str::to_owned).or_else(|| origin.clone()).ok_or_else(|| {
                Error::configuration(format!(
                    "credentials \"jwt\" needs BETTER_AUTH_URL, whose origin the tokens name as their issuer and \
                     audience, or {setting} (AUTH_MIDDLEWARE_{})",
                    setting.to_uppercase()
                ))
            })
        };
        Ok(Self {
            issuer: claim("jwt_issuer", raw.jwt_issuer.as_deref())?,
            audience: claim("jwt_audience", raw.jwt_audience.as_deref())?,
            leeway: leeway(raw.jwt_leeway_seconds)?,
            freshness: freshness(raw.jwt_freshness.as_deref(), has_database)?,
            keys: keys(raw, base_url, neon, has_database)?,
        })
    }
}

fn leeway(value: Option<f64>) -> Result<Duration, Error> {
    let value = value.unwrap_or_default();
    if !(0.0..=MAX_LEEWAY_SECONDS).contains(&value) {
        return Err(Error::configuration(format!(
            "jwt_leeway_seconds (AUTH_MIDDLEWARE_JWT_LEEWAY_SECONDS) is {value}: use seconds from 0 to \
             {MAX_LEEWAY_SECONDS}"
        )));
    }
    Ok(Duration::from_secs_f64(value))
}

fn freshness(word: Option<&str>, has_database: bool) -> Result<JwtFreshness, Error> {
    let freshness = match given(word) {
        None if has_database => JwtFreshness::Always,
        None | Some("claims") => return Ok(JwtFreshness::Claims),
        Some("always") => JwtFreshness::Always,
        Some("live") => JwtFreshness::Live,
        Some(other) => {
            return Err(Error::configuration(format!(
                "jwt_freshness (AUTH_MIDDLEWARE_JWT_FRESHNESS) is {other:?}: use \"always\" for the user's row at every \
                 request; \"live\" for the row from the live cache; or \"claims\" to trust the token until it expires"
            )));
        }
    };
    if !has_database {
        return Err(Error::configuration(format!(
            "jwt_freshness (AUTH_MIDDLEWARE_JWT_FRESHNESS) is {:?}, which reads the user's row: set DATABASE_URL, or use \
             \"claims\"",
            word.unwrap_or_default().trim()
        )));
    }
    Ok(freshness)
}

fn keys(
    raw: &RawSettings,
    base_url: Option<&Url>,
    neon: Option<&Neon>,
    has_database: bool,
) -> Result<KeyLocation, Error> {
    if let Some(url) = given(raw.jwks_url.as_deref()) {
        return JwksUrl::check("jwks_url (AUTH_MIDDLEWARE_JWKS_URL)", url).map(KeyLocation::Url);
    }
    if let Some(neon) = neon {
        return Ok(KeyLocation::Url(neon.jwks_url.clone()));
    }
    if has_database {
        return Ok(KeyLocation::Table);
    }
    let base_url = base_url.ok_or_else(|| {
        Error::configuration(
            "credentials \"jwt\" needs the issuer's keys: set BETTER_AUTH_URL, or jwks_url (AUTH_MIDDLEWARE_JWKS_URL)",
        )
    })?;
    // Better Auth adds /api/auth to a base URL that has no path of its own.
    let path = match base_url.path().trim_end_matches('/') {
        "" => "/api/auth",
        own => own,
    };
    let url = format!("{}{path}/jwks", base_url.origin().ascii_serialization());
    JwksUrl::check("BETTER_AUTH_URL, under which jwks_url (AUTH_MIDDLEWARE_JWKS_URL) is by default,", &url)
        .map(KeyLocation::Url)
}

#[cfg(test)]
mod tests;
