//! Better Auth's own form: base64url of `{"session":P,"expiresAt":<ms>,"signature":s}`.
//!
//! The signature is over the JSON text of P with `expiresAt` as its last member. That text is taken
//! from the cookie and not serialized again, because two JSON serializers can differ.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Snapshot;
use crate::signature::Keys;

/// Better Auth's decoder accepts base64 with and without padding.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    session: &'a RawValue,
    #[serde(borrow, rename = "expiresAt")]
    expires_at: &'a RawValue,
    signature: String,
}

pub(super) fn open(data: &str, keys: &Keys) -> Option<Snapshot> {
    // It also accepts the standard alphabet, but not a mixture of both.
    let base64 = if data.contains(['-', '_']) { URL_SAFE } else { STANDARD };
    let text = base64.decode(data).ok()?;
    let envelope: Envelope<'_> = serde_json::from_slice(&text).ok()?;
    let expires_at_ms: f64 = serde_json::from_str(envelope.expires_at.get()).ok()?;
    let payload = without_spaces(envelope.session.get());
    let members = payload.strip_suffix('}')?;
    let separator = if members == "{" { "" } else { "," };
    let signed = format!("{members}{separator}\"expiresAt\":{}}}", envelope.expires_at.get());
    if !keys.verify_compact(&signed, &envelope.signature) {
        return None;
    }
    Some(Snapshot { payload: serde_json::from_str(&payload).ok()?, expires_at_ms: Some(expires_at_ms) })
}

/// Valid JSON without white space, as `JSON.stringify` writes it.
fn without_spaces(json: &str) -> String {
    let mut in_string = false;
    let mut is_escaped = false;
    json.chars()
        .filter(|&c| {
            let is_space = !in_string && c.is_ascii_whitespace();
            match c {
                _ if is_escaped => is_escaped = false,
                '\\' => is_escaped = in_string,
                '"' => in_string = !in_string,
                _ => {}
            }
            !is_space
        })
        .collect()
}
