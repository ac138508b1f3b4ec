//! Did the Better Auth server issue this JWT, and for whom?
//!
//! A [`UserToken`] exists only where a key of the issuer's own set signed the token and every claim
//! held: time, issuer, audience, subject. Everything that names a key or an algorithm in the token
//! itself only chooses among what we trust (RFC 8725).

pub mod jwks;
pub mod key_set;

mod claims;
mod compact;
mod public_key;
mod strict_json;
mod token_cache;
mod user;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

pub use self::claims::Expected;
pub(crate) use self::claims::{Times, is_for};
use self::compact::EXTENSIONS_AND_KEYS;
pub(crate) use self::compact::{EXTENSIONS, HeaderRules, MAX_HEADER_CHARACTERS, Unverified};
use self::jwks::{Jwks, Key};
pub use self::public_key::PublicKey;
use self::token_cache::TokenCache;
use crate::clock::Moment;
use crate::identity::{Identity, json_bytes};
use crate::settings::OwnField;

/// Beyond this a token is refused unread.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Better Auth writes no `typ`. OAuth access tokens (`at+jwt`) and the cookie cache's
/// (`better-auth.session-cache+jwt`) are signed by the same keys, and are not this.
const HEADER: HeaderRules = HeaderRules { types: &[None, Some("JWT")], refused: EXTENSIONS_AND_KEYS };

/// A verified token. Only [`Verifier`] makes one, so it is for us, from our issuer, and in time.
#[derive(Clone)]
pub struct UserToken(Arc<Contents>);

struct Contents {
    user_id: String,
    claims: Map<String, Value>,
    exp: f64,
    /// What the claims say of the user, worked out when it is first needed.
    identity: OnceLock<Result<Arc<Identity>, String>>,
}

impl UserToken {
    fn new(user_id: String, claims: Map<String, Value>, exp: f64) -> Self {
        Self(Arc::new(Contents { user_id, claims, exp, identity: OnceLock::new() }))
    }

    /// `sub`: the id of the user's row.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.0.user_id
    }

    /// The user that the claims describe, with the application's own fields: those of the settings, always the same.
    ///
    /// # Errors
    /// What the token would have to claim.
    pub(crate) fn identity(&self, own_fields: &[OwnField]) -> Result<Arc<Identity>, String> {
        self.0.identity.get_or_init(|| user::identity(self, own_fields)).clone()
    }

    /// The memory of the claims.
    fn bytes(&self) -> usize {
        let of_claim =
            |(name, value): (&String, &Value)| size_of::<String>() + name.capacity() + json_bytes(value);
        self.0.claims.iter().map(of_claim).sum()
    }

    /// Every claim, as it was signed.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.0.claims
    }

    /// `exp`: the first instant at which the token is over, leeway aside.
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        #[expect(clippy::cast_possible_truncation, reason = "it saturates; a time is within 2⁵³ seconds")]
        let milliseconds = (self.0.exp * 1000.0) as i64;
        DateTime::from_timestamp_millis(milliseconds).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

/// It is a person's data: nothing of it goes to a log by accident.
impl fmt::Debug for UserToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserToken(…)")
    }
}

impl PartialEq for UserToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.claims == other.0.claims
    }
}

/// The text of a JWT whose key is not known yet. Whoever has it may be the user, so its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct PendingToken(Arc<str>);

impl PendingToken {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PendingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PendingToken(…)")
    }
}

/// Why a JWT is refused: a closed list, for the operator's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// It is too long, not three parts in base64url, or one of them is not strict JSON.
    Malformed,
    /// Its header brings a key of its own or requires an extension.
    Header,
    /// Its `typ` is that of another kind of token.
    Type,
    /// Its `alg` is none that we accept, or not one of its key's type.
    Algorithm,
    /// It has no `kid`.
    NoKeyId,
    /// Its `kid` names no key of the issuer, or one whose time is over.
    UnknownKey,
    /// The key did not sign it.
    Signature,
    /// `exp` is missing, or a time is not a number.
    Times,
    /// `exp` is past.
    Expired,
    /// `nbf` or `iat` is in the future.
    NotYetValid,
    /// `iss` is not `jwt_issuer`.
    Issuer,
    /// `aud` is not `jwt_audience`.
    Audience,
    /// `sub` is missing, or `id` is not the same.
    Subject,
}

impl Rejection {
    /// What is wrong, for a log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "the token is not a JWT",
            Self::Header => "the header has crit, b64, jwk, jku, x5u, x5c or zip",
            Self::Type => "the header's typ is not \"JWT\"",
            Self::Algorithm => "the header's alg is not accepted",
            Self::NoKeyId => "the header has no kid",
            Self::UnknownKey => "the header's kid names no key of the issuer",
            Self::Signature => "the signature is wrong",
            Self::Times => "exp is missing, or exp, nbf or iat is not a number",
            Self::Expired => "exp is past",
            Self::NotYetValid => "nbf or iat is in the future",
            Self::Issuer => "iss is not jwt_issuer",
            Self::Audience => "aud is not jwt_audience",
            Self::Subject => "sub is missing, or id is not equal to it",
        }
    }
}

/// What can be said of a JWT at once.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is good.
    Verified(UserToken),
    /// It is not.
    Rejected(Rejection),
    /// The key that it names is not known yet: wait for [`Verifier::keys_read`], then verify
    /// [`Verifier::verify_after_reading`].
    NeedsKeys,
    /// The keys cannot be read.
    KeysUnavailable,
}

/// Verifies JWTs by the issuer's keys.
#[derive(Debug)]
pub struct Verifier {
    expected: Expected,
    leeway: f64,
    jwks: Jwks,
    verified: TokenCache,
}

impl Verifier {
    /// A verifier for tokens of this issuer and audience.
    #[must_use]
    pub fn new(expected: Expected, leeway: Duration, jwks: Jwks) -> Self {
        Self { expected, leeway: leeway.as_secs_f64(), jwks, verified: TokenCache::default() }
    }

    /// What can be said of this token without waiting. An unknown key has the keys read.
    pub fn verify(&self, token: &str, now: Moment) -> Outcome {
        self.verify_by(token, now, |jwks, id| jwks.find(id, now.uptime))
    }

    /// The same when the keys were read for it: it never says [`Outcome::NeedsKeys`].
    pub fn verify_after_reading(&self, token: &str, now: Moment) -> Outcome {
        self.verify_by(token, now, |jwks, id| jwks.find_as_read(id, now.uptime))
    }

    /// Until the reading of the keys that is under way ends, well or not.
    pub async fn keys_read(&self) {
        self.jwks.read().await;
    }

    fn verify_by(&self, text: &str, now: Moment, find: impl Fn(&Jwks, &str) -> Key) -> Outcome {
        if text.len() > MAX_TOKEN_BYTES {
            return Outcome::Rejected(Rejection::Malformed);
        }
        if let Some(known) = self.verified.get(text) {
            let exp = known.token.0.exp;
            let is_over = Times::until(exp).is_over(now.wall, self.leeway);
            match find(&self.jwks, known.key.id()) {
                _ if is_over => {
                    self.verified.remove(text);
                    return Outcome::Rejected(Rejection::Expired);
                }
                Key::Found(key) if Arc::ptr_eq(&key, &known.key) && key.is_valid_at(now.wall) => {
                    return Outcome::Verified(known.token);
                }
                Key::NeedsReading => return Outcome::NeedsKeys,
                Key::Unavailable => return Outcome::KeysUnavailable,
                Key::Found(_) | Key::Unknown => self.verified.remove(text),
            }
        }
        let unverified = match Unverified::read(text, &HEADER) {
            Ok(unverified) => unverified,
            Err(rejection) => return Outcome::Rejected(rejection),
        };
        let key = match find(&self.jwks, &unverified.key_id) {
            Key::Found(key) if key.is_valid_at(now.wall) => key,
            Key::Found(_) | Key::Unknown => return Outcome::Rejected(Rejection::UnknownKey),
            Key::NeedsReading => return Outcome::NeedsKeys,
            Key::Unavailable => return Outcome::KeysUnavailable,
        };
        let checked = unverified.verify(&key).and_then(|claims| {
            let (user_id, exp) = claims::check(&claims, &self.expected, now.wall, self.leeway)?;
            Ok(UserToken::new(user_id, claims, exp))
        });
        match checked {
            Ok(token) => {
                self.verified.put(text, &token, &key);
                Outcome::Verified(token)
            }
            Err(rejection) => Outcome::Rejected(rejection),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_whose_key_is_not_known_yet_is_kept_and_not_shown() {
        let token = PendingToken::new("a.b.c");
        assert_eq!(token.as_str(), "a.b.c");
        assert_eq!(format!("{token:?}"), "PendingToken(…)");
    }

    #[test]
    fn tokens_are_equal_if_their_claims_are() {
        let token = |email: &str| {
            let claims = Map::from_iter([("email".to_owned(), Value::from(email))]);
            UserToken::new("ada".into(), claims, 0.0)
        };
        assert_eq!(token("ada@example.com"), token("ada@example.com"));
        assert_ne!(token("ada@example.com"), token("bob@example.com"));
    }
}
