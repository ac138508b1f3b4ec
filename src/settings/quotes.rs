//! Quotes around a value, and white space. A shell, Compose and dotenv remove them, but `docker run --env-file` passes them on as part
//! of the value.

use super::RawSettings;
use super::trusted_origins;
use crate::error::Error;

/// Quotes in pairs.
const QUOTES: [(char, char); 5] =
    [('"', '"'), ('\'', '\''), ('`', '`'), ('\u{201c}', '\u{201d}'), ('\u{2018}', '\u{2019}')];
/// Secrets and URLs. What other readers of an environment leave on them, or remove, makes them another value there.
const EXACT: [&str; 7] = [
    "DATABASE_URL",
    "BETTER_AUTH_SECRETS",
    "BETTER_AUTH_URL",
    "AUTH_MIDDLEWARE_LISTEN_DATABASE_URL",
    "AUTH_MIDDLEWARE_JWKS_URL",
    "NEON_AUTH_BASE_URL",
    "NEON_AUTH_JWKS_URL",
];

/// Refuses a text setting whose value is in quotes, and a secret or URL with white space at an end. No message contains the value. The value of a single secret is checked
/// in `secret.rs`.
pub(super) fn refuse(raw: &RawSettings) -> Result<(), Error> {
    let texts = [
        ("DATABASE_URL", &raw.database_url),
        ("BETTER_AUTH_SECRETS", &raw.secrets),
        ("BETTER_AUTH_URL", &raw.base_url),
        ("AUTH_MIDDLEWARE_COOKIE_PREFIX", &raw.cookie_prefix),
        ("AUTH_MIDDLEWARE_COOKIE_NAME", &raw.cookie_name),
        ("AUTH_MIDDLEWARE_CACHE_COOKIE_NAME", &raw.cache_cookie_name),
        ("AUTH_MIDDLEWARE_SCHEMA", &raw.schema),
        ("AUTH_MIDDLEWARE_USER_TABLE", &raw.user_table),
        ("AUTH_MIDDLEWARE_SESSION_TABLE", &raw.session_table),
        ("AUTH_MIDDLEWARE_JWKS_TABLE", &raw.jwks_table),
        ("AUTH_MIDDLEWARE_DATABASE_TIME_ZONE", &raw.database_time_zone),
        ("AUTH_MIDDLEWARE_FRESHNESS", &raw.freshness),
        ("AUTH_MIDDLEWARE_LISTEN_DATABASE_URL", &raw.listen_database_url),
        ("AUTH_MIDDLEWARE_CACHE_STRATEGY", &raw.cache_strategy),
        ("AUTH_MIDDLEWARE_CACHE_VERSION", &raw.cache_version),
        ("AUTH_MIDDLEWARE_PREPARED_STATEMENTS", &raw.prepared_statements),
        ("AUTH_MIDDLEWARE_JWKS_URL", &raw.jwks_url),
        ("AUTH_MIDDLEWARE_JWT_ISSUER", &raw.jwt_issuer),
        ("AUTH_MIDDLEWARE_JWT_AUDIENCE", &raw.jwt_audience),
        ("AUTH_MIDDLEWARE_JWT_FRESHNESS", &raw.jwt_freshness),
        ("NEON_AUTH_BASE_URL", &raw.neon_auth_base_url),
        ("NEON_AUTH_JWKS_URL", &raw.neon_auth_jwks_url),
    ];
    let quoted_text = texts.into_iter().find(|(_, value)| value.as_deref().is_some_and(is_quoted));
    // A quoted list was split at its commas, so its quotes are in two entries.
    let origins = &raw.trusted_origins;
    let are_origins_quoted = is_quoted(&origins.join(",")) || origins.iter().any(|origin| is_quoted(origin));
    let credentials = &raw.credentials;
    let are_credentials_quoted =
        is_quoted(&credentials.join(",")) || credentials.iter().any(|kind| is_quoted(kind));
    let previous = &raw.previous_secrets;
    let are_previous_quoted = previous.len() > 1 && is_quoted(&previous.join(","));
    let quoted_list = are_origins_quoted
        .then_some(trusted_origins::SETTING)
        .or(are_credentials_quoted.then_some("AUTH_MIDDLEWARE_CREDENTIALS"))
        .or(are_previous_quoted.then_some("AUTH_MIDDLEWARE_PREVIOUS_SECRETS"));
    if let Some(setting) = quoted_text.map(|(setting, _)| setting).or(quoted_list) {
        return Err(Error::configuration(message(setting)));
    }
    let exact = texts.into_iter().filter(|(setting, _)| EXACT.contains(setting));
    let mut exact = exact.filter_map(|(setting, value)| Some((setting, value.as_deref()?)));
    match exact.find(|(_, value)| !value.trim().is_empty() && trimmed(value) != *value) {
        Some((setting, _)) => Err(Error::configuration(format!(
            "{setting} begins or ends with white space, a line end or a quote: set it without them. A file saved with \
             Windows line ends causes this, and so does a secret that is stored with a trailing line end"
        ))),
        None => Ok(()),
    }
}

/// A value without white space, invisible characters and quotes at its ends.
fn trimmed(value: &str) -> &str {
    value.trim_matches(|c: char| c.is_whitespace() || "\u{feff}\u{200b}\"'`\u{201c}\u{201d}".contains(c))
}

/// Whether a value is in quotes, also those that word processors make of them.
pub(super) fn is_quoted(value: &str) -> bool {
    let value = value.trim();
    let is_between =
        |(first, last): (char, char)| value.strip_prefix(first).is_some_and(|rest| rest.ends_with(last));
    QUOTES.into_iter().any(is_between)
}

fn message(setting: &str) -> String {
    let server =
        if setting.contains("SECRET") { ", and give the Better Auth server the same value" } else { "" };
    format!(
        "{setting} is in quotes, which are part of the value: docker run --env-file keeps them. Write it without \
         quotes{server}"
    )
}
