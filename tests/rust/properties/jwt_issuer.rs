//! An issuer of JWTs with one Ed25519 key, and a verifier that has read it.

use std::sync::Arc;
use std::time::Duration;

use auth_middleware::clock::{Clock, Moment};
use auth_middleware::error::Error;
use auth_middleware::jwt::jwks::{Jwks, KeySource};
use auth_middleware::jwt::key_set::KeySet;
use auth_middleware::jwt::{Expected, Outcome, Verifier};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

pub(crate) const NOW: i64 = 1_790_000_000;
pub(crate) const ISSUER: &str = "https://auth.example.com";
pub(crate) const HEADER: &str = r#"{"alg":"EdDSA","kid":"k"}"#;
/// RFC 8032 §7.1, test 1: the PKCS #8 form of the private key, and the public one.
const PRIVATE: &str = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v_VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";
pub(crate) const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

/// A verifier that has read the key and seen no token.
pub(crate) fn verifier() -> Verifier {
    let document = json!({"keys": [{"kid": "k", "kty": "OKP", "crv": "Ed25519", "x": PUBLIC}]});
    let Ok(keys) = KeySet::of_document(document.to_string().as_bytes()) else { panic!("it is a key set") };
    let expected = Expected { issuer: ISSUER.into(), audience: ISSUER.into() };
    let jwks = Jwks::default();
    let verifier = Verifier::new(expected, Duration::from_secs(15), jwks.clone());
    jwks.want();
    match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime.block_on(async {
            tokio::select! {
                () = jwks.keep(Arc::new(Fixed(keys)), Clock::default()) => {}
                () = verifier.keys_read() => {}
            }
        }),
        Err(error) => panic!("{error}"),
    }
    verifier
}

struct Fixed(KeySet);

impl KeySource for Fixed {
    async fn read(&self) -> Result<KeySet, Error> {
        Ok(self.0.clone())
    }
}

/// Claims as Better Auth writes them.
pub(crate) fn claims(user_id: &str) -> Value {
    json!({
        "iat": NOW, "exp": NOW + 900, "iss": ISSUER, "aud": ISSUER, "sub": user_id, "id": user_id,
        "name": "Ada", "email": "ada@example.com", "emailVerified": true,
    })
}

pub(crate) fn sign(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = signature(&message);
    format!("{message}.{signature}")
}

/// Ed25519 signs a message in one way only.
pub(crate) fn signature(message: &str) -> String {
    let private = URL_SAFE_NO_PAD.decode(PRIVATE).unwrap_or_default();
    let key = EncodingKey::from_ed_der(&private);
    crypto::sign(message.as_bytes(), &key, Algorithm::EdDSA).unwrap_or_default()
}

pub(crate) fn verify_by(verifier: &Verifier, token: &str) -> Outcome {
    let Some(wall) = DateTime::from_timestamp(NOW, 0) else { panic!("it is a time") };
    verifier.verify_after_reading(token, Moment { wall, ..Moment::now() })
}
