//! Which keys of a document or a table are in the set.

use std::sync::Arc;

use auth_middleware::error::Error;
use auth_middleware::jwt::jwks::{KeySource as _, TableKeys};
use auth_middleware::jwt::key_set::{KeySet, MAX_KEYS};
use auth_middleware::store::PublicKeyRow;
use auth_middleware::store::memory::MemoryStore;
use serde_json::{Value, json};

use crate::issuer::{ED25519, NOW, at, document, encode, hex};

/// An Ed25519 key of test vector 1 or 2.
fn jwk(id: &str, vector: usize) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": encode(hex(ED25519[vector].public))})
}

fn of(keys: &[Value]) -> KeySet {
    KeySet::of_document(json!({"keys": keys}).to_string().as_bytes()).expect("it is a key set")
}

#[test]
fn a_key_that_is_shown_twice_is_one() {
    let set = of(&[jwk("a", 0), jwk("a", 0), jwk("b", 0)]);
    assert_eq!(set.len(), 2);
    assert!(set.get("a").is_some() && set.unusable.is_empty() && !set.is_empty());
}

#[test]
fn an_id_of_two_keys_names_none() {
    for keys in [
        [jwk("a", 0), jwk("a", 1), jwk("b", 0)],
        [jwk("a", 1), jwk("b", 0), jwk("a", 0)],
        [
            jwk("b", 0),
            jwk("a", 0),
            document()["keys"][1].as_object().map_or(Value::Null, |ec| {
                let mut ec = ec.clone();
                ec.insert("kid".to_owned(), json!("a"));
                Value::Object(ec)
            }),
        ],
    ] {
        let set = of(&keys);
        assert!(set.get("a").is_none() && set.get("b").is_some());
        let [why] = &set.unusable[..] else { panic!("{:?}", set.unusable) };
        assert!(why.contains("\"a\"") && why.contains("another key has the same \"kid\""), "{why}");
    }
    assert!(of(&[jwk("a", 0), jwk("a", 1)]).is_empty());
}

/// The rows of a table: keys that have not expired, and others.
fn rows(current: usize, expired: usize) -> Vec<PublicKeyRow> {
    let row = |number: usize| PublicKeyRow {
        id: number.to_string(),
        public_key: jwk("in the row", number % 2).to_string(),
        algorithm: None,
        expires_at: (number >= current).then(|| at(0)),
    };
    (0..current + expired).map(row).collect()
}

#[test]
fn a_table_may_have_a_hundred_keys_that_have_not_expired() {
    assert_eq!(MAX_KEYS, 100);
    assert_eq!(KeySet::of_rows(&rows(100, 50), at(NOW)).map(|set| set.len()), Ok(100));
    let why = KeySet::of_rows(&rows(101, 0), at(NOW)).expect_err("they are too many");
    assert!(why.contains("101 keys"), "{why}");
}

#[tokio::test]
async fn the_keys_of_a_table_are_those_of_its_rows() {
    let store = Arc::new(MemoryStore::default());
    let keys = TableKeys(Arc::clone(&store));
    assert!(keys.read().await.is_ok_and(|set| set.is_empty()));
    store.set_public_keys(rows(2, 1));
    assert!(keys.read().await.is_ok_and(|set| set.len() == 2 && set.get("0").is_some()));
    store.set_public_keys(rows(101, 0));
    let error = keys.read().await.expect_err("they are too many");
    assert!(matches!(&error, Error::Schema(why) if why.contains("the jwks table")), "{error}");
}
