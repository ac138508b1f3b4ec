//! A JWT signed with the secret itself.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::Value;

use super::{Snapshot, claims};
use crate::settings::Secret;

/// The algorithms that the `jose` package accepts for a secret. The header can only choose one of these.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

pub(super) fn open(data: &str, secrets: &[Secret], now: DateTime<Utc>) -> Option<Snapshot> {
    claims::header(data)?;
    let with = |secret: &Secret| {
        let key = DecodingKey::from_secret(secret.as_bytes());
        decode::<Value>(data, &key, &signature_only(&ALGORITHMS)).ok()
    };
    claims::check(secrets.iter().find_map(with)?.claims, now, 0.0)
}

/// Validates only the signature: the claims are checked with the request's own time.
pub(super) fn signature_only(algorithms: &[Algorithm]) -> Validation {
    Validation {
        algorithms: algorithms.to_vec(),
        required_spec_claims: HashSet::new(),
        validate_exp: false,
        validate_nbf: false,
        validate_aud: false,
        ..Validation::default()
    }
}
