//! One key of a JSON Web Key Set (RFC 7517, 7518, 8037), and what it can verify.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde_json::{Map, Value};

use super::strict_json;
use crate::store::PublicKeyRow;

/// Better Auth serves a key for this long after its `expiresAt`, for the tokens that it signed.
const GRACE: TimeDelta = TimeDelta::days(30);
/// Better Auth's ids have 32 characters.
const MAX_ID_BYTES: usize = 256;
/// RFC 7518 §3.3 requires 2048 bits. Beyond 4096 a verification takes as long as thousands of others.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// A public key that signed tokens may name.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: String,
    /// By the key's own type, never by a token's header: an HMAC with a public key as its secret is
    /// what everybody could make.
    algorithms: &'static [Signing],
    material: Material,
    /// None: as long as its set shows it.
    valid_until: Option<DateTime<Utc>>,
}

/// The algorithms with which Better Auth can be configured to sign, as far as `jsonwebtoken` can verify it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signing {
    EdDsa,
    Es256,
    Rs256,
    Ps256,
}

#[derive(Clone, PartialEq, Eq)]
enum Material {
    Ed25519(Vec<u8>),
    /// The point, uncompressed.
    P256(Vec<u8>),
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

impl Signing {
    const ALL: [Self; 4] = [Self::EdDsa, Self::Es256, Self::Rs256, Self::Ps256];

    /// As a header or a key writes it.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signing| signing.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
        }
    }

    const fn algorithm(self) -> Algorithm {
        match self {
            Self::EdDsa => Algorithm::EdDSA,
            Self::Es256 => Algorithm::ES256,
            Self::Rs256 => Algorithm::RS256,
            Self::Ps256 => Algorithm::PS256,
        }
    }
}

/// A key that cannot be used: its id, where it can be shown, and why.
#[derive(Debug)]
pub(super) struct Unusable {
    pub(super) id: String,
    pub(super) reason: String,
}

impl PublicKey {
    /// A key of a JWKS document.
    pub(super) fn of_document(jwk: &Map<String, Value>) -> Result<Self, Unusable> {
        let id = text(jwk, "kid").unwrap_or_default();
        Self::read(id, jwk, None)
            .map_err(|reason| Unusable { id: id.escape_debug().take(80).collect(), reason })
    }

    /// A row of the `jwks` table: the row's id counts, not the `kid` in the JSON.
    pub(super) fn of_row(row: &PublicKeyRow) -> Result<Self, Unusable> {
        let unusable = |reason| Unusable { id: row.id.escape_debug().take(80).collect(), reason };
        let Some(jwk) = strict_json::object(row.public_key.as_bytes()) else {
            return Err(unusable("its publicKey is not a JSON Web Key".to_owned()));
        };
        let mut key = Self::read(&row.id, &jwk, row.algorithm.as_deref()).map_err(unusable)?;
        key.valid_until = end(row);
        Ok(key)
    }

    fn read(id: &str, jwk: &Map<String, Value>, algorithm: Option<&str>) -> Result<Self, String> {
        if id.is_empty() || id.len() > MAX_ID_BYTES {
            return Err(format!("it has no \"kid\" of 1 to {MAX_ID_BYTES} bytes"));
        }
        // Whoever reads the set could sign with it.
        if ["d", "k", "p", "q"].iter().any(|private| jwk.contains_key(*private)) {
            return Err("it shows its private part, so anybody can sign with it".to_owned());
        }
        let is_for_signatures = jwk.get("use").is_none_or(|purpose| purpose == "sig")
            && jwk.get("key_ops").is_none_or(|ops| {
                ops.as_array().is_some_and(|ops| ops.iter().any(|operation| operation == "verify"))
            });
        if !is_for_signatures {
            return Err("it is not for signatures (\"use\", \"key_ops\")".to_owned());
        }
        let (by_type, material) = material(jwk)?;
        let named = match (algorithm, jwk.get("alg")) {
            (Some(name), _) => Some(name),
            (None, None) => None,
            (None, Some(named)) => Some(named.as_str().ok_or("its \"alg\" is not a text")?),
        };
        let algorithms = match named {
            None => by_type,
            Some(name) => by_type
                .chunks(1)
                .find(|one| one[0].name() == name)
                .ok_or_else(|| format!("its algorithm is {:?}: {}", shown(name), usable()))?,
        };
        let key = Self { id: id.to_owned(), algorithms, material, valid_until: None };
        // A point that is not on its curve shows only here.
        let is_sound = crypto::verify("", b"", &key.decoding_key(), algorithms[0].algorithm()).is_ok();
        is_sound.then_some(key).ok_or_else(|| "it is not a point on its curve".to_owned())
    }

    /// Its `kid`, or the id of its row.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Whether the key signed this message, by an algorithm of its own type.
    pub(super) fn verify(&self, signing: Signing, message: &str, signature: &str) -> bool {
        self.algorithms.contains(&signing)
            && crypto::verify(signature, message.as_bytes(), &self.decoding_key(), signing.algorithm())
                .unwrap_or(false)
    }

    /// The algorithms that it verifies, as headers write them.
    pub(super) fn algorithm_names(&self) -> Vec<&'static str> {
        self.algorithms.iter().map(|signing| signing.name()).collect()
    }

    /// When it stops verifying; None where its set decides.
    pub(super) fn valid_until(&self) -> Option<DateTime<Utc>> {
        self.valid_until
    }

    /// Whether the key's own time, where it has one, is not over.
    pub(crate) fn is_valid_at(&self, now: DateTime<Utc>) -> bool {
        self.valid_until.is_none_or(|until| now < until)
    }

    fn decoding_key(&self) -> DecodingKey {
        match &self.material {
            Material::Ed25519(point) => DecodingKey::from_ed_der(point),
            Material::P256(point) => DecodingKey::from_ec_der(point),
            Material::Rsa { n, e } => DecodingKey::from_rsa_raw_components(n, e),
        }
    }
}

/// Whether the row's key still verifies tokens.
pub(super) fn is_served(row: &PublicKeyRow, now: DateTime<Utc>) -> bool {
    end(row).is_none_or(|end| now < end)
}

/// The first instant at which the row's key verifies nothing.
fn end(row: &PublicKeyRow) -> Option<DateTime<Utc>> {
    row.expires_at.and_then(|expires_at| expires_at.checked_add_signed(GRACE))
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?})", self.algorithms)
    }
}

fn material(jwk: &Map<String, Value>) -> Result<(&'static [Signing], Material), String> {
    let kind = text(jwk, "kty").unwrap_or_default();
    match (kind, text(jwk, "crv").unwrap_or_default()) {
        ("OKP", "Ed25519") => Ok((&[Signing::EdDsa], Material::Ed25519(coordinate(jwk, "x")?))),
        ("EC", "P-256") => {
            let point = [vec![4], coordinate(jwk, "x")?, coordinate(jwk, "y")?].concat();
            Ok((&[Signing::Es256], Material::P256(point)))
        }
        ("RSA", _) => {
            let (n, e) = (integer(jwk, "n")?, integer(jwk, "e")?);
            let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
            if !RSA_BITS.contains(&bits) {
                let (least, most) = (RSA_BITS.start(), RSA_BITS.end());
                return Err(format!("its modulus has {bits} bits: {least} to {most} can be used"));
            }
            // As in FIPS 186-5 §A.1.1, and what the `rsa` crate computes with.
            if e.len() > 4 || e.last().is_none_or(|last| last % 2 == 0) || e == [1] {
                return Err("its exponent is not an odd number from 3 to 2³²".to_owned());
            }
            Ok((&[Signing::Rs256, Signing::Ps256], Material::Rsa { n, e }))
        }
        (kind, curve) => {
            let curve = if curve.is_empty() { String::new() } else { format!(" on {:?}", shown(curve)) };
            Err(format!("it is of type {:?}{curve}: {}", shown(kind), usable()))
        }
    }
}

/// A curve's coordinate: 32 bytes, leading zeros included (RFC 7518 §6.2.1.2, RFC 8037 §2).
fn coordinate(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, String> {
    bytes(jwk, name)
        .filter(|bytes| bytes.len() == 32)
        .ok_or_else(|| format!("its \"{name}\" is not 32 bytes in unpadded base64url"))
}

/// An integer without leading zeros (RFC 7518 §2, `Base64urlUInt`).
fn integer(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, String> {
    bytes(jwk, name)
        .filter(|bytes| bytes.first().is_some_and(|first| *first != 0))
        .ok_or_else(|| format!("its \"{name}\" is not an integer in unpadded base64url"))
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text(jwk, name)?).ok()
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    jwk.get(name)?.as_str()
}

fn shown(word: &str) -> String {
    word.chars().take(40).collect()
}

fn usable() -> String {
    let names: Vec<_> = Signing::ALL.iter().map(|signing| signing.name()).collect();
    format!("{} can be verified", names.join(", "))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// The public key of RFC 8032 §7.1, test 1.
    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    /// The public key of RFC 6979 §A.2.5.
    const P256: [&str; 2] =
        ["YP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Y", "eQP-EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk"];

    pub(in crate::jwt) fn ed25519() -> PublicKey {
        read(&json!({"kty": "OKP", "crv": "Ed25519", "x": X})).expect("it is a key")
    }

    fn read(jwk: &Value) -> Result<PublicKey, String> {
        PublicKey::read("k", jwk.as_object().expect("it is an object"), None)
    }

    fn p256() -> Value {
        json!({"kty": "EC", "crv": "P-256", "x": P256[0], "y": P256[1]})
    }

    fn rsa(bytes: usize) -> Value {
        json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(vec![0xff; bytes]), "e": "AQAB"})
    }

    fn with(mut jwk: Value, member: &str, value: impl Into<Value>) -> Value {
        jwk[member] = value.into();
        jwk
    }

    #[test]
    fn the_algorithms_are_those_of_the_keys_type() {
        assert_eq!(ed25519().algorithms, [Signing::EdDsa]);
        assert_eq!(read(&p256()).expect("a key").algorithms, [Signing::Es256]);
        assert_eq!(read(&rsa(256)).expect("a key").algorithms, [Signing::Rs256, Signing::Ps256]);
        let ps256 = read(&with(rsa(256), "alg", "PS256")).expect("a key");
        assert_eq!(ps256.algorithms, [Signing::Ps256]);
        assert_eq!(ps256.algorithm_names(), ["PS256"]);
        assert_eq!(read(&rsa(256)).expect("a key").algorithm_names(), ["RS256", "PS256"]);
        assert_eq!(format!("{:?}", ed25519()), "PublicKey([EdDsa])");
    }

    #[test]
    fn the_longest_id_the_largest_modulus_and_the_largest_exponent_can_be_used() {
        let of_id = |length: usize| {
            let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": X, "kid": "k".repeat(length)});
            PublicKey::of_document(jwk.as_object().expect("it is an object")).is_ok()
        };
        assert!(of_id(1) && of_id(256));
        assert!(!of_id(0) && !of_id(257));
        assert!(read(&rsa(512)).is_ok());
        assert!(read(&with(rsa(256), "e", URL_SAFE_NO_PAD.encode([0xff; 4]))).is_ok());
    }

    #[test]
    fn a_key_that_cannot_be_used_says_why() {
        let okp = |x: &str| json!({"kty": "OKP", "crv": "Ed25519", "x": x});
        for (jwk, reason) in [
            (json!({}), "type"),
            (json!({"kty": "oct", "k": "c2VjcmV0"}), "private part"),
            (with(okp(X), "d", "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"), "private part"),
            (with(okp(X), "alg", "ES256"), "algorithm"),
            (with(okp(X), "alg", "none"), "algorithm"),
            (with(okp(X), "alg", "HS256"), "algorithm"),
            (with(okp(X), "alg", 7), "alg"),
            (with(rsa(256), "alg", "HS256"), "algorithm"),
            (with(rsa(256), "alg", "RS512"), "algorithm"),
            (with(okp(X), "use", "enc"), "signatures"),
            (with(okp(X), "key_ops", json!(["sign"])), "signatures"),
            (okp(&X[..20]), "32 bytes"),
            (okp(""), "32 bytes"),
            (okp(&format!("{X}=")), "32 bytes"),
            (okp(&X.replace('_', "/")), "32 bytes"),
            (okp(&X.replace("URo", "URp")), "32 bytes"),
            (with(okp(X), "crv", "Ed448"), "Ed448"),
            (with(okp(X), "crv", "X25519"), "X25519"),
            (with(p256(), "crv", "P-521"), "P-521"),
            (with(p256(), "y", P256[0]), "curve"),
            (with(p256(), "x", &P256[0][..40]), "32 bytes"),
            (with(p256(), "y", Value::Null), "32 bytes"),
            (with(okp(X), "alg", "ES512"), "\"ES512\": EdDSA, ES256, RS256, PS256 can be verified"),
            (
                with(rsa(256), "n", URL_SAFE_NO_PAD.encode([vec![0x7f], vec![0xff; 255]].concat())),
                "2047 bits",
            ),
            (with(rsa(256), "n", URL_SAFE_NO_PAD.encode([vec![1], vec![0xff; 512]].concat())), "4097 bits"),
            (rsa(128), "bits"),
            (rsa(513), "bits"),
            (rsa(0), "integer"),
            (with(rsa(256), "e", "AQ"), "exponent"),
            (with(rsa(256), "e", "Ag"), "exponent"),
            (with(rsa(256), "e", "_________w"), "exponent"),
            (with(rsa(256), "e", URL_SAFE_NO_PAD.encode([1, 0, 0, 0, 1])), "exponent"),
            (with(rsa(256), "n", URL_SAFE_NO_PAD.encode([vec![0], vec![0xff; 256]].concat())), "integer"),
        ] {
            let why = read(&jwk).expect_err(&format!("{jwk}"));
            assert!(why.contains(reason), "{jwk}: {why}");
        }
    }

    #[test]
    fn a_key_of_the_table_ends_thirty_days_after_it_stopped_signing() {
        let expires_at = DateTime::from_timestamp(1_700_000_000, 0);
        let public_key = json!({"kty": "OKP", "crv": "Ed25519", "x": X, "kid": "another"}).to_string();
        let row = PublicKeyRow { id: "k".into(), public_key, algorithm: Some("EdDSA".into()), expires_at };
        let key = PublicKey::of_row(&row).expect("it is a key");
        assert_eq!(key.id(), "k");
        let end = expires_at.expect("it is a time") + TimeDelta::days(30);
        assert!(key.is_valid_at(end - TimeDelta::milliseconds(1)));
        assert!(!key.is_valid_at(end));
        assert_eq!(key.valid_until(), Some(end));
        assert!(is_served(&row, end - TimeDelta::milliseconds(1)) && !is_served(&row, end));
        let row = PublicKeyRow { expires_at: None, ..row };
        let key = PublicKey::of_row(&row).expect("it is a key");
        assert!(key.is_valid_at(DateTime::<Utc>::MAX_UTC));
    }

    #[test]
    fn a_row_of_another_algorithm_or_no_json_is_unusable() {
        let public_key = json!({"kty": "OKP", "crv": "Ed25519", "x": X}).to_string();
        let row = |public_key: &str, algorithm: Option<&str>| PublicKeyRow {
            id: "k".into(),
            public_key: public_key.into(),
            algorithm: algorithm.map(Into::into),
            expires_at: None,
        };
        for bad in [row(&public_key, Some("ES512")), row("", None), row("[]", None), row("{", None)] {
            let unusable = PublicKey::of_row(&bad).expect_err("it is unusable");
            assert_eq!(unusable.id, "k");
        }
    }
}
