//! What a Better Auth server signs, for tests without one: session cookies, the cookie cache in every form, and JWTs.
//!
//! Only the Python package's `auth_middleware.testing` and tests use it. The production engine verifies the result.

mod encryption;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use crate::error::Error;
use crate::settings::{Secret, Strategy};
use crate::signature::Keys;
use crate::store::PublicKeyRow;

/// The id of the one key that signs JWTs.
const KEY_ID: &str = "testing";
/// What precedes an Ed25519 private key in PKCS #8 (RFC 8410, section 7).
const ED25519_PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Signs with one secret and one Ed25519 key.
pub struct Signer {
    secret: String,
    key: EncodingKey,
    public_key: Value,
}

/// A session and its user as Better Auth serializes them for its cookie cache.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// A JSON object without white space: `session`, `user`, `updatedAt`, `version`.
    pub payload: &'a str,
    /// When it is signed.
    pub issued_at: DateTime<Utc>,
    /// How long it may be trusted.
    pub max_age: TimeDelta,
    /// The origin of the auth server's base URL.
    pub issuer: &'a str,
}

impl Signer {
    /// A signer with this secret, and this seed of the key for JWTs.
    ///
    /// # Errors
    /// [`Error::Configuration`] if the key cannot be used.
    pub fn new(secret: &str, seed: &[u8; 32]) -> Result<Self, Error> {
        let key = EncodingKey::from_ed_der(&[ED25519_PKCS8.as_slice(), seed].concat());
        let jwk = Jwk::from_encoding_key(&key, Algorithm::EdDSA).map_err(unusable)?;
        let mut public_key = serde_json::to_value(&jwk.algorithm).map_err(unusable)?;
        public_key["alg"] = "EdDSA".into();
        Ok(Self { secret: secret.to_owned(), key, public_key })
    }

    /// The decoded value of the session cookie, which is also the bearer plugin's token.
    #[must_use]
    pub fn session_token(&self, token: &str) -> Option<String> {
        Keys::new(&[Secret::new(&self.secret)]).sign(token)
    }

    /// The value of the cookie cache's cookie.
    ///
    /// # Errors
    /// [`Error::Configuration`] if the payload is not a JSON object.
    pub fn snapshot(&self, strategy: Strategy, snapshot: Snapshot<'_>) -> Result<String, Error> {
        let expires_at = snapshot.issued_at + snapshot.max_age;
        if strategy == Strategy::Compact {
            return self.compact(snapshot.payload, expires_at.timestamp_millis());
        }
        let mut claims: Map<String, Value> = serde_json::from_str(snapshot.payload).map_err(unusable)?;
        claims.insert("iat".to_owned(), snapshot.issued_at.timestamp().into());
        claims.insert("exp".to_owned(), expires_at.timestamp().into());
        match strategy {
            Strategy::Jwe => encryption::encrypt(&self.secret, &Value::Object(claims).to_string())
                .ok_or_else(|| Error::configuration("the snapshot cannot be encrypted")),
            Strategy::Jwks => {
                let claim = |of: &str, name: &str| claims.get(of).map(|fields| fields[name].clone());
                let (subject, session) = (claim("user", "id"), claim("session", "token"));
                claims.extend([
                    ("iss".to_owned(), snapshot.issuer.into()),
                    ("aud".to_owned(), "better-auth:session-cache".into()),
                    ("sub".to_owned(), subject.unwrap_or_default()),
                    ("sid".to_owned(), session.unwrap_or_default()),
                ]);
                self.sign_by_key(Some("better-auth.session-cache+jwt"), &Value::Object(claims))
            }
            Strategy::Compact | Strategy::Jwt => {
                let message = message(&json!({"alg": "HS256"}), &Value::Object(claims));
                Ok(format!("{message}.{}", self.hmac(&message)?))
            }
        }
    }

    /// A JWT as Better Auth's jwt plugin issues it.
    ///
    /// # Errors
    /// [`Error::Configuration`] if the claims are not a JSON object.
    pub fn jwt(&self, claims: &str) -> Result<String, Error> {
        let claims: Map<String, Value> = serde_json::from_str(claims).map_err(unusable)?;
        self.sign_by_key(None, &Value::Object(claims))
    }

    /// The JWKS document.
    #[must_use]
    pub fn jwks(&self) -> Value {
        let mut key = self.public_key.clone();
        key["kid"] = KEY_ID.into();
        json!({"keys": [key]})
    }

    /// The rows of the `jwks` table.
    #[must_use]
    pub fn key_rows(&self) -> Vec<PublicKeyRow> {
        let public_key = self.public_key.to_string();
        vec![PublicKeyRow { id: KEY_ID.to_owned(), public_key, algorithm: None, expires_at: None }]
    }

    fn sign_by_key(&self, kind: Option<&str>, claims: &Value) -> Result<String, Error> {
        let mut header = json!({"alg": "EdDSA", "kid": KEY_ID});
        if let Some(kind) = kind {
            header["typ"] = kind.into();
        }
        let message = message(&header, claims);
        let signature = crypto::sign(message.as_bytes(), &self.key, Algorithm::EdDSA).map_err(unusable)?;
        Ok(format!("{message}.{signature}"))
    }

    /// The signature is over the payload with `expiresAt` as its last member.
    fn compact(&self, payload: &str, expires_at_ms: i64) -> Result<String, Error> {
        let not_an_object = || Error::configuration("the payload is not a JSON object");
        let members = payload.strip_suffix('}').ok_or_else(not_an_object)?;
        let signature = self.hmac(&format!("{members},\"expiresAt\":{expires_at_ms}}}"))?;
        let envelope =
            format!(r#"{{"session":{payload},"expiresAt":{expires_at_ms},"signature":"{signature}"}}"#);
        Ok(URL_SAFE_NO_PAD.encode(envelope))
    }

    fn hmac(&self, message: &str) -> Result<String, Error> {
        let mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).map_err(unusable)?;
        Ok(URL_SAFE_NO_PAD.encode(mac.chain_update(message).finalize().into_bytes()))
    }
}

/// Secret and key are only a test's, but a log need not have them either.
impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer(…)")
    }
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn unusable(error: impl std::fmt::Display) -> Error {
    Error::configuration(format!("the test kit cannot sign: {error}"))
}

#[cfg(test)]
mod tests;
