//! The claims that every JWT form shares, checked as the `jose` package checks them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::{Snapshot, milliseconds};

/// The longest header that is parsed, in bytes. Better Auth's have fewer than 200. A header with many members
/// is the most expensive content of a cookie.
const MAX_HEADER_CHARACTERS: usize = 1024;

/// The protected header of a compact JOSE object. None if it requires an extension (`crit`), since none
/// is supported.
pub(super) fn header(token: &str) -> Option<Map<String, Value>> {
    let encoded = token.split('.').next().filter(|encoded| encoded.len() <= MAX_HEADER_CHARACTERS)?;
    let header: Map<String, Value> = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()?;
    (!header.contains_key("crit") && !header.contains_key("b64")).then_some(header)
}

/// Checks `exp`, `nbf` and `iat`, and returns the claims as a snapshot.
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

/// A numeric claim. `Some(None)` if it is absent, and None if it is not a number.
#[expect(clippy::option_option, reason = "wrong, or absent, or a number")]
fn number(claims: &Value, name: &str) -> Option<Option<f64>> {
    match claims.get(name) {
        None => Some(None),
        Some(value) => value.as_f64().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_is_long_or_requires_an_extension_is_refused() {
        let is_read = |json: &str| header(&format!("{}.e30.a", URL_SAFE_NO_PAD.encode(json))).is_some();
        assert!(is_read(r#"{"alg":"HS256"}"#));
        assert!(!is_read(&format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(1000))));
        assert!(!is_read(r#"{"alg":"HS256","crit":["exp"]}"#));
        assert!(!is_read(r#"{"alg":"HS256","b64":false}"#));
    }
}
