//! The claims that every JWT form shares, checked as the `jose` package checks them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::Snapshot;
use crate::jwt::{MAX_HEADER_CHARACTERS, Times};

/// The protected header of a compact JOSE object. None if it requires an extension (`crit`), since none
/// is supported.
pub(super) fn header(token: &str) -> Option<Map<String, Value>> {
    let encoded = token.split('.').next().filter(|encoded| encoded.len() <= MAX_HEADER_CHARACTERS)?;
    let header: Map<String, Value> = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()?;
    (!header.contains_key("crit") && !header.contains_key("b64")).then_some(header)
}

/// Checks `exp`, `nbf` and `iat`, and returns the claims as a snapshot.
pub(super) fn check(claims: Value, now: DateTime<Utc>, tolerance_seconds: f64) -> Option<Snapshot> {
    let times = Times::read(claims.as_object()?)?;
    if times.is_over(now, tolerance_seconds) || times.is_early(now, tolerance_seconds) {
        return None;
    }
    Some(Snapshot { payload: claims, expires_at_ms: times.exp.map(|exp| exp * 1000.0) })
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
