//! The secret that signs cookies, as Better Auth finds it.

use std::fmt;
use std::sync::Arc;

use super::given;
use crate::error::Error;

/// Better Auth's built-in default outside production: public, so it protects nothing.
const PUBLIC_DEFAULT: &str = "better-auth-secret-12345678901234567890";
const MIN_CHARACTERS: usize = 32;

/// A signing secret. It is never decoded: its UTF-8 bytes are the key. Its `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// A secret that was checked elsewhere.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(secret.into())
    }

    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The secrets that may verify a session cookie: as in Better Auth, the first of
/// `BETTER_AUTH_SECRETS` goes before a plain secret, and only it signs.
pub(super) fn check(secret: Option<&str>, secrets: Option<&str>) -> Result<Vec<Secret>, Error> {
    if let Some(list) = given(secrets) {
        return Ok(vec![accept("BETTER_AUTH_SECRETS", current(list)?)?]);
    }
    // Not trimmed: Better Auth takes the secret as it stands.
    let secret = secret.filter(|secret| !secret.is_empty()).ok_or_else(|| {
        Error::configuration(
            "no secret: set BETTER_AUTH_SECRET to the same value as at the Better Auth server",
        )
    })?;
    Ok(vec![accept("BETTER_AUTH_SECRET", secret)?])
}

/// The first entry of `2:new,1:old`.
fn current(list: &str) -> Result<&str, Error> {
    let first = list.split(',').next().unwrap_or_default().trim();
    let entry = first.split_once(':').map(|(version, secret)| (version.trim(), secret.trim()));
    match entry {
        Some((version, secret)) if version.parse::<u32>().is_ok() && !secret.is_empty() => Ok(secret),
        _ => Err(Error::configuration(
            "BETTER_AUTH_SECRETS does not read as \"<version>:<secret>,<version>:<secret>\", the current one first",
        )),
    }
}

fn accept(variable: &str, secret: &str) -> Result<Secret, Error> {
    if secret == PUBLIC_DEFAULT {
        return Err(Error::configuration(format!(
            "{variable} is Better Auth's public default, with which anybody can sign in as anybody: \
             set a secret of your own at the Better Auth server and here (openssl rand -base64 32)"
        )));
    }
    if secret.chars().count() < MIN_CHARACTERS {
        return Err(Error::configuration(format!(
            "{variable} has fewer than {MIN_CHARACTERS} characters: set a longer one at the Better \
             Auth server and here (openssl rand -base64 32)"
        )));
    }
    Ok(Secret::new(secret))
}
