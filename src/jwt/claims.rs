//! What a signed token claims: until when, from whom, for whom, about whom.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::Rejection;

/// JavaScript's `Number.MAX_SAFE_INTEGER`, in seconds: far beyond any calendar.
const MAX_SECONDS: f64 = 9_007_199_254_740_991.0;

/// The times of a token, in seconds since 1970 (RFC 7519 §2, `NumericDate`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) exp: Option<f64>,
    nbf: Option<f64>,
    iat: Option<f64>,
}

impl Times {
    /// None when one of them is not a number, or beyond any calendar.
    pub(crate) fn read(claims: &Map<String, Value>) -> Option<Self> {
        Some(Self { exp: time(claims, "exp")?, nbf: time(claims, "nbf")?, iat: time(claims, "iat")? })
    }

    /// Those of a token that was checked before.
    pub(super) fn until(exp: f64) -> Self {
        Self { exp: Some(exp), nbf: None, iat: None }
    }

    /// Whether `exp` is past, as the `jose` package has it: whole seconds, and equal is past.
    pub(crate) fn is_over(&self, now: DateTime<Utc>, leeway: f64) -> bool {
        self.exp.is_some_and(|exp| exp <= seconds(now) - leeway)
    }

    /// Whether the token begins later than now.
    pub(crate) fn is_early(&self, now: DateTime<Utc>, leeway: f64) -> bool {
        self.nbf.is_some_and(|nbf| nbf > seconds(now) + leeway)
    }

    /// Whether the token was issued later than now.
    pub(crate) fn is_from_the_future(&self, now: DateTime<Utc>, leeway: f64) -> bool {
        self.iat.is_some_and(|iat| iat > seconds(now) + leeway)
    }
}

/// A time, or none; None outside when it is something else.
#[expect(clippy::option_option, reason = "wrong, or absent, or a number")]
fn time(claims: &Map<String, Value>, name: &str) -> Option<Option<f64>> {
    let Some(value) = claims.get(name) else { return Some(None) };
    value.as_f64().filter(|seconds| seconds.abs() <= MAX_SECONDS).map(Some)
}

/// JavaScript's `Math.floor(Date.now() / 1000)`.
#[expect(clippy::cast_precision_loss, reason = "exact for every date that chrono has")]
fn seconds(now: DateTime<Utc>) -> f64 {
    now.timestamp() as f64
}

/// Whom a token must be from and for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// `iss`.
    pub issuer: String,
    /// One of `aud`.
    pub audience: String,
}

/// Checks every claim but the signature, and gives the user's id and when the token ends.
pub(super) fn check(
    claims: &Map<String, Value>,
    expected: &Expected,
    now: DateTime<Utc>,
    leeway: f64,
) -> Result<(String, f64), Rejection> {
    let times = Times::read(claims).ok_or(Rejection::Times)?;
    let exp = times.exp.ok_or(Rejection::Times)?;
    if times.is_over(now, leeway) {
        return Err(Rejection::Expired);
    }
    if times.is_early(now, leeway) || times.is_from_the_future(now, leeway) {
        return Err(Rejection::NotYetValid);
    }
    if claims.get("iss").and_then(Value::as_str) != Some(&expected.issuer) {
        return Err(Rejection::Issuer);
    }
    if !is_for(claims.get("aud"), &expected.audience) {
        return Err(Rejection::Audience);
    }
    let user_id = claims.get("sub").and_then(Value::as_str).filter(|id| is_id(id));
    let user_id = user_id.ok_or(Rejection::Subject)?;
    // `getSubject` can put anything into `sub`: then it is not known to be the user's id.
    if claims.get("id").is_some_and(|id| id.as_str() != Some(user_id)) {
        return Err(Rejection::Subject);
    }
    Ok((user_id.to_owned(), exp))
}

/// Whether `aud`, a text or a list of texts, names this audience.
pub(crate) fn is_for(aud: Option<&Value>, audience: &str) -> bool {
    match aud {
        Some(Value::Array(several)) => {
            several.iter().all(Value::is_string) && several.iter().any(|one| one == audience)
        }
        one => one.and_then(Value::as_str) == Some(audience),
    }
}

/// What can stand in an id column of ours: PostgreSQL's text holds no NUL.
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 256 && !text.contains(char::is_control)
}
