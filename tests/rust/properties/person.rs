//! A user and a session, as Better Auth's `session_data` and as the identity that we must read from it.

use std::fmt::Write as _;

use auth_middleware::identity::{Identity, Session, User, Value as Own};
use auth_middleware::settings::{OwnField, Secret};
use auth_middleware::signature::{Keys, SessionToken};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::better_auth_cookies::SECRET;

/// The time of every request.
pub(crate) const NOW: DateTime<Utc> = match DateTime::from_timestamp_millis(1_768_478_400_123) {
    Some(now) => now,
    None => DateTime::UNIX_EPOCH,
};

/// The user's own fields, in our spelling and in Better Auth's.
const USER_FIELDS: [(&str, &str); 2] = [("role", "role"), ("shoe_size", "shoeSize")];
const SESSION_FIELDS: [(&str, &str); 1] = [("active_organization_id", "activeOrganizationId")];

/// Own fields are absent if they are None, and null if they are `Some(Value::Null)`.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) token: String,
    pub(crate) ids: [String; 2],
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) image: Option<String>,
    pub(crate) is_email_verified: bool,
    pub(crate) client: [Option<String>; 2],
    pub(crate) valid_for: TimeDelta,
    pub(crate) user_own: [Option<Value>; 2],
    pub(crate) session_own: [Option<Value>; 1],
}

impl Person {
    pub(crate) fn user_fields() -> Vec<OwnField> {
        declared(&USER_FIELDS)
    }

    pub(crate) fn session_fields() -> Vec<OwnField> {
        declared(&SESSION_FIELDS)
    }

    /// A person whose fields have the texts in these lines.
    pub(crate) fn from_lines(text: &str) -> Self {
        let mut lines = text.split('\n').map(str::to_owned);
        let mut line = move || lines.next().unwrap_or_default();
        let own = |text: String| serde_json::from_str(&text).ok().or((!text.is_empty()).then(|| json!(text)));
        let token = format!("t{}", line().replace(char::is_control, "").chars().take(50).collect::<String>());
        Self {
            token,
            ids: [line(), line()],
            name: line(),
            email: line(),
            image: Some(line()).filter(|image| !image.is_empty()),
            is_email_verified: false,
            client: [Some(line()), Some(line())],
            valid_for: TimeDelta::seconds(600),
            user_own: [own(line()), own(line())],
            session_own: [own(line())],
        }
    }

    /// `sessionData`, as `JSON.stringify` writes it.
    pub(crate) fn payload(&self, version: &str) -> String {
        let [id, user_id] = &self.ids;
        let [ip_address, user_agent] = &self.client;
        let mut session = vec![
            ("expiresAt", Some(json!(iso(NOW + self.valid_for)))),
            ("token", Some(json!(self.token))),
            ("createdAt", Some(json!(iso(NOW - TimeDelta::days(1))))),
            ("updatedAt", Some(json!(iso(NOW)))),
            ("ipAddress", Some(json!(ip_address))),
            ("userAgent", Some(json!(user_agent))),
            ("userId", Some(json!(user_id))),
            ("id", Some(json!(id))),
        ];
        let mut user = vec![
            ("name", Some(json!(self.name))),
            ("email", Some(json!(self.email))),
            ("emailVerified", Some(json!(self.is_email_verified))),
            ("image", Some(json!(self.image))),
            ("createdAt", Some(json!(iso(NOW - TimeDelta::days(2))))),
            ("updatedAt", Some(json!(iso(NOW)))),
            ("id", Some(json!(user_id))),
        ];
        session.extend(SESSION_FIELDS.iter().map(|field| field.1).zip(self.session_own.iter().cloned()));
        user.extend(USER_FIELDS.iter().map(|field| field.1).zip(self.user_own.iter().cloned()));
        format!(
            r#"{{"session":{},"user":{},"updatedAt":{},"version":{}}}"#,
            object(session),
            object(user),
            NOW.timestamp_millis(),
            json!(version)
        )
    }

    /// The identity that we must return.
    pub(crate) fn identity(&self) -> Identity {
        let [id, user_id] = self.ids.clone();
        let [ip_address, user_agent] = self.client.clone();
        Identity {
            session: Some(Session {
                id,
                user_id: user_id.clone(),
                token: self.session_token(),
                expires_at: NOW + self.valid_for,
                ip_address,
                user_agent,
                created_at: Some(NOW - TimeDelta::days(1)),
                updated_at: Some(NOW),
                own: self.session_own.iter().map(Option::as_ref).map(own).collect(),
            }),
            user: User {
                id: user_id,
                name: Some(self.name.clone()),
                email: Some(self.email.to_lowercase()),
                email_verified: self.is_email_verified,
                image: self.image.clone(),
                created_at: Some(NOW - TimeDelta::days(2)),
                updated_at: Some(NOW),
                ban: None,
                own: self.user_own.iter().map(Option::as_ref).map(own).collect(),
            },
        }
    }

    /// Whether the snapshot lacks a declared field. JSON has no undefined fields, so their values are only in the row.
    pub(crate) fn lacks_a_declared_field(&self) -> bool {
        self.user_own.iter().chain(&self.session_own).any(Option::is_none)
    }

    /// Whether a text looks like a date. Better Auth reads it as a date, and then the snapshot does not have the
    /// required shape.
    pub(crate) fn has_a_text_like_a_date(&self) -> bool {
        let is_like_a_date =
            |text: &String| text.len() >= 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z');
        let texts = [&self.token, &self.name, &self.email].into_iter().chain(&self.ids);
        texts.chain(&self.image).chain(self.client.iter().flatten()).any(is_like_a_date)
    }

    fn session_token(&self) -> SessionToken {
        let keys = Keys::new(&[Secret::new(SECRET)]);
        match keys.sign(&self.token).and_then(|value| keys.verify(&value)) {
            Some(token) => token,
            None => panic!("{:?} is no token", self.token),
        }
    }
}

fn declared(fields: &[(&str, &str)]) -> Vec<OwnField> {
    fields.iter().map(|field| OwnField::from(field.0.to_owned())).collect()
}

fn iso(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The value of an own field for the application.
fn own(value: Option<&Value>) -> Own {
    match value {
        None | Some(Value::Null) => Own::Null,
        Some(Value::Bool(flag)) => Own::Bool(*flag),
        Some(Value::String(text)) => Own::Text(text.clone()),
        // JavaScript has no integers: a number without a decimal point is read as one.
        Some(Value::Number(number)) => match number.as_f64().map(number_text) {
            Some(text) => text.parse().map(Own::Int).or(text.parse().map(Own::Float)).unwrap_or(Own::Null),
            None => Own::Null,
        },
        Some(list_or_object) => match serde_json::from_str(&stringify(list_or_object)) {
            Ok(value) => Own::Json(value),
            Err(error) => panic!("{error}"),
        },
    }
}

fn object(members: Vec<(&str, Option<Value>)>) -> String {
    let written = members.into_iter().filter_map(|(name, value)| Some((name, stringify(&value?))));
    let written = written.map(|(name, value)| format!("{}:{value}", json!(name)));
    format!("{{{}}}", written.collect::<Vec<_>>().join(","))
}

/// `JSON.stringify`. `serde_json` differs from it only in numbers.
fn stringify(value: &Value) -> String {
    match value {
        Value::Number(number) => number.as_f64().map_or_else(|| "null".to_owned(), number_text),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(stringify).collect::<Vec<_>>().join(","))
        }
        Value::Object(map) => {
            object(map.iter().map(|(name, value)| (name.as_str(), Some(value.clone()))).collect())
        }
        other => other.to_string(),
    }
}

/// ECMA-262 §6.1.6.1.20, for the numbers that JSON can contain.
fn number_text(number: f64) -> String {
    let mut text = String::new();
    let written = match number.abs() {
        0.0 => write!(text, "0"),
        1e-6..1e21 => write!(text, "{number}"),
        _ => write!(text, "{number:e}"),
    };
    assert!(written.is_ok(), "a String takes what is written");
    match text.split_once('e') {
        Some((digits, power)) if !power.starts_with('-') => format!("{digits}e+{power}"),
        _ => text,
    }
}
