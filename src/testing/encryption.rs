//! The cookie cache's JWE, as Better Auth encrypts it: `dir`, `A256CBC-HS512` (RFC 7518 §5.2.5). Written apart from the
//! code that decrypts it, so that a fault in one is not repeated in the other.

use aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeEncrypt as _, KeyIvInit as _};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::{Digest as _, Sha256, Sha512};

const BLOCK: usize = 16;

pub(super) fn encrypt(secret: &str, claims: &str) -> Option<String> {
    let mut key = [0; 64];
    let hkdf = Hkdf::<Sha256>::new(Some(b"better-auth-session"), secret.as_bytes());
    hkdf.expand(b"BetterAuth.js Generated Encryption Key", &mut key).ok()?;
    let (mac_key, encryption_key) = key.split_at(32);
    let jwk = format!(r#"{{"k":"{}","kty":"oct"}}"#, encode(key));
    let header = json!({"alg": "dir", "enc": "A256CBC-HS512", "kid": encode(Sha256::digest(jwk))});
    let protected = encode(header.to_string());
    // In a test, it need not be a secret what two tokens have in common.
    let iv: [u8; BLOCK] = Sha256::digest(claims)[..BLOCK].try_into().ok()?;
    let mut buffer = claims.as_bytes().to_vec();
    buffer.resize(claims.len() + BLOCK, 0);
    let cipher = cbc::Encryptor::<Aes256>::new_from_slices(encryption_key, &iv).ok()?;
    let ciphertext = cipher.encrypt_padded::<Pkcs7>(&mut buffer, claims.len()).ok()?;
    let bits = u64::try_from(protected.len()).ok()?.checked_mul(8)?.to_be_bytes();
    let tag = Hmac::<Sha512>::new_from_slice(mac_key)
        .ok()?
        .chain_update(&protected)
        .chain_update(iv)
        .chain_update(ciphertext)
        .chain_update(bits)
        .finalize()
        .into_bytes();
    Some(format!("{protected}..{}.{}.{}", encode(iv), encode(ciphertext), encode(&tag[..32])))
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
