//! Only what the issuer signed is accepted, and only what it says is believed.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use auth_middleware::clock::Moment;
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
const ISSUER: &str = "https://auth.example.com";
pub(crate) const HEADER: &str = r#"{"alg":"EdDSA","kid":"k"}"#;
/// RFC 8032 §7.1, test 1: the PKCS #8 form of the private key, and the public one.
const PRIVATE: &str = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v_VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";
pub(crate) const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

static VERIFIER: LazyLock<Verifier> = LazyLock::new(verifier);

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
                () = jwks.keep(Arc::new(Fixed(keys))) => {}
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

/// The first byte chooses what the rest is: a token, a header that is signed with good claims, or claims that
/// are signed under a good header.
pub(crate) fn on_bytes(data: &[u8]) {
    let [choice, rest @ ..] = data else { return };
    let text = String::from_utf8_lossy(rest);
    match choice % 3 {
        0 => accepts_only_what_was_signed(&text),
        1 => reads_only_what_it_says(&text, &claims("ada").to_string()),
        _ => reads_only_what_it_says(HEADER, &text),
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

fn signature(message: &str) -> String {
    let private = URL_SAFE_NO_PAD.decode(PRIVATE).unwrap_or_default();
    let key = EncodingKey::from_ed_der(&private);
    crypto::sign(message.as_bytes(), &key, Algorithm::EdDSA).unwrap_or_default()
}

pub(crate) fn accepts_only_what_was_signed(token: &str) {
    let Outcome::Verified(read) = verify(token) else { return };
    // Ed25519 signs a message in one way only.
    let (message, shown) = token.rsplit_once('.').unwrap_or_default();
    assert_eq!(shown, signature(message), "{token}");
    let payload = message.split('.').nth(1).unwrap_or_default();
    let payload = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    agrees(read.user_id(), &String::from_utf8_lossy(&payload));
}

pub(crate) fn reads_only_what_it_says(header: &str, claims: &str) {
    let token = sign(header, claims);
    if let Outcome::Verified(read) = verify(&token) {
        let header: Value = serde_json::from_str(header).unwrap_or_default();
        assert_eq!((&header["alg"], &header["kid"]), (&json!("EdDSA"), &json!("k")), "{token}");
        assert!(header.get("typ").is_none_or(|kind| kind == "JWT"), "{token}");
        agrees(read.user_id(), claims);
    }
}

pub(crate) fn accepts_what_better_auth_writes(user_id: &str, members: &Value) {
    let mut claims = claims(user_id);
    if let (Value::Object(all), Value::Object(members)) = (&mut claims, members.clone()) {
        all.extend(members.into_iter().map(|(name, value)| (format!("own {name}"), value)));
    }
    let token = sign(HEADER, &claims.to_string());
    if token.len() > 16 * 1024 || has_huge_number(&claims) {
        return assert!(matches!(verify(&token), Outcome::Rejected(_)));
    }
    for _ in 0..2 {
        match verify(&token) {
            Outcome::Verified(read) => assert_eq!(Value::Object(read.claims().clone()), claims),
            other => panic!("{other:?}: {claims}"),
        }
    }
}

/// One that no 64-bit integer holds.
fn has_huge_number(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_none_or(|number| number.abs() >= 2_f64.powi(63)),
        Value::Array(items) => items.iter().any(has_huge_number),
        Value::Object(members) => members.values().any(has_huge_number),
        _ => false,
    }
}

/// Another reader of JSON finds the same person in a text that we accepted.
fn agrees(user_id: &str, claims: &str) {
    let claims: Value = serde_json::from_str(claims).unwrap_or_default();
    assert_eq!(claims["sub"], user_id, "{claims}");
    assert_eq!(claims["iss"], ISSUER, "{claims}");
    assert!(
        claims["aud"] == ISSUER || claims["aud"].as_array().is_some_and(|all| all.contains(&json!(ISSUER)))
    );
    assert!(claims.get("id").is_none_or(|id| id == user_id), "{claims}");
    assert!(claims["exp"].as_f64().is_some_and(|exp| exp > 1_790_000_000.0 - 15.0), "{claims}");
}

fn verify(token: &str) -> Outcome {
    verify_by(&VERIFIER, token)
}

pub(crate) fn verify_by(verifier: &Verifier, token: &str) -> Outcome {
    let Some(wall) = DateTime::from_timestamp(NOW, 0) else { panic!("it is a time") };
    verifier.verify_after_reading(token, Moment { wall, ..Moment::now() })
}
