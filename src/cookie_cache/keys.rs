//! A JWT signed by a key of Better Auth's `jwks` table (1.7, `jwt({ sessionCookieCache: true })`).
//!
//! Reading a cookie never waits: a key that is not known yet sends that request to the store, and
//! wakes the task that reads the table. However many unknown keys come, it reads no more often
//! than every ten seconds.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::{Snapshot, claims};
use crate::jwt::key_set::KeySet;
use crate::jwt::{EXTENSIONS, HeaderRules, PublicKey, Unverified, is_for};
use crate::store::{KeyStore, PublicKeyRow};

const HEADER: HeaderRules =
    HeaderRules { types: &[Some("better-auth.session-cache+jwt")], refused: EXTENSIONS };
const AUDIENCE: &str = "better-auth:session-cache";
/// `jose` is asked to bear with clocks that differ this much.
const TOLERANCE_SECONDS: f64 = 15.0;
/// The bound on how often unknown keys make us read the table.
const REREAD_AFTER: Duration = Duration::from_secs(10);
/// A key that was taken out of the table is believed no longer than this.
const BELIEVED_FOR: Duration = Duration::from_secs(300);

/// The public keys that are known, shared by all who read cookies.
#[derive(Clone, Debug, Default)]
pub struct PublicKeys(Arc<Shared>);

#[derive(Default)]
struct Shared {
    known: RwLock<KeySet>,
    unknown_was_seen: Notify,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PublicKeys(…)")
    }
}

impl PublicKeys {
    /// Replaces what is known. A row that is no key we can use is left out.
    pub fn replace(&self, rows: &[PublicKeyRow], now: DateTime<Utc>) {
        let known = KeySet::of_rows(rows, now).unwrap_or_default();
        *self.0.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Keeps the keys up to date for as long as it is polled. While the table cannot be read,
    /// what is known is forgotten and every request asks the store.
    pub async fn keep(self, store: Arc<impl KeyStore>) {
        loop {
            let rows = store.public_keys().await.unwrap_or_default();
            self.replace(&rows, Utc::now());
            sleep(REREAD_AFTER).await;
            let _elapsed = timeout(BELIEVED_FOR, self.0.unknown_was_seen.notified()).await;
        }
    }

    fn get(&self, id: &str) -> Option<Arc<PublicKey>> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(id).map(Arc::clone);
        if found.is_none() {
            self.0.unknown_was_seen.notify_one();
        }
        found
    }
}

pub(super) fn open(
    data: &str,
    keys: &PublicKeys,
    issuer: Option<&str>,
    now: DateTime<Utc>,
) -> Option<Snapshot> {
    let unverified = Unverified::read(data, &HEADER).ok()?;
    let key = keys.get(&unverified.key_id).filter(|key| key.is_valid_at(now))?;
    let claims = Value::Object(unverified.verify(&key).ok()?);
    let says = |path: &str| claims.pointer(path).and_then(Value::as_str);
    let is_for_us = is_for(claims.get("aud"), AUDIENCE);
    let is_from_there = issuer.is_some() && says("/iss") == issuer;
    if !is_for_us
        || !is_from_there
        || says("/sub") != says("/user/id")
        || says("/sid") != says("/session/token")
    {
        return None;
    }
    claims::check(claims, now, TOLERANCE_SECONDS)
}
