//! 3 — Did Better Auth sign this token?
//!
//! A session cookie is `token.signature`: the signature is padded standard base64 of
//! HMAC-SHA256 over the token, under the secret's UTF-8 bytes. A [`SessionToken`] can only
//! be made by verifying such a signature.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::settings::Secret;

/// Better Auth's tokens have 32 characters. A much longer one was not written by Better Auth.
const MAX_TOKEN_BYTES: usize = 256;
/// 32 bytes in padded base64.
const SIGNATURE_CHARACTERS: usize = 44;

/// A session token whose signature was verified: no control characters, at most 256 bytes.
///
/// It is a bearer credential: whoever has it can act as the user. So its `Debug` is redacted.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionToken {
    text: Arc<str>,
    sha256: [u8; 32],
}

impl SessionToken {
    fn new(text: &str) -> Self {
        Self { text: text.into(), sha256: Sha256::digest(text).into() }
    }

    /// A token without a signature, where the operator accepts that (`bearer_unsigned`).
    pub(crate) fn unsigned(text: &str) -> Option<Self> {
        is_token(text).then(|| Self::new(text))
    }

    /// The token itself, for the store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its SHA-256, which identifies the session where the token itself must not appear.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(…)")
    }
}

/// The keys that may have signed a cookie, the current one first.
#[derive(Clone)]
pub struct Keys(Vec<Hmac<Sha256>>);

impl Keys {
    /// Prepares each secret once, so that a request computes only two SHA-256 blocks.
    #[must_use]
    pub fn new(secrets: &[Secret]) -> Self {
        let keyed = |secret: &Secret| Hmac::new_from_slice(secret.as_bytes()).ok();
        Self(secrets.iter().filter_map(keyed).collect())
    }

    /// The token of a decoded cookie value, or None if none of the keys signed it.
    ///
    /// The signature follows the last dot, since a token may contain dots. The comparison takes
    /// constant time. Base64url, missing padding and non-canonical trailing bits are refused, because
    /// Better Auth writes none of them.
    #[must_use]
    pub fn verify(&self, value: &str) -> Option<SessionToken> {
        let (token, signature) = value.rsplit_once('.')?;
        if !is_token(token) {
            return None;
        }
        if signature.len() != SIGNATURE_CHARACTERS {
            return None;
        }
        let signature = STANDARD.decode(signature).ok()?;
        let signed =
            |key: &Hmac<Sha256>| key.clone().chain_update(token.as_bytes()).verify_slice(&signature).is_ok();
        self.0.iter().any(signed).then(|| SessionToken::new(token))
    }

    /// Whether an unpadded base64url signature of this text is valid. The cookie cache uses this form.
    #[must_use]
    pub fn verify_compact(&self, text: &str, signature: &str) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        self.0.iter().any(|key| key.clone().chain_update(text.as_bytes()).verify_slice(&signature).is_ok())
    }

    /// The decoded cookie value that Better Auth would set for a token, signed with the current key.
    /// Only tests and benchmarks use it.
    #[must_use]
    pub fn sign(&self, token: &str) -> Option<String> {
        let mac = self.0.first()?.clone().chain_update(token.as_bytes()).finalize();
        Some(format!("{token}.{}", STANDARD.encode(mac.into_bytes())))
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TOKEN_BYTES && !text.contains(char::is_control)
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({} redacted)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new(&[Secret::new("0123456789abcdefghijklmnopqrstuv")])
    }

    fn signed(token: &str) -> String {
        keys().sign(token).unwrap_or_default()
    }

    #[test]
    fn accepts_what_better_auth_signed_and_shows_nothing_of_it() {
        let token = keys().verify(&signed("a.b.c"));
        assert_eq!(token.as_ref().map(SessionToken::as_str), Some("a.b.c"));
        assert_eq!(format!("{token:?}"), "Some(SessionToken(…))");
        assert_eq!(format!("{:?}", keys()), "Keys(1 redacted)");
    }

    #[test]
    fn refuses_every_single_changed_character() {
        let good = signed("abcDEF123");
        for at in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[at] ^= 1;
            let bad = String::from_utf8(bytes).unwrap_or_default();
            assert_eq!(keys().verify(&bad), None, "changed at {at}");
            assert_eq!(keys().verify(&good[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn refuses_other_encodings_of_a_good_signature() {
        let good = signed("t\u{fc}0");
        let (token, signature) = good.rsplit_once('.').unwrap_or_default();
        let unpadded = signature.trim_end_matches('=');
        let url_safe = signature.replace('+', "-").replace('/', "_");
        assert_eq!(keys().verify(&format!("{token}.{unpadded}")), None);
        assert!(url_safe == signature || keys().verify(&format!("{token}.{url_safe}")).is_none());
    }

    #[test]
    fn refuses_tokens_that_are_empty_huge_or_hold_control_characters() {
        for token in ["", "a\0b", "a\u{85}b", "a\nb", &"x".repeat(257)] {
            assert_eq!(keys().verify(&signed(token)), None, "{token:?}");
        }
        assert!(keys().verify(&signed(&"x".repeat(256))).is_some());
    }

    #[test]
    fn another_secret_signs_for_nobody() {
        let other = Keys::new(&[Secret::new("another secret of the right length!")]);
        assert_eq!(other.verify(&signed("abc")), None);
    }
}
