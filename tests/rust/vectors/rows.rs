//! The rows of a case, in the form that our store returns.

use std::collections::BTreeMap;

use auth_middleware::cookie_cache::keys::PublicKeys;
use auth_middleware::identity::{Identity, Session, User, Value as Own};
use auth_middleware::signature::Keys;
use auth_middleware::store::PublicKeyRow;
use auth_middleware::store::memory::MemoryStore;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::entry::{Config, Entry, Field, Row, Rows};

/// The rows, in a store in memory.
pub(crate) fn store(entry: &Entry, keys: &Keys) -> Result<MemoryStore, String> {
    let Some(Rows { user, session, .. }) = &entry.db else { return Ok(MemoryStore::default()) };
    let mut found = Vec::new();
    for session in session {
        let Some(user) = user.iter().find(|user| user.get("id") == session.get("userId")) else { continue };
        found.push(Identity {
            session: Some(session_of(&entry.config, session, keys).ok_or("a session row lacks a field")?),
            user: user_of(&entry.config, user).ok_or("a user row lacks a field")?,
        });
    }
    Ok(MemoryStore::new(found))
}

/// The keys of the case's own `jwks` rows. We read that table in the background and not per request.
pub(crate) fn public_keys(entry: &Entry) -> Result<PublicKeys, String> {
    let key = |row: &Row| {
        Some(PublicKeyRow {
            id: id(row.get("id")?),
            public_key: text(row, "publicKey")?,
            algorithm: text(row, "alg"),
            expires_at: time(row.get("expiresAt")),
        })
    };
    let rows: Option<Vec<PublicKeyRow>> = entry.db.iter().flat_map(|rows| &rows.jwks).map(key).collect();
    let keys = PublicKeys::default();
    let now = DateTime::from_timestamp_millis(entry.now_ms).ok_or("now_ms is out of range")?;
    keys.replace(&rows.ok_or("a jwks row lacks a field")?, now);
    Ok(keys)
}

fn session_of(config: &Config, row: &Row, keys: &Keys) -> Option<Session> {
    Some(Session {
        id: id(row.get("id")?),
        user_id: id(row.get("userId")?),
        token: keys.verify(&keys.sign(row.get("token")?.as_str()?)?)?,
        expires_at: time(row.get("expiresAt"))?,
        ip_address: text(row, "ipAddress"),
        user_agent: text(row, "userAgent"),
        created_at: time(row.get("createdAt")),
        updated_at: time(row.get("updatedAt")),
        own: own_fields(config.session_fields.as_ref())
            .map(|(name, field)| own(field, row.get(name)))
            .collect(),
    })
}

fn user_of(config: &Config, row: &Row) -> Option<User> {
    Some(User {
        id: id(row.get("id")?),
        name: text(row, "name"),
        email: text(row, "email"),
        email_verified: row.get("emailVerified").and_then(Value::as_bool).unwrap_or(false),
        image: text(row, "image"),
        ban: None,
        created_at: time(row.get("createdAt")),
        updated_at: time(row.get("updatedAt")),
        own: own_fields(config.user_fields.as_ref()).map(|(name, field)| own(field, row.get(name))).collect(),
    })
}

pub(crate) fn own_fields(
    fields: Option<&BTreeMap<String, Field>>,
) -> impl Iterator<Item = (&String, &Field)> {
    fields.into_iter().flatten().filter(|(_, field)| field.returned)
}

fn own(field: &Field, value: Option<&Value>) -> Own {
    match (field.kind.as_str(), value) {
        (_, None | Some(Value::Null)) => Own::Null,
        ("date", time_text) => time(time_text).map_or(Own::Null, Own::Time),
        (_, Some(Value::Bool(flag))) => Own::Bool(*flag),
        (_, Some(Value::Number(number))) => {
            number.as_i64().map_or_else(|| Own::Float(number.as_f64().unwrap_or(f64::NAN)), Own::Int)
        }
        // The row stores lists as JSON.
        (kind, Some(Value::String(text))) if kind.ends_with("[]") || kind == "json" => {
            serde_json::from_str(text).map_or(Own::Null, Own::Json)
        }
        (_, Some(Value::String(text))) => Own::Text(text.clone()),
        (_, Some(other)) => Own::Json(other.clone()),
    }
}

/// Ids are strings, whatever their column's type.
pub(crate) fn id(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

pub(crate) fn text(row: &Row, field: &str) -> Option<String> {
    row.get(field).and_then(Value::as_str).map(String::from)
}

fn time(value: Option<&Value>) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(value?.as_str()?).ok().map(DateTime::into)
}
