//! The secret that signs cookies, as Better Auth finds it.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::given;
use super::quotes::is_quoted;
use crate::error::Error;

/// Better Auth's built-in default outside production: public, so it protects nothing.
const PUBLIC_DEFAULT: &str = "better-auth-secret-12345678901234567890";
const MIN_CHARACTERS: usize = 32;
/// Straight and typographic quotes.
const QUOTE_CHARACTERS: &str = "\"'`\u{b4}\u{ab}\u{bb}\u{2018}\u{2019}\u{201a}\u{201b}\u{201c}\u{201d}\u{201e}\u{201f}\u{2039}\u{203a}\u{2032}\u{2033}\u{ff02}\u{ff07}";
/// How a line of a `.env` file begins.
const ASSIGNMENTS: [&str; 3] = ["BETTER_AUTH_SECRET=", "BETTER_AUTH_SECRETS=", "AUTH_SECRET="];

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

    /// Distinguishes secrets, and reveals nothing else: 48 bits of an HMAC.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(self.as_bytes())
    }
}

fn fingerprint(key: &[u8]) -> String {
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    let digest = mac.chain_update(b"auth_middleware fingerprint of a secret").finalize().into_bytes();
    digest[..6].iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The secrets that may have protected a cookie, the current one first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    /// Those that may have signed: Better Auth verifies signatures with the current one only, and
    /// we with those besides that the operator lets live on (`previous_secrets`).
    pub signing: Vec<Secret>,
    /// Those that may have encrypted: Better Auth finds an old one by its key's id.
    pub encrypting: Vec<Secret>,
}

impl Secrets {
    /// Distinguishes the secrets of two deployments in their logs, and reveals nothing else: 48 bits of an HMAC.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.signing.first().map_or_else(|| fingerprint(&[]), Secret::fingerprint)
    }
}

/// The secrets, as Better Auth finds them: `BETTER_AUTH_SECRETS` goes before a plain secret, which
/// then only decrypts.
pub(super) fn check(
    secret: Option<&str>,
    secrets: Option<&str>,
    previous: &[String],
) -> Result<Secrets, Error> {
    // Not trimmed: Better Auth takes the secret as it stands.
    let plain = secret.filter(|secret| !secret.is_empty());
    let mut encrypting = if let Some(list) = given(secrets) {
        let mut listed = versions(list)?;
        listed.extend(plain.filter(|plain| is_sound(plain)).map(Secret::new));
        listed
    } else {
        let missing = "no secret: set BETTER_AUTH_SECRET to the same value as at the Better Auth server";
        vec![accept_current("BETTER_AUTH_SECRET", plain.ok_or_else(|| Error::configuration(missing))?)?]
    };
    let previous = previous.iter().filter(|secret| !secret.is_empty());
    let previous: Vec<Secret> = previous
        .map(|secret| accept("AUTH_MIDDLEWARE_PREVIOUS_SECRETS", secret))
        .collect::<Result<_, _>>()?;
    let signing = encrypting.iter().take(1).chain(&previous).cloned().collect();
    encrypting.extend(previous);
    Ok(Secrets { signing, encrypting })
}

/// The entries of `2:new,1:old`.
fn versions(list: &str) -> Result<Vec<Secret>, Error> {
    let mut versions = Vec::new();
    let mut secrets = Vec::new();
    for entry in list.split(',') {
        let (version, secret) = entry.trim().split_once(':').unwrap_or_default();
        let (version, secret) = (version.trim().parse::<u32>().ok(), secret.trim());
        if version.is_none() || versions.contains(&version) || secret.is_empty() {
            return Err(Error::configuration(
                "BETTER_AUTH_SECRETS does not read as \"<version>:<secret>,<version>:<secret>\": whole versions, each \
                 once, the current one first",
            ));
        }
        versions.push(version);
        if secrets.is_empty() {
            secrets.push(accept_current("BETTER_AUTH_SECRETS", secret)?);
        } else if is_sound(secret) {
            // Whoever knows an old one can encrypt a snapshot that names anybody. Without it, the
            // store is asked.
            secrets.push(Secret::new(secret));
        }
    }
    Ok(secrets)
}

/// Whether a secret is worth the name.
fn is_sound(secret: &str) -> bool {
    secret != PUBLIC_DEFAULT && secret.chars().count() >= MIN_CHARACTERS
}

/// A secret that signs today. A previous one may have been set with its quotes on both sides.
fn accept_current(variable: &str, secret: &str) -> Result<Secret, Error> {
    // Some readers of .env files take quotes and white space off and others keep them, so Better Auth and this
    // library would sign with different keys.
    let trimmed = secret.trim_matches(|c: char| c.is_whitespace() || "\u{feff}\u{200b}".contains(c));
    if trimmed != secret || is_quoted(secret) {
        return Err(Error::configuration(format!(
            "{variable} begins or ends with white space or is in quotes, as it arrives here (docker run --env-file \
             keeps quotes): set it without them, at the Better Auth server and here"
        )));
    }
    if let Some(prefix) = assignment(secret) {
        return Err(Error::configuration(format!(
            "{variable} begins with {prefix:?}, as it arrives here: set it to what follows, at the Better Auth server and \
             here"
        )));
    }
    if has_quote_at_an_end(secret) {
        return Err(Error::configuration(format!(
            "{variable} begins or ends with a quote character, as it arrives here: set it without it, at the Better Auth \
             server and here. If the quote is part of the secret, generate another one (openssl rand -base64 32)"
        )));
    }
    accept(variable, secret)
}

/// The variable's name, where a whole line of a `.env` file was copied as the value.
fn assignment(secret: &str) -> Option<&'static str> {
    let line = secret.trim_start_matches(is_quote);
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    ASSIGNMENTS.into_iter().find(|prefix| line.starts_with(prefix))
}

/// Whether a quote is left at one end, also one with a backslash before it or a semicolon behind it.
fn has_quote_at_an_end(secret: &str) -> bool {
    let end = secret.trim_end_matches([';', ',']);
    secret.trim_start_matches('\\').starts_with(is_quote) || end.ends_with(is_quote)
}

fn is_quote(character: char) -> bool {
    QUOTE_CHARACTERS.contains(character)
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
