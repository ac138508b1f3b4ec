//! The user that a token's claims describe, where no row is read.

use std::sync::Arc;

use serde_json::Value;

use super::UserToken;
use crate::identity::{Identity, User, Value as Own};
use crate::json_fields::{ban, own_value, time};
use crate::settings::OwnField;

/// The user in the claims. What is missing is None where Better Auth's model allows it; the application's own fields are
/// then absent, and its model decides.
///
/// # Errors
/// What the token would have to claim.
pub(super) fn identity(token: &UserToken, own_fields: &[OwnField]) -> Result<Arc<Identity>, String> {
    let claims = token.claims();
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    let email = text("email").ok_or(
        "a JWT has no claim \"email\", which AuthUser requires: add it with definePayload in the options of Better \
         Auth's jwt plugin, or set jwt_freshness (AUTH_MIDDLEWARE_JWT_FRESHNESS) to \"always\"",
    )?;
    let all = Value::Object(claims.clone());
    let own = |field: &OwnField| {
        let found = field.spellings().into_iter().find_map(|name| claims.get(&name));
        found.map_or(Own::Absent, own_value)
    };
    let user = User {
        id: token.user_id().to_owned(),
        name: Some(text("name").unwrap_or_default()),
        email: Some(email),
        email_verified: claims.get("emailVerified").and_then(Value::as_bool).unwrap_or(false),
        image: text("image"),
        created_at: time(&all, "createdAt"),
        updated_at: time(&all, "updatedAt"),
        ban: ban(&all),
        own: own_fields.iter().map(own).collect(),
    };
    Ok(Arc::new(Identity { session: None, user }))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    fn of(claims: &Value, own: &[&str]) -> Result<Arc<Identity>, String> {
        let claims = claims.as_object().cloned().unwrap_or_default();
        let own: Vec<_> = own.iter().map(|name| OwnField::from((*name).to_owned())).collect();
        identity(&UserToken::new("ada".into(), claims, 0.0), &own)
    }

    #[test]
    fn claims_are_read_by_better_auths_names() {
        let found = of(
            &json!({
                "name": "Ada", "email": "ada@example.com", "emailVerified": true, "image": "https://x/a.png",
                "createdAt": "2026-01-15T12:00:00.123Z", "updatedAt": "2026-01-15T12:00:00Z", "favouriteColour": "blue",
                "level": 3,
            }),
            &["favourite_colour", "level", "plan"],
        );
        let Identity { session, user } = (*found.expect("it has all there must be")).clone();
        assert_eq!(session, None);
        assert_eq!((user.id.as_str(), user.name.as_deref(), user.email_verified), ("ada", Some("Ada"), true));
        assert_eq!(user.created_at, DateTime::from_timestamp_millis(1_768_478_400_123));
        assert_eq!(user.own, [Own::Text("blue".into()), Own::Int(3), Own::Absent]);
        assert_eq!(user.ban, None);
    }

    #[test]
    fn an_address_is_enough_and_required() {
        let user = of(&json!({"email": "a@b.c"}), &[]).expect("it is enough").user.clone();
        assert_eq!((user.name.as_deref(), user.email_verified), (Some(""), false));
        assert_eq!((user.image, user.created_at), (None, None));
        for claims in [json!({}), json!({"email": null}), json!({"email": 7})] {
            let why = of(&claims, &[]).expect_err("there is no address");
            assert!(why.contains("email") && why.contains("definePayload"), "{why}");
        }
    }

    #[test]
    fn bans_are_honoured() {
        let ban = |claims: Value| of(&claims, &[]).expect("it has an address").user.ban;
        assert!(ban(json!({"email": "a", "banned": true})).is_some_and(|ban| ban.expires_at.is_none()));
        let until = json!({"email": "a", "banned": true, "banExpires": "2026-01-15T12:00:00.000Z"});
        assert!(ban(until).is_some_and(|ban| ban.expires_at.is_some()));
        assert_eq!(ban(json!({"email": "a", "banned": false})), None);
        assert_eq!(ban(json!({"email": "a", "banned": null})), None);
    }
}
