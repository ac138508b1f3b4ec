//! Tokens of real servers, by the keys that they served and by those in their table.
//!
//! `AUTH_VECTORS=dir` reads `jwt-vectors.json` from another folder, as `make canary` does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use auth_middleware::clock::Moment;
use auth_middleware::jwt::jwks::Jwks;
use auth_middleware::jwt::key_set::KeySet;
use auth_middleware::jwt::{Expected, Outcome, Verifier};
use auth_middleware::store::PublicKeyRow;
use chrono::DateTime;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::issuer::read_at_once;

#[derive(Deserialize)]
struct File {
    jwt_format: u32,
    vectors: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    now_ms: i64,
    issuer: String,
    audience: String,
    token: String,
    keys: Value,
    rows: Vec<Row>,
    expected: Answer,
    stricter: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    public_key: String,
    alg: Option<String>,
    expires_at: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    accepted: bool,
    claims: Option<Map<String, Value>>,
}

impl Entry {
    fn outcome(&self, keys: KeySet) -> Outcome {
        let jwks = Jwks::default();
        let expected = Expected { issuer: self.issuer.clone(), audience: self.audience.clone() };
        let verifier = Verifier::new(expected, Duration::from_secs(15), jwks.clone());
        read_at_once(&jwks, &verifier, keys);
        let wall = DateTime::from_timestamp_millis(self.now_ms).expect("it is a time");
        verifier.verify_after_reading(&self.token, Moment { wall, ..Moment::now() })
    }

    fn table(&self) -> KeySet {
        let row = |row: &Row| PublicKeyRow {
            id: row.id.clone(),
            public_key: row.public_key.clone(),
            algorithm: row.alg.clone(),
            expires_at: row.expires_at.as_deref().map(|time| time.parse().expect("it is a time")),
        };
        let rows: Vec<_> = self.rows.iter().map(row).collect();
        let now = DateTime::from_timestamp_millis(self.now_ms).expect("it is a time");
        KeySet::of_rows(&rows, now).expect("they are few")
    }
}

#[test]
fn what_real_servers_issue_is_accepted_and_nothing_else() {
    let folder = std::env::var_os("AUTH_VECTORS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"), PathBuf::from);
    let text = std::fs::read(folder.join("jwt-vectors.json")).expect("it was recorded");
    let file: File = serde_json::from_slice(&text).expect("its format is known");
    assert_eq!(file.jwt_format, 1);
    assert!(file.vectors.len() > 20);
    for entry in &file.vectors {
        let served = KeySet::of_document(entry.keys.to_string().as_bytes()).expect("it is a key set");
        for (from, keys) in [("served", served), ("table", entry.table())] {
            match entry.outcome(keys) {
                Outcome::Verified(token) => {
                    assert!(entry.expected.accepted && entry.stricter.is_none(), "{}, {from}", entry.id);
                    assert_eq!(Some(token.claims()), entry.expected.claims.as_ref(), "{}, {from}", entry.id);
                }
                Outcome::Rejected(why) => {
                    let is_refused = !entry.expected.accepted || entry.stricter.is_some();
                    assert!(is_refused, "{}, {from}: {why:?}", entry.id);
                }
                other => panic!("{}, {from}: {other:?}", entry.id),
            }
        }
    }
}
