//! A user's fields in JSON, as Better Auth writes them into signed snapshots and tokens.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::identity::{Ban, Value as Own};

/// A time under this name.
pub(crate) fn time(object: &Value, field: &str) -> Option<DateTime<Utc>> {
    iso(object.get(field)?.as_str()?)
}

/// What Better Auth takes for a date: `2026-01-15T12:00:00.123Z`, the fraction optional.
pub(crate) fn iso(text: &str) -> Option<DateTime<Utc>> {
    let has_shape = text.len() >= 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z');
    if !has_shape {
        return None;
    }
    DateTime::parse_from_rfc3339(text).ok().map(DateTime::into)
}

/// The admin plugin's ban.
pub(crate) fn ban(user: &Value) -> Option<Ban> {
    let is_banned = user.get("banned").and_then(Value::as_bool).unwrap_or(false);
    is_banned.then(|| Ban { expires_at: time(user, "banExpires") })
}

/// The value of a field that the application declared.
pub(crate) fn own_value(value: &Value) -> Own {
    match value {
        Value::Null => Own::Null,
        Value::Bool(flag) => Own::Bool(*flag),
        Value::String(text) => Own::Text(text.clone()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Own::Int(number),
            (None, Some(number)) => Own::Float(number),
            (None, None) => Own::Null,
        },
        list_or_object => Own::Json(list_or_object.clone()),
    }
}
