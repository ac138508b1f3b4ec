//! A JWT encrypted with a key derived from the secret: `dir`, `A256CBC-HS512` (RFC 7518 §5.2.5).

use aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt as _, KeyIvInit as _};
use chrono::{DateTime, Utc};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256, Sha512};

use super::{Snapshot, claims};
use crate::settings::Secret;

const SALT: &[u8] = b"better-auth-session";
const INFO: &[u8] = b"BetterAuth.js Generated Encryption Key";
/// The clock tolerance that Better Auth gives to `jose`.
const TOLERANCE_SECONDS: f64 = 15.0;

/// The keys that may have encrypted a cookie, the current one first.
#[derive(Clone)]
pub(super) struct EncryptionKeys(Vec<EncryptionKey>);

#[derive(Clone)]
struct EncryptionKey {
    id: String,
    mac: [u8; 32],
    aes: [u8; 32],
}

impl EncryptionKeys {
    /// Derives each key once.
    pub(super) fn derive(secrets: &[Secret]) -> Self {
        Self(secrets.iter().filter_map(EncryptionKey::derive).collect())
    }
}

impl std::fmt::Debug for EncryptionKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EncryptionKeys({} redacted)", self.0.len())
    }
}

impl EncryptionKey {
    fn derive(secret: &Secret) -> Option<Self> {
        let mut key = [0; 64];
        Hkdf::<Sha256>::new(Some(SALT), secret.as_bytes()).expand(INFO, &mut key).ok()?;
        // RFC 7638: the thumbprint of the key as a JWK.
        let jwk = format!(r#"{{"k":"{}","kty":"oct"}}"#, URL_SAFE_NO_PAD.encode(key));
        let (mac, aes) = (key[..32].try_into().ok()?, key[32..].try_into().ok()?);
        Some(Self { id: URL_SAFE_NO_PAD.encode(Sha256::digest(jwk)), mac, aes })
    }

    fn decrypt(&self, protected: &str, iv: &[u8], ciphertext: &[u8], tag: &[u8]) -> Option<Vec<u8>> {
        let bits = u64::try_from(protected.len()).ok()?.checked_mul(8)?.to_be_bytes();
        Hmac::<Sha512>::new_from_slice(&self.mac)
            .ok()?
            .chain_update(protected)
            .chain_update(iv)
            .chain_update(ciphertext)
            .chain_update(bits)
            .verify_truncated_left(tag)
            .ok()?;
        let cipher = cbc::Decryptor::<Aes256>::new_from_slices(&self.aes, iv).ok()?;
        let mut buffer = ciphertext.to_vec();
        Some(cipher.decrypt_padded::<Pkcs7>(&mut buffer).ok()?.to_vec())
    }
}

pub(super) fn open(data: &str, keys: &EncryptionKeys, now: DateTime<Utc>) -> Option<Snapshot> {
    let header = claims::header(data)?;
    let says = |name: &str| header.get(name).and_then(|value| value.as_str());
    if says("alg") != Some("dir") || says("enc") != Some("A256CBC-HS512") || header.contains_key("zip") {
        return None;
    }
    let parts: Vec<&str> = data.split('.').collect();
    let [protected, "", iv, ciphertext, tag] = parts[..] else { return None };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let (iv, ciphertext, tag) = (decode(iv)?, decode(ciphertext)?, decode(tag)?);
    if iv.len() != 16 || tag.len() != 32 {
        return None;
    }
    // With a key id, only that key is tried; without one, every key is.
    let named = match header.get("kid") {
        None => None,
        Some(kid) => Some(kid.as_str()?),
    };
    let mut candidates = keys.0.iter().filter(|key| named.is_none_or(|kid| key.id == kid));
    let plain = candidates.find_map(|key| key.decrypt(protected, &iv, &ciphertext, &tag))?;
    claims::check(serde_json::from_slice(&plain).ok()?, now, TOLERANCE_SECONDS)
}
