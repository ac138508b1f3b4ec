//! The three parts of a signed token (RFC 7515 §7.1), and its protected header.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::Rejection;
use super::public_key::{PublicKey, Signing};
use super::strict_json;

/// The longest header we read, encoded. Better Auth's are shorter than 200 characters.
pub(crate) const MAX_HEADER_CHARACTERS: usize = 1024;

/// Which headers a kind of token may have.
pub(crate) struct HeaderRules {
    /// What `typ` may be; None stands for a header without it.
    pub(crate) types: &'static [Option<&'static str>],
    /// Members that no such token has.
    pub(crate) refused: &'static [&'static str],
}

/// Members that require an extension: we support none (RFC 7515 §4.1.11, RFC 7797).
pub(crate) const EXTENSIONS: &[&str] = &["crit", "b64"];

/// The same, and members that bring a key along. Keys come from the issuer alone, so whoever sends one is trying
/// something.
pub(crate) const EXTENSIONS_AND_KEYS: &[&str] = &["crit", "b64", "jwk", "jku", "x5u", "x5c", "zip"];

/// A token in its parts, not yet verified.
pub(crate) struct Unverified<'a> {
    signing: Signing,
    /// The id of the key that it says signed it.
    pub(crate) key_id: String,
    message: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Unverified<'a> {
    /// Cuts a token into its parts and reads its header.
    pub(crate) fn read(token: &'a str, rules: &HeaderRules) -> Result<Self, Rejection> {
        let (message, signature) = token.rsplit_once('.').ok_or(Rejection::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(Rejection::Malformed)?;
        let is_whole = ![header, payload, signature].contains(&"") && !payload.contains('.');
        if !is_whole || header.len() > MAX_HEADER_CHARACTERS {
            return Err(Rejection::Malformed);
        }
        let header = decode(header).ok_or(Rejection::Malformed)?;
        if rules.refused.iter().any(|name| header.contains_key(*name)) {
            return Err(Rejection::Header);
        }
        let is_text_or_absent = header.get("typ").is_none_or(Value::is_string);
        if !is_text_or_absent || !rules.types.contains(&header.get("typ").and_then(Value::as_str)) {
            return Err(Rejection::Type);
        }
        let algorithm = header.get("alg").and_then(Value::as_str).unwrap_or_default();
        let signing = Signing::named(algorithm).ok_or(Rejection::Algorithm)?;
        let key_id = header.get("kid").and_then(Value::as_str).filter(|id| !id.is_empty());
        let key_id = key_id.ok_or(Rejection::NoKeyId)?.to_owned();
        Ok(Self { signing, key_id, message, payload, signature })
    }

    /// The claims, if this key signed them: only then are they read at all.
    pub(crate) fn verify(&self, key: &PublicKey) -> Result<Map<String, Value>, Rejection> {
        strict_json::object(&self.verified_payload(key)?).ok_or(Rejection::Malformed)
    }

    /// The payload's bytes, if this key signed them.
    pub(crate) fn verified_payload(&self, key: &PublicKey) -> Result<Vec<u8>, Rejection> {
        if !key.verify(self.signing, self.message, self.signature) {
            return Err(Rejection::Signature);
        }
        bytes(self.payload).ok_or(Rejection::Malformed)
    }
}

/// A JSON object in base64url.
fn decode(part: &str) -> Option<Map<String, Value>> {
    strict_json::object(&bytes(part)?)
}

/// Base64url without padding and with its unused last bits zero: another spelling of the same bytes is another token.
fn bytes(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}
