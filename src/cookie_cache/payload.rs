//! The shape of a snapshot, according to Better Auth's own schema (`parseCookieCachePayload`).

use serde_json::Value;

use super::absent_field::AbsentField;
use crate::identity::{Identity, Session, User, Value as Own};
use crate::json_fields::{ban, iso, own_value, time};
use crate::settings::OwnField;
use crate::signature::SessionToken;

/// The identity in a payload, if it belongs to this token, has the right shape and contains every declared field.
pub(super) fn identity(
    payload: &Value,
    token: &SessionToken,
    session_fields: &[OwnField],
    user_fields: &[OwnField],
    absent: &AbsentField,
) -> Option<Identity> {
    payload.get("updatedAt")?.as_f64()?;
    let session = payload.get("session")?;
    // Otherwise one user's token with another user's data would authenticate as that other user.
    if text(session, "token")? != token.as_str() {
        return None;
    }
    let user = payload.get("user")?;
    Some(Identity {
        session: Some(Session {
            id: text(session, "id")?,
            user_id: text(session, "userId")?,
            token: token.clone(),
            expires_at: time(session, "expiresAt")?,
            ip_address: optional_text(session, "ipAddress")?,
            user_agent: optional_text(session, "userAgent")?,
            created_at: Some(time(session, "createdAt")?),
            updated_at: Some(time(session, "updatedAt")?),
            own: own(session, session_fields, |field| absent.found("session_model", field))?,
        }),
        user: User {
            id: text(user, "id")?,
            name: Some(text(user, "name")?),
            // Better Auth also converts it to lower case.
            email: Some(text(user, "email")?.to_lowercase()),
            email_verified: user.get("emailVerified").map_or(Some(false), Value::as_bool)?,
            image: optional_text(user, "image")?,
            created_at: Some(time(user, "createdAt")?),
            updated_at: Some(time(user, "updatedAt")?),
            ban: ban(user),
            own: own(user, user_fields, |field| absent.found("user_model", field))?,
        },
    })
}

/// A string that Better Auth does not read as a date.
fn text(object: &Value, field: &str) -> Option<String> {
    let text = object.get(field)?.as_str()?;
    iso(text).is_none().then(|| text.to_owned())
}

#[expect(clippy::option_option, reason = "invalid, null or a text")]
fn optional_text(object: &Value, field: &str) -> Option<Option<String>> {
    match object.get(field) {
        None | Some(Value::Null) => Some(None),
        Some(_) => text(object, field).map(Some),
    }
}

/// The application's own fields. None if one is not in the snapshot: the row has it, and its value need not be the
/// model's default.
fn own(object: &Value, fields: &[OwnField], absent: impl Fn(&str)) -> Option<Vec<Own>> {
    let read = |field: &OwnField| {
        let found = field.spellings().into_iter().find_map(|name| object.get(&name));
        if found.is_none() {
            absent(&field.name);
        }
        found.map(own_value)
    };
    fields.iter().map(read).collect()
}
