//! Every setting that is wrong, for the doctor. A server stops at the first one.

use serde_json::Value as Json;

use super::{RawSettings, Settings};

/// What stands in for a required setting that is missing or wrong, so that the others can be checked.
const PLACEHOLDERS: [(&str, &str); 4] = [
    ("database_url", "postgresql://nobody@localhost/nothing"),
    ("secret", "a placeholder that is used to check the other settings"),
    ("secrets", "1:a placeholder that is used to check the other settings"),
    ("base_url", "http://localhost:3000"),
];

/// The environment variables of settings that are not named after them.
const VARIABLES: [(&str, &str); 7] = [
    ("database_url", "DATABASE_URL"),
    ("secret", "BETTER_AUTH_SECRET"),
    ("secrets", "BETTER_AUTH_SECRETS"),
    ("base_url", "BETTER_AUTH_URL"),
    ("trusted_origins", "BETTER_AUTH_TRUSTED_ORIGINS"),
    ("neon_auth_base_url", "NEON_AUTH_BASE_URL"),
    ("neon_auth_jwks_url", "NEON_AUTH_JWKS_URL"),
];

/// A setting that is missing or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its name; None if no single setting is wrong.
    pub setting: Option<String>,
    /// What [`Settings::check`] says.
    pub message: String,
}

/// The faults, and the settings without them: each setting at fault has its default, or a placeholder. None where that
/// is not possible.
#[must_use]
pub fn faults(raw: &RawSettings) -> (Vec<Fault>, Option<Settings>) {
    let mut faults = Vec::new();
    let mut raw = raw.clone();
    loop {
        let message = match Settings::check(raw.clone()) {
            Ok(settings) => return (faults, Some(settings)),
            Err(error) => error.to_string(),
        };
        let is_known = |name: &str| faults.iter().any(|fault: &Fault| fault.setting.as_deref() == Some(name));
        let settles = |name: &String| {
            let without = without(&raw, name)?;
            let next = Settings::check(without.clone()).err().map(|error| error.to_string());
            (next.as_ref() != Some(&message)).then_some((name.clone(), without))
        };
        let names = names_in_order(&raw, &message);
        let found = names.iter().filter(|name| !is_known(name)).find_map(settles);
        let Some((name, without)) = found else {
            faults.push(Fault { setting: None, message });
            return (faults, None);
        };
        faults.push(Fault { setting: Some(name), message });
        raw = without;
    }
}

/// The settings, those that the message mentions first. Messages begin with the setting that is wrong.
fn names_in_order(raw: &RawSettings, message: &str) -> Vec<String> {
    let Ok(Json::Object(fields)) = serde_json::to_value(raw) else { return Vec::new() };
    let mut names: Vec<String> = fields.keys().cloned().collect();
    let variable = |name: &str| {
        let own = VARIABLES.iter().find(|(setting, _)| *setting == name).map(|(_, variable)| *variable);
        own.map_or_else(|| format!("AUTH_MIDDLEWARE_{}", name.to_uppercase()), str::to_owned)
    };
    names.sort_by_key(|name| {
        let variable = variable(name);
        // Of BETTER_AUTH_SECRET and BETTER_AUTH_SECRETS at one place, the longer one is meant.
        (message.find(&variable).unwrap_or(usize::MAX), usize::MAX - variable.len())
    });
    names
}

/// The same settings without the value of this one.
fn without(raw: &RawSettings, name: &str) -> Option<RawSettings> {
    let Ok(Json::Object(mut fields)) = serde_json::to_value(raw) else { return None };
    let Ok(Json::Object(defaults)) = serde_json::to_value(RawSettings::default()) else { return None };
    let placeholder = PLACEHOLDERS.iter().find(|(setting, _)| *setting == name);
    let value = placeholder.map(|(_, text)| Json::String((*text).to_owned()));
    fields.insert(name.to_owned(), value.or_else(|| defaults.get(name).cloned())?);
    let replaced: RawSettings = serde_json::from_value(Json::Object(fields)).ok()?;
    Some(RawSettings {
        user_fields: raw.user_fields.clone(),
        session_fields: raw.session_fields.clone(),
        ..replaced
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> RawSettings {
        let of = |text: &str| Some(text.to_owned());
        RawSettings {
            database_url: of("postgresql://app@localhost/app"),
            secret: of("0123456789abcdefghijklmnopqrstuv"),
            base_url: of("https://auth.example.com"),
            ..RawSettings::default()
        }
    }

    fn names(raw: &RawSettings) -> Vec<String> {
        faults(raw).0.into_iter().map(|fault| fault.setting.unwrap_or_default()).collect()
    }

    #[test]
    fn good_settings_have_no_fault() {
        let (found, settings) = faults(&good());
        assert_eq!(found, []);
        assert!(settings.is_some());
    }

    #[test]
    fn every_wrong_setting_is_reported_with_its_name() {
        let of = |text: &str| Some(text.to_owned());
        let raw = RawSettings {
            secret: of("short"),
            database_url: of("mysql://root@localhost/x"),
            base_url: of("auth.example.com"),
            pool_size: Some(0),
            freshness: of("often"),
            jwt_freshness: of("live"),
            ..good()
        };
        let mut found = names(&raw);
        found.sort();
        assert_eq!(found, ["base_url", "database_url", "freshness", "pool_size", "secret"]);
        assert_eq!(names(&RawSettings::default()), ["secret", "base_url", "database_url"]);
    }

    #[test]
    fn the_setting_that_a_message_is_about_is_named_and_not_another_one() {
        let of = |text: &str| Some(text.to_owned());
        let neon = of("https://ep.neon.tech/neondb/auth");
        for (raw, setting) in [
            (RawSettings { secret: None, neon_auth_base_url: neon, ..good() }, "secret"),
            (RawSettings { secrets: of("1:short"), ..good() }, "secrets"),
            (RawSettings { secret: of("'0123456789abcdefghijklmnopqrstuv'"), ..good() }, "secret"),
            (
                RawSettings { listen_database_url: of("x"), freshness: of("live"), ..good() },
                "listen_database_url",
            ),
            (RawSettings { trusted_origins: vec!["https://*".into()], ..good() }, "trusted_origins"),
            (RawSettings { bearer_unsigned: Some(true), ..good() }, "bearer_unsigned"),
            (RawSettings { cookie_prefix: of("a b"), ..good() }, "cookie_prefix"),
        ] {
            assert_eq!(names(&raw), [setting]);
        }
    }
}
