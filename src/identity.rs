//! The session and its user, as stored.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::signature::SessionToken;

/// The sender of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// The session that the request presented; None if it presented a JWT, which has none.
    pub session: Option<Session>,
    /// The user.
    pub user: User,
}

/// The id of a user whom a verified JWT names. It is a person's data, so its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UserId(Arc<str>);

impl UserId {
    /// The id in this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The id as text, for the store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserId(…)")
    }
}

impl Identity {
    /// The approximate memory use in bytes: the struct, its strings and the values of the application's own fields.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let Self { session, user } = self;
        let texts = [&user.name, &user.email, &user.image].into_iter().flatten().chain([&user.id]);
        let own = user.own.iter().map(Value::bytes);
        let held = texts.map(String::capacity).chain(own).sum::<usize>();
        size_of::<Self>() + session.as_ref().map_or(0, Session::held) + held
    }
}

/// A row of Better Auth's `session` table.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Text, whatever the column's type.
    pub id: String,
    /// The user's id, as text.
    pub user_id: String,
    /// The bearer token; its `Debug` is redacted.
    pub token: SessionToken,
    /// The last instant at which the session is valid.
    pub expires_at: DateTime<Utc>,
    /// Empty if Better Auth did not know it.
    pub ip_address: Option<String>,
    /// Empty if Better Auth did not know it.
    pub user_agent: Option<String>,
    /// None where a hand-written table allows NULL.
    pub created_at: Option<DateTime<Utc>>,
    /// None where a hand-written table allows NULL.
    pub updated_at: Option<DateTime<Utc>>,
    /// The application's own fields, in the order in which it declared them.
    pub own: Vec<Value>,
}

impl Session {
    /// What it takes in memory beside its own size.
    fn held(&self) -> usize {
        let texts =
            [&self.ip_address, &self.user_agent].into_iter().flatten().chain([&self.id, &self.user_id]);
        let own = self.own.iter().map(Value::bytes);
        self.token.as_str().len() + texts.map(String::capacity).chain(own).sum::<usize>()
    }
}

/// A row of Better Auth's `user` table.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Text, whatever the column's type.
    pub id: String,
    /// The display name. None where a hand-written table has NULL.
    pub name: Option<String>,
    /// The address, as stored. None where a hand-written table has NULL.
    pub email: Option<String>,
    /// NULL is false.
    pub email_verified: bool,
    /// A URL, usually.
    pub image: Option<String>,
    /// None where a hand-written table allows NULL.
    pub created_at: Option<DateTime<Utc>>,
    /// None where a hand-written table allows NULL.
    pub updated_at: Option<DateTime<Utc>>,
    /// The admin plugin's ban, if `banned` is true.
    pub ban: Option<Ban>,
    /// The application's own fields, in the order in which it declared them.
    pub own: Vec<Value>,
}

/// A user who may not sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// When it ends; None means never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// The value of a field that the application declared.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Not among a token's claims: the model's default applies. Rows have every field.
    Absent,
    /// NULL.
    Null,
    /// Text, enums, uuids, exact numbers, dates.
    Text(String),
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A timestamp. Without a time zone, it is read as UTC.
    Time(DateTime<Utc>),
    /// JSON, and arrays.
    Json(serde_json::Value),
}

impl Value {
    fn bytes(&self) -> usize {
        let heap = match self {
            Self::Text(text) => text.capacity(),
            Self::Json(json) => json_bytes(json),
            Self::Absent | Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Time(_) => 0,
        };
        size_of::<Self>() + heap
    }
}

#[cfg(test)]
impl User {
    /// A user of whom no more is known.
    pub(crate) fn with_name(id: &str, name: Option<&str>) -> Self {
        Self {
            id: id.to_owned(),
            name: name.map(str::to_owned),
            email: None,
            email_verified: false,
            image: None,
            created_at: None,
            updated_at: None,
            ban: None,
            own: Vec::new(),
        }
    }
}

/// The memory of a JSON value.
pub(crate) fn json_bytes(json: &serde_json::Value) -> usize {
    use serde_json::Value as Json;
    let heap = match json {
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
        Json::String(text) => text.capacity(),
        Json::Array(items) => items.iter().map(json_bytes).sum(),
        Json::Object(fields) => {
            fields.iter().map(|(name, field)| size_of::<String>() + name.capacity() + json_bytes(field)).sum()
        }
    };
    size_of::<Json>() + heap
}
