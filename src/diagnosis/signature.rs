//! Why is this no token that Better Auth signed with our secret?

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::Diagnosis;
use crate::refusal::{Cause, Reason, Refusal};
use crate::uri_component;

/// A longer value is not looked into.
const MAX_BYTES: usize = 8 * 1024;
/// 32 bytes in padded base64.
const SIGNATURE_CHARACTERS: usize = 44;
/// `{"session"` in base64: the beginning of `session_data`.
const SESSION_DATA: &str = "eyJzZXNzaW9u";
/// Values that JavaScript writes for a variable without a value.
const PLACEHOLDERS: [&str; 5] = ["undefined", "null", "[object Object]", "NaN", "false"];

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const ANY_PADDING: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);

impl Diagnosis {
    /// Why this value, as it came, is refused.
    pub fn bad_signature(&self, raw: &str) -> Refusal {
        Refusal::caused_by(Reason::BadSignature, self.cause_of(raw), None)
    }

    fn cause_of(&self, raw: &str) -> Cause {
        if raw.len() > MAX_BYTES {
            return Cause::Malformed;
        }
        let value = uri_component::decode(raw.into());
        let again = uri_component::decode(value.clone());
        if again != value && has_form(&again) {
            return Cause::EncodedTwice;
        }
        if let Some(cause) = of_other_kind(&value) {
            return cause;
        }
        let Some((_, signature)) = value.rsplit_once('.') else {
            return if is_bare_token(&value) { Cause::BareToken } else { Cause::Malformed };
        };
        if has_form(&value) {
            let mut suspects = self.suspects.iter();
            let found = suspects.find(|(_, keys)| keys.verify(&value).is_some());
            return found.map_or(Cause::OtherSecret, |(cause, _)| *cause);
        }
        if has_lost_its_encoding(signature) { Cause::SignatureEncoding } else { Cause::Malformed }
    }
}

/// Whether it is a token and a signature as Better Auth writes them, whoever signed it.
fn has_form(value: &str) -> bool {
    value.rsplit_once('.').is_some_and(|(token, signature)| {
        !token.is_empty()
            && signature.len() == SIGNATURE_CHARACTERS
            && STANDARD.decode(signature).is_ok_and(|bytes| bytes.len() == 32)
    })
}

/// A signature in base64url, without padding, or with the spaces that a form decoder makes of `+`.
fn has_lost_its_encoding(signature: &str) -> bool {
    let restored = signature.replace('-', "+").replace('_', "/").replace(' ', "+");
    ANY_PADDING.decode(restored).is_ok_and(|bytes| bytes.len() == 32)
}

/// What came in place of a session token.
pub(super) fn of_other_kind(value: &str) -> Option<Cause> {
    if value.starts_with(SESSION_DATA) {
        return Some(Cause::SessionDataAsToken);
    }
    let parts: Vec<&str> = value.split('.').take(6).collect();
    match parts[..] {
        // An encrypted JWT: only the cookie cache writes these.
        [header, _, _, _, _] if json(header).is_some() => Some(Cause::SessionDataAsToken),
        [header, payload, _] if json(header).is_some() => {
            let is_snapshot = json(payload).is_some_and(|claims| claims.contains_key("session"));
            Some(if is_snapshot { Cause::SessionDataAsToken } else { Cause::JwtAsCookie })
        }
        _ => None,
    }
}

pub(super) fn json(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// Whether it may be a token as it is in the database. Better Auth's have 32 characters.
pub(super) fn is_bare_token(value: &str) -> bool {
    let is_long_enough = (16..=256).contains(&value.len());
    is_long_enough && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Whether a script sent a variable that had no value.
pub(super) fn is_placeholder(value: &str) -> bool {
    value.is_empty() || PLACEHOLDERS.contains(&value)
}
