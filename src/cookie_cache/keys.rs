//! A JWT signed by a key of Better Auth's `jwks` table (1.7, `jwt({ sessionCookieCache: true })`).
//!
//! Reading a cookie never waits. For a cookie with an unknown key, the request queries the store, and
//! the task that reads the table is notified. However many unknown keys there are, the task reads the
//! table at most every ten seconds.

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
    known: RwLock<Known>,
    unknown_key: Notify,
}

#[derive(Default)]
struct Known {
    keys: KeySet,
    table: TableState,
}

/// The last attempt to read the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum TableState {
    /// There was none yet.
    #[default]
    Unread,
    Read,
    /// It failed. The text says why, and how to fix it.
    Unreadable(String),
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PublicKeys(…)")
    }
}

impl PublicKeys {
    /// Replaces the known keys. Leaves out rows whose key cannot be used.
    pub fn replace(&self, rows: &[PublicKeyRow], now: DateTime<Utc>) {
        let unreadable = |reason| format!("the jwks table cannot be read: {reason}");
        self.learn(KeySet::of_rows(rows, now).map_err(unreadable));
    }

    /// Without keys while they cannot be read: then no snapshot is trusted.
    fn learn(&self, read: Result<KeySet, String>) {
        let known = match read {
            Ok(keys) => Known { keys, table: TableState::Read },
            Err(reason) => Known { keys: KeySet::default(), table: TableState::Unreadable(reason) },
        };
        *self.0.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// How the last attempt to read the table ended.
    pub(super) fn table(&self) -> TableState {
        self.0.known.read().unwrap_or_else(PoisonError::into_inner).table.clone()
    }

    /// Keeps the keys up to date for as long as it is polled. While the table cannot be read, no key is
    /// known and every request queries the store.
    pub async fn keep_current(self, store: Arc<impl KeyStore>) {
        loop {
            match store.public_keys().await {
                Ok(rows) => self.replace(&rows, Utc::now()),
                Err(error) => self.learn(Err(error.what())),
            }
            sleep(REREAD_AFTER).await;
            let _elapsed = timeout(TRUSTED_FOR, self.0.unknown_key.notified()).await;
        }
    }

    fn get(&self, id: &str) -> Option<Arc<PublicKey>> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        let found = known.keys.get(id).map(Arc::clone);
        if found.is_none() {
            self.0.unknown_key.notify_one();
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
    // Parsed like the other forms of the cookie cache: a user's field may hold a number that the rules for JWTs refuse.
    let claims: Value = serde_json::from_slice(&unverified.verified_payload(&key).ok()?).ok()?;
    let claim = |path: &str| claims.pointer(path).and_then(Value::as_str);
    let is_for_us = is_for(claims.get("aud"), AUDIENCE);
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
