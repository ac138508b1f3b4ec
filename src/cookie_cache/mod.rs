//! 4 — Better Auth's signed snapshot of session and user, the `session_data` cookie.
//!
//! Off unless the operator chose `freshness="cookie_cache"`: it stays valid for a revoked, banned or deleted user until
//! it expires. It is trusted only beside a well-signed session token, and only if everything about it is right;
//! otherwise the store is queried. It never makes a request anonymous.

pub mod keys;

mod absent_field;
mod claims;
mod compact;
mod jwe;
mod jwt;
mod payload;
mod snapshot_cache;
mod unread;

use std::sync::Arc;

use chrono::{DateTime, Days, Utc};
use serde_json::Value;

use self::absent_field::AbsentField;
use self::jwe::EncryptionKeys;
use self::keys::{PublicKeys, TableState};
use self::snapshot_cache::SnapshotCache;
use self::unread::{Expected, Unread, Why};
use crate::identity::Identity;
use crate::settings::{CookieCacheSettings, OwnField, Secret, Settings, Strategy};
use crate::signature::{Keys, SessionToken};

/// Better Auth's snapshots live for minutes.
const A_YEAR: Days = Days::new(365);

/// Reads `session_data` according to the settings.
#[derive(Debug, Clone)]
pub struct CookieCache {
    form: Form,
    version: String,
    user_fields: Vec<OwnField>,
    session_fields: Vec<OwnField>,
    snapshot_cache: SnapshotCache,
    absent_field: Arc<AbsentField>,
    strategy: Strategy,
    unread: Arc<Unread>,
}

/// How the cookie is protected, with the keys to verify or decrypt it.
#[derive(Debug, Clone)]
enum Form {
    Compact(Keys),
    Jwt(Vec<Secret>),
    Jwe(EncryptionKeys),
    Jwks { keys: PublicKeys, issuer: Option<String> },
}

/// What a well-signed cookie contains, and until when it may be trusted.
struct Snapshot {
    payload: Value,
    /// None if it has no expiry of its own.
    expires_at_ms: Option<f64>,
}

impl CookieCache {
    /// Creates a reader for these settings. `public_keys` are those of the `jwks` table.
    #[must_use]
    pub fn new(chosen: &CookieCacheSettings, settings: &Settings, public_keys: &PublicKeys) -> Self {
        let form = match chosen.strategy {
            Strategy::Compact => Form::Compact(Keys::new(&settings.secrets.signing)),
            Strategy::Jwt => Form::Jwt(settings.secrets.signing.clone()),
            Strategy::Jwe => Form::Jwe(EncryptionKeys::derive(&settings.secrets.encrypting)),
            Strategy::Jwks => Form::Jwks {
                keys: public_keys.clone(),
                issuer: settings.trusted_origins.base().map(String::from),
            },
        };
        Self {
            form,
            version: chosen.version.clone(),
            user_fields: settings.tables.user.own_fields.clone(),
            session_fields: settings.tables.session.own_fields.clone(),
            snapshot_cache: SnapshotCache::default(),
            absent_field: Arc::default(),
            strategy: chosen.strategy,
            unread: Arc::new(Unread::new(Expected {
                strategy: chosen.strategy,
                version: chosen.version.clone(),
                cookie_name: settings.cookie_names.session_data.clone(),
            })),
        }
    }

    /// The identity in the cookie, if it may be trusted beside this token at this time.
    ///
    /// None if anything is wrong with it: another user's data, a wrong version, an expired or changed cookie, a shape
    /// that Better Auth would not accept, a declared field that it does not contain.
    #[must_use]
    pub fn read(&self, data: &str, token: &SessionToken, now: DateTime<Utc>) -> Option<Arc<Identity>> {
        let now_ms = milliseconds(now);
        let cached = self.snapshot_cache.get(data, token, now_ms);
        let identity = match cached {
            Some(identity) => identity,
            None => match self.read_uncached(data, token, now, now_ms) {
                Ok(identity) => {
                    self.unread.was_read();
                    identity
                }
                Err(why) => {
                    self.unread.could_not_be_read(|| why.unwrap_or_else(|| self.why_closed(data, now)));
                    return None;
                }
            },
        };
        identity.session.as_ref().is_some_and(|session| session.expires_at >= now).then_some(identity)
    }

    /// A request with a good session token has no snapshot.
    pub(crate) fn is_absent(&self) {
        self.unread.was_absent();
    }

    /// Messages for the operator since the last call.
    pub(crate) fn take_messages(&self) -> impl Iterator<Item = String> {
        self.absent_field.take_message().into_iter().chain(self.unread.take_message())
    }

    fn open(&self, data: &str, now: DateTime<Utc>) -> Option<Snapshot> {
        match &self.form {
            Form::Compact(keys) => compact::open(data, keys),
            Form::Jwt(secrets) => jwt::open(data, secrets, now),
            Form::Jwe(keys) => jwe::open(data, keys, now),
            Form::Jwks { keys, issuer } => keys::open(data, keys, issuer.as_deref(), now),
        }
    }

    /// Why a snapshot could not be opened.
    fn why_closed(&self, data: &str, now: DateTime<Utc>) -> Why {
        let opened_before = || now.checked_sub_days(A_YEAR).and_then(|then| self.open(data, then)).is_some();
        match (unread::why_closed(data, self.strategy, opened_before), &self.form) {
            (Why::Key, Form::Jwks { keys, .. }) => match keys.table() {
                TableState::Unread => Why::KeysUnread,
                TableState::Read => Why::Key,
                TableState::Unreadable(reason) => Why::KeyTable(reason),
            },
            (why, _) => why,
        }
    }

    /// The identity, or why there is none: None if the snapshot could not be opened.
    fn read_uncached(
        &self,
        data: &str,
        token: &SessionToken,
        now: DateTime<Utc>,
        now_ms: f64,
    ) -> Result<Arc<Identity>, Option<Why>> {
        let snapshot = self.open(data, now).ok_or(None)?;
        let version = snapshot.payload.get("version").map_or(Some("1"), Value::as_str).ok_or(Why::Shape)?;
        // Better Auth treats an empty version as "1".
        if (if version.is_empty() { "1" } else { version }) != self.version {
            return Err(Some(unread::other_version(version)));
        }
        if snapshot.expires_at_ms.is_some_and(|expires_at| expires_at < now_ms) {
            return Err(Some(Why::Expired));
        }
        let identity = payload::identity(
            &snapshot.payload,
            token,
            &self.session_fields,
            &self.user_fields,
            &self.absent_field,
        );
        let identity = Arc::new(identity.ok_or_else(|| self.why_not_read(&snapshot.payload, token))?);
        // A public key may be revoked before the cookie expires. Our own secrets do not change.
        if let Some(until_ms) = snapshot.expires_at_ms
            && !matches!(self.form, Form::Jwks { .. })
        {
            self.snapshot_cache.put(data, token, &identity, now_ms, until_ms);
        }
        Ok(identity)
    }

    /// Why no identity could be read from a payload.
    fn why_not_read(&self, payload: &Value, token: &SessionToken) -> Why {
        match payload.pointer("/session/token").and_then(Value::as_str) {
            Some(other) if other != token.as_str() => Why::OtherSession,
            _ if self.absent_field.is_any() => Why::AbsentField,
            _ => Why::Shape,
        }
    }
}

/// JavaScript's clock: whole milliseconds, as a double.
#[expect(clippy::cast_precision_loss, reason = "exact for every date below the year 287396")]
fn milliseconds(now: DateTime<Utc>) -> f64 {
    now.timestamp_millis() as f64
}
