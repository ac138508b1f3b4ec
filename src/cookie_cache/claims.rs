//! The claims that every JWT form shares, checked as the `jose` package checks them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::{Snapshot, milliseconds};

/// The protected header of a compact JOSE object. None when it asks us to understand an
/// extension (`crit`): we understand none.
pub(super) fn header(token: &str) -> Option<Map<String, Value>> {
    let encoded = token.split('.').next()?;
    let header: Map<String, Value> = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()?;
    (!header.contains_key("crit") && !header.contains_key("b64")).then_some(header)
}

/// Checks `exp`, `nbf` and `iat`, and gives the claims as a snapshot.
pub(super) fn check(claims: Value, now: DateTime<Utc>, tolerance_seconds: f64) -> Option<Snapshot> {
    let seconds = (milliseconds(now) / 1000.0).floor();
    let exp = number(&claims, "exp")?;
    let nbf = number(&claims, "nbf")?;
    number(&claims, "iat")?;
    if exp.is_some_and(|exp| exp <= seconds - tolerance_seconds) {
        return None;
    }
    if nbf.is_some_and(|nbf| nbf > seconds + tolerance_seconds) {
        return None;
    }
    Some(Snapshot { payload: claims, expires_at_ms: exp.map(|exp| exp * 1000.0) })
}

/// A numeric claim, or none; None outside when it is something else.
#[expect(clippy::option_option, reason = "wrong, or absent, or a number")]
fn number(claims: &Value, name: &str) -> Option<Option<f64>> {
    match claims.get(name) {
        None => Some(None),
        Some(value) => value.as_f64().map(Some),
    }
}
