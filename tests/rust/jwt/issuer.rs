//! An issuer with the keys of published test vectors, and what it signs.

use std::sync::Arc;
use std::time::Duration;

use auth_middleware::clock::{Clock, Moment};
use auth_middleware::error::Error;
use auth_middleware::jwt::jwks::{Jwks, KeySource};
use auth_middleware::jwt::key_set::KeySet;
use auth_middleware::jwt::{Expected, Outcome, Verifier};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

/// "Now" in these tests.
pub(crate) const NOW: i64 = 1_790_000_000;
pub(crate) const ISSUER: &str = "https://auth.example.com";

/// RFC 8032 §7.1, tests 1 and 2.
pub(crate) const ED25519: [Pair; 2] = [
    Pair {
        private: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        public: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    },
    Pair {
        private: "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        public: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    },
];
/// RFC 6979 §A.2.5.
pub(crate) const P256: Pair = Pair {
    private: "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
    public: "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
};

pub(crate) struct Pair {
    private: &'static str,
    pub(crate) public: &'static str,
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(byte).collect()
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The issuer's JWKS document: an Ed25519 key `ed`, a P-256 key `ec`, an RSA key `rsa`.
pub(crate) fn document() -> Value {
    let point = hex(P256.public);
    json!({"keys": [
        {"kid": "ed", "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": encode(hex(ED25519[0].public))},
        {"kid": "ec", "kty": "EC", "crv": "P-256", "x": encode(&point[..32]), "y": encode(&point[32..])},
        {"kid": "rsa", "kty": "RSA", "n": encode([[0xc5; 256].as_slice(), &[1]].concat().split_at(1).1), "e": "AQAB"},
    ]})
}

pub(crate) fn keys() -> KeySet {
    KeySet::of_document(document().to_string().as_bytes()).expect("it is a key set")
}

/// Claims as Better Auth writes them.
pub(crate) fn claims() -> Value {
    json!({
        "iat": NOW - 10, "exp": NOW + 890, "iss": ISSUER, "aud": ISSUER, "sub": "ada",
        "id": "ada", "name": "Ada", "email": "ada@example.com", "emailVerified": true, "image": null,
        "createdAt": "2026-01-15T12:00:00.123Z", "updatedAt": "2026-01-15T12:00:00.123Z",
    })
}

/// `before`, with these members; null takes one away.
pub(crate) fn with(mut before: Value, members: Value) -> Value {
    let (Value::Object(all), Value::Object(changed)) = (&mut before, members) else { panic!("no objects") };
    for (name, value) in changed {
        match value {
            Value::Null => drop(all.remove(&name)),
            value => drop(all.insert(name, value)),
        }
    }
    before
}

/// A token with this header and these claims, signed by the issuer's Ed25519 key, whatever they say.
pub(crate) fn signed(header: &Value, claims: &Value) -> String {
    signed_text(&header.to_string(), &claims.to_string())
}

/// The same where they are no JSON that `serde_json` would write.
pub(crate) fn signed_text(header: &str, claims: &str) -> String {
    sign_message(&format!("{}.{}", encode(header), encode(claims)), &ED25519[0])
}

pub(crate) fn sign_message(message: &str, by: &Pair) -> String {
    let pkcs8 = [hex("302e020100300506032b657004220420"), hex(by.private)].concat();
    let key = EncodingKey::from_ed_der(&pkcs8);
    let signature = crypto::sign(message.as_bytes(), &key, Algorithm::EdDSA).expect("it signs");
    format!("{message}.{signature}")
}

pub(crate) fn sign_es256(header: &Value, claims: &Value) -> String {
    let prefix = hex("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420");
    let key = EncodingKey::from_ec_der(&[prefix, hex(P256.private)].concat());
    let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = crypto::sign(message.as_bytes(), &key, Algorithm::ES256).expect("it signs");
    format!("{message}.{signature}")
}

pub(crate) fn header() -> Value {
    json!({"alg": "EdDSA", "kid": "ed"})
}

/// The token that Better Auth would hand out.
pub(crate) fn token() -> String {
    signed(&header(), &claims())
}

pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).expect("it is a time")
}

/// The moment at which the tokens above are good.
pub(crate) fn now() -> Moment {
    moment(NOW)
}

pub(crate) fn moment(seconds: i64) -> Moment {
    Moment { wall: at(seconds), ..Moment::now() }
}

pub(crate) struct Fixed(pub(crate) KeySet);

impl KeySource for Fixed {
    async fn read(&self) -> Result<KeySet, Error> {
        Ok(self.0.clone())
    }
}

/// A verifier that has read these keys.
pub(crate) fn verifier_of(keys: KeySet) -> Verifier {
    let jwks = Jwks::default();
    let verifier = Verifier::new(expected(), Duration::from_secs(15), jwks.clone());
    read_at_once(&jwks, &verifier, keys);
    verifier
}

/// Has the verifier's keys read.
pub(crate) fn read_at_once(jwks: &Jwks, verifier: &Verifier, keys: KeySet) {
    jwks.want();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        tokio::select! {
            () = jwks.clone().keep(Arc::new(Fixed(keys)), Clock::default()) => {}
            () = verifier.keys_read() => {}
        }
    });
}

pub(crate) fn verifier() -> Verifier {
    verifier_of(keys())
}

pub(crate) fn expected() -> Expected {
    Expected { issuer: ISSUER.into(), audience: ISSUER.into() }
}

pub(crate) fn user_id(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Verified(token) => Some(token.user_id()),
        _ => None,
    }
}
