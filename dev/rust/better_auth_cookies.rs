//! Writes cookies like better-auth 1.7.25, for tests and benchmarks. The crate itself only reads cookies.
//!
//! The sources are its `cookies/index.mjs`, `cookies/session-store.mjs` and `crypto/jwt.mjs`, and `jose`'s compact
//! serializations.

use aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeEncrypt as _, KeyIvInit as _};
use chrono::{DateTime, Utc};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256, Sha512};

pub(crate) const SECRET: &str = "only tests and benchmarks sign with this one";
pub(crate) const TOKEN_COOKIE: &str = "better-auth.session_token";
pub(crate) const DATA_COOKIE: &str = "better-auth.session_data";
/// `cookieCache.maxAge`, in seconds.
pub(crate) const MAX_AGE: i64 = 300;

/// `cookieCache.strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Compact,
    Jwt,
    Jwe,
}

impl Form {
    pub(crate) const ALL: [Self; 3] = [Self::Compact, Self::Jwt, Self::Jwe];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Jwt => "jwt",
            Self::Jwe => "jwe",
        }
    }
}

/// The Cookie header of a browser with these cookies only.
pub(crate) fn header(form: Form, token: &str, payload: &str, now: DateTime<Utc>) -> String {
    let mut pairs = vec![(TOKEN_COOKIE.to_owned(), encode_uri_component(&session_token(token)))];
    pairs.extend(chunks(&session_data(form, payload, now)));
    join(&pairs)
}

pub(crate) fn join(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

/// `setSignedCookie`, before percent-encoding.
pub(crate) fn session_token(token: &str) -> String {
    format!("{token}.{}", STANDARD.encode(hmac_sha256(token.as_bytes())))
}

/// `setCookieCache` for the JSON text of its `sessionData`.
pub(crate) fn session_data(form: Form, payload: &str, now: DateTime<Utc>) -> String {
    let seconds = now.timestamp();
    let with = |more: &str| {
        let members = payload.strip_suffix('}').unwrap_or(payload);
        format!("{members}{}{more}}}", if members.ends_with('{') { "" } else { "," })
    };
    match form {
        Form::Compact => {
            let expires_at = now.timestamp_millis() + MAX_AGE * 1000;
            let signed = with(&format!(r#""expiresAt":{expires_at}"#));
            let signature = URL_SAFE_NO_PAD.encode(hmac_sha256(signed.as_bytes()));
            URL_SAFE_NO_PAD.encode(format!(
                r#"{{"session":{payload},"expiresAt":{expires_at},"signature":"{signature}"}}"#
            ))
        }
        Form::Jwt => {
            let claims = with(&format!(r#""iat":{seconds},"exp":{}"#, seconds + MAX_AGE));
            let signed = format!(
                "{}.{}",
                URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#),
                URL_SAFE_NO_PAD.encode(claims)
            );
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac_sha256(signed.as_bytes())))
        }
        Form::Jwe => encrypt(&with(&format!(
            r#""iat":{seconds},"exp":{},"jti":"9b2c6d1e-6a0f-4f0e-8a38-1a5c3d1a8b11""#,
            seconds + MAX_AGE
        ))),
    }
}

/// RFC 7516 §7.1 and RFC 7518 §5.2.5, with a key made from the secret.
fn encrypt(claims: &str) -> String {
    let mut key = [0; 64];
    let derived = Hkdf::<Sha256>::new(Some(b"better-auth-session"), SECRET.as_bytes())
        .expand(b"BetterAuth.js Generated Encryption Key", &mut key);
    assert!(derived.is_ok(), "HKDF can produce 64 bytes");
    let jwk = format!(r#"{{"k":"{}","kty":"oct"}}"#, URL_SAFE_NO_PAD.encode(key));
    let id = URL_SAFE_NO_PAD.encode(Sha256::digest(jwk));
    let protected = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"dir","enc":"A256CBC-HS512","kid":"{id}"}}"#));
    // Random in Better Auth; derived from the text here, so that failures are reproducible.
    let iv = &Sha256::digest(claims)[..16];
    let mut ciphertext = claims.as_bytes().to_vec();
    ciphertext.resize((claims.len() / 16 + 1) * 16, 0);
    let encrypted = cbc::Encryptor::<Aes256>::new_from_slices(&key[32..], iv)
        .map(|cipher| cipher.encrypt_padded::<Pkcs7>(&mut ciphertext, claims.len()).map(drop));
    assert!(matches!(encrypted, Ok(Ok(()))), "the key, the IV and the buffer have the right sizes");
    let mac = hmac::<Hmac<Sha512>>(&key[..32]).chain_update(&protected).chain_update(iv);
    let bits = (protected.len() as u64 * 8).to_be_bytes();
    let tag = mac.chain_update(&ciphertext).chain_update(bits).finalize().into_bytes();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!("{protected}..{}.{}.{}", encode(iv), encode(&ciphertext), encode(&tag[..32]))
}

/// `chunkCookie`: one cookie, or several if it would exceed the size limit of browsers.
pub(crate) fn chunks(value: &str) -> Vec<(String, String)> {
    let alone = format!("{DATA_COOKIE}.99=; Max-Age={MAX_AGE}; Path=/; HttpOnly; SameSite=Lax");
    let size = 4050 - alone.len();
    if value.len() <= size {
        return vec![(DATA_COOKIE.to_owned(), value.to_owned())];
    }
    let parts = value.as_bytes().chunks(size).map(String::from_utf8_lossy);
    parts.enumerate().map(|(at, part)| (format!("{DATA_COOKIE}.{at}"), part.into_owned())).collect()
}

pub(crate) fn encode_uri_component(text: &str) -> String {
    let encode = |byte: u8| {
        let is_plain = byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte);
        if is_plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(encode).collect()
}

fn hmac_sha256(text: &[u8]) -> Vec<u8> {
    hmac::<Hmac<Sha256>>(SECRET.as_bytes()).chain_update(text).finalize().into_bytes().to_vec()
}

fn hmac<M: hmac::Mac + hmac::KeyInit>(key: &[u8]) -> M {
    match <M as hmac::KeyInit>::new_from_slice(key) {
        Ok(mac) => mac,
        Err(_) => unreachable!("HMAC accepts keys of any length"),
    }
}
