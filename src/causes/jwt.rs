//! Why this JWT is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::Causes;
use super::printable::printable;
use crate::jwt::Rejection;
use crate::jwt::jwks::Jwks;
use crate::refusal::{Cause, Reason, Refusal};

impl Causes {
    /// The refusal of a JWT that these keys did not verify.
    #[must_use]
    pub fn jwt(&self, why: Rejection, token: &str, keys: &Jwks, now: DateTime<Utc>) -> Refusal {
        let (header, claims) = parts(token);
        let of = |object: &Map<String, Value>, name: &str| match object.get(name) {
            Some(Value::String(text)) => Some(printable(text)),
            Some(Value::Array(list)) => {
                let texts: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
                Some(printable(&texts.join(", ")))
            }
            _ => None,
        };
        // Better Auth signs with ES512 if it is told to: then its keys cannot be used, which was reported.
        let is_of_its_keys = why == Rejection::UnknownKey
            || why == Rejection::Algorithm && header.get("alg").is_some_and(|alg| alg == "ES512");
        if is_of_its_keys && keys.are_the_problem() {
            return Reason::BadToken.into();
        }
        let (cause, detail) = match why {
            Rejection::Expired => return self.expired_jwt(token, &claims, now),
            // Their signature was verified: a key of ours signed what they claim.
            Rejection::Issuer => (Cause::JwtIssuer, of(&claims, "iss")),
            Rejection::Audience => (Cause::JwtAudience, of(&claims, "aud")),
            Rejection::NotYetValid => {
                let seconds = seconds_ahead(&claims, now);
                (Cause::JwtFromFuture, Some(format!("{seconds} s")))
            }
            Rejection::UnknownKey if !keys.has_keys() => (Cause::JwtNoKeys, None),
            Rejection::UnknownKey => (Cause::JwtUnknownKey, of(&header, "kid")),
            Rejection::Type => (Cause::JwtOfOtherKind, of(&header, "typ").map(|typ| format!("typ {typ:?}"))),
            Rejection::Algorithm => {
                (Cause::JwtOfOtherKind, of(&header, "alg").map(|alg| format!("alg {alg:?}")))
            }
            other => (Cause::JwtInvalid, Some(other.as_str().to_owned())),
        };
        Refusal::caused_by(Reason::BadToken, cause, detail)
    }

    fn expired_jwt(&self, token: &str, claims: &Map<String, Value>, now: DateTime<Utc>) -> Refusal {
        let exp = claims.get("exp").and_then(Value::as_f64).unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
        let has_just_expired = is_recent(exp as i64, now);
        // The end of a token is its signature.
        let tail = token.len().saturating_sub(8);
        let hash = token.bytes().skip(tail).fold(0, |hash: u64, byte| hash << 8 | u64::from(byte));
        if has_just_expired && self.checks.has_seen_only_expired(hash) {
            return Refusal::caused_by(Reason::Expired, Cause::AllExpired, Some("JWT".to_owned()));
        }
        Reason::Expired.into()
    }
}

/// Whether something expired within the last day: a clock or a time zone may be wrong by that much.
pub(crate) fn is_recent(expired_at: i64, now: DateTime<Utc>) -> bool {
    now.timestamp().saturating_sub(expired_at) < 86_400
}

/// By how many seconds `iat` or `nbf` is ahead of our clock.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "only shown")]
fn seconds_ahead(claims: &Map<String, Value>, now: DateTime<Utc>) -> i64 {
    let times = ["iat", "nbf"].iter().filter_map(|name| claims.get(*name)?.as_f64());
    (times.fold(0.0, f64::max) - now.timestamp() as f64) as i64
}

/// The header and the claims; empty where they cannot be read.
fn parts(token: &str) -> (Map<String, Value>, Map<String, Value>) {
    let mut parts = token.split('.').map(|part| json(part).unwrap_or_default());
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// A JSON object in base64url.
fn json(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
