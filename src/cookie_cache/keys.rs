//! A JWT signed by a key of Better Auth's `jwks` table (1.7, `jwt({ sessionCookieCache: true })`).
//!
//! Reading a cookie never waits. For a cookie with an unknown key, the request queries the store, and
//! the task that reads the table is notified. However many unknown keys there are, the task reads the
//! table at most every ten seconds.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, decode};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::jwt::signature_only;
use super::{Snapshot, claims};
use crate::store::{KeyStore, PublicKeyRow};

const TYPE: &str = "better-auth.session-cache+jwt";
const AUDIENCE: &str = "better-auth:session-cache";
/// The clock tolerance that Better Auth gives to `jose`.
const TOLERANCE_SECONDS: f64 = 15.0;
/// The shortest time between two reads of the table.
const REREAD_AFTER: Duration = Duration::from_secs(10);
/// A key that was removed from the table is trusted no longer than this.
const TRUSTED_FOR: Duration = Duration::from_secs(300);

/// The known public keys, shared by all readers of cookies.
#[derive(Clone, Debug, Default)]
pub struct PublicKeys(Arc<Shared>);

#[derive(Default)]
struct Shared {
    known: RwLock<HashMap<String, PublicKey>>,
    unknown_key: Notify,
}

#[derive(Clone)]
struct PublicKey {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PublicKeys(…)")
    }
}

impl PublicKeys {
    /// Replaces the known keys. A row without a usable key is skipped.
    pub fn replace(&self, rows: &[PublicKeyRow]) {
        let known = rows.iter().filter_map(|row| Some((row.id.clone(), PublicKey::of(row)?))).collect();
        *self.0.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Keeps the keys up to date for as long as it is polled. While the table cannot be read, no key is
    /// known and every request queries the store.
    pub async fn keep_current(self, store: Arc<impl KeyStore>) {
        loop {
            self.replace(&store.public_keys().await.unwrap_or_default());
            sleep(REREAD_AFTER).await;
            let _elapsed = timeout(TRUSTED_FOR, self.0.unknown_key.notified()).await;
        }
    }

    fn get(&self, id: &str) -> Option<PublicKey> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(id).cloned();
        if found.is_none() {
            self.0.unknown_key.notify_one();
        }
        found
    }
}

impl PublicKey {
    /// The algorithm comes from the table or from the key, never from a cookie.
    fn of(row: &PublicKeyRow) -> Option<Self> {
        let jwk: Jwk = serde_json::from_str(&row.public_key).ok()?;
        let named =
            row.algorithm.clone().or_else(|| jwk.common.key_algorithm.map(|algorithm| algorithm.to_string()));
        let algorithm = match (named, &jwk.algorithm) {
            (Some(name), _) => name.parse().ok()?,
            (None, AlgorithmParameters::OctetKeyPair(key)) if key.curve == EllipticCurve::Ed25519 => {
                Algorithm::EdDSA
            }
            (None, AlgorithmParameters::EllipticCurve(key)) if key.curve == EllipticCurve::P256 => {
                Algorithm::ES256
            }
            (None, _) => return None,
        };
        let is_public = !matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
        is_public.then(|| DecodingKey::from_jwk(&jwk).ok().map(|key| Self { algorithm, key }))?
    }
}

pub(super) fn open(
    data: &str,
    keys: &PublicKeys,
    issuer: Option<&str>,
    now: DateTime<Utc>,
) -> Option<Snapshot> {
    let header = claims::header(data)?;
    if header.get("typ").and_then(Value::as_str) != Some(TYPE) {
        return None;
    }
    let PublicKey { algorithm, key } = keys.get(header.get("kid")?.as_str()?)?;
    let claims = decode::<Value>(data, &key, &signature_only(&[algorithm])).ok()?.claims;
    let claim = |path: &str| claims.pointer(path).and_then(Value::as_str);
    let is_for_us = match claims.get("aud") {
        Some(Value::Array(audiences)) => audiences.iter().any(|audience| audience == AUDIENCE),
        audience => audience.and_then(Value::as_str) == Some(AUDIENCE),
    };
    let is_from_issuer = issuer.is_some() && claim("/iss") == issuer;
    if !is_for_us
        || !is_from_issuer
        || claim("/sub") != claim("/user/id")
        || claim("/sid") != claim("/session/token")
    {
        return None;
    }
    claims::check(claims, now, TOLERANCE_SECONDS)
}
