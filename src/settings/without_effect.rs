//! Settings that have no effect in combination with the others. Whoever set one expected an effect.

use super::jwt::{JwtSettings, KeyLocation};
use super::{AcceptedCredentials, JwtFreshness, RawSettings, given, trusted_origins};

/// A setting, and whether it was set to something else than its default.
type Set = (&'static str, bool);

/// The warnings for an operator. `raw` has its defaults.
pub(super) fn warnings(
    raw: &RawSettings,
    accepted: AcceptedCredentials,
    jwt: Option<&JwtSettings>,
) -> Vec<String> {
    let freshness = given(raw.freshness.as_deref()).unwrap_or_default();
    let (is_live, trusts_cookies) = (freshness == "live", freshness == "cookie_cache");
    let caches = is_live || freshness.parse::<f64>().is_ok();
    let reads_table = jwt.is_some_and(|jwt| jwt.keys == KeyLocation::Table)
        || trusts_cookies && given(raw.cache_strategy.as_deref()) == Some("jwks");
    let usual = RawSettings::default();
    let text = |value: &Option<String>| given(value.as_deref()).is_some();
    let other = |value: &Option<String>, usual: &Option<String>| {
        given(value.as_deref()).is_some_and(|value| Some(value) != usual.as_deref())
    };
    let groups: [(bool, &[Set], String); 8] = [
        (
            trusts_cookies,
            &[
                ("cache_strategy", other(&raw.cache_strategy, &usual.cache_strategy)),
                ("cache_version", other(&raw.cache_version, &usual.cache_version)),
                ("cache_cookie_name", text(&raw.cache_cookie_name)),
            ],
            of_freshness("\"cookie_cache\"", "cookie_cache", freshness),
        ),
        (
            is_live,
            &[
                ("listen_database_url", text(&raw.listen_database_url)),
                ("max_age_seconds", raw.max_age_seconds != usual.max_age_seconds),
                ("heartbeat_seconds", raw.heartbeat_seconds != usual.heartbeat_seconds),
            ],
            of_freshness("\"live\"", "live", freshness),
        ),
        (
            caches,
            &[("max_cached_sessions", raw.max_cached_sessions != usual.max_cached_sessions)],
            of_freshness("\"live\" and to a number of seconds", "live", freshness),
        ),
        (
            accepted.jwt,
            &[
                ("jwks_url", text(&raw.jwks_url)),
                ("jwt_issuer", text(&raw.jwt_issuer)),
                ("jwt_audience", text(&raw.jwt_audience)),
                ("jwt_leeway_seconds", raw.jwt_leeway_seconds != usual.jwt_leeway_seconds),
                ("jwt_freshness", text(&raw.jwt_freshness)),
            ],
            not_listed("jwt"),
        ),
        (
            accepted.cookie,
            &[
                ("cookie_name", text(&raw.cookie_name)),
                ("cookie_prefix", text(&raw.cookie_prefix)),
                ("secure_cookies", raw.secure_cookies.is_some()),
            ],
            not_listed("cookie"),
        ),
        (
            accepted.cookie,
            &[
                ("freshness", trusts_cookies),
                ("trusted_origins", raw.trusted_origins.iter().any(|origin| given(Some(origin)).is_some())),
            ],
            not_listed("cookie"),
        ),
        (
            !accepted.cookie || !text(&raw.cookie_name) || trusts_cookies && !text(&raw.cache_cookie_name),
            &[("cookie_prefix", text(&raw.cookie_prefix))],
            "cookie_name (AUTH_MIDDLEWARE_COOKIE_NAME) replaces it, as at the Better Auth server: leave one of them out"
                .to_owned(),
        ),
        (
            reads_table,
            &[("jwks_table", text(&raw.jwks_table)), ("jwks_columns", !raw.jwks_columns.is_empty())],
            "nothing reads the jwks table with these settings: list \"jwt\" in credentials and leave jwks_url out, or \
             leave it out"
                .to_owned(),
        ),
    ];
    let needs_live = jwt.is_some_and(|jwt| jwt.freshness == JwtFreshness::Live);
    let mut warnings = warnings_of(&groups);
    warnings.extend(of_sessions_and_rows(raw, accepted, needs_live));
    warnings
}

/// Settings for sessions, where only JWTs are accepted, and for a database, where there is none.
fn of_sessions_and_rows(raw: &RawSettings, accepted: AcceptedCredentials, needs_live: bool) -> Vec<String> {
    let freshness = given(raw.freshness.as_deref()).unwrap_or_default();
    let is_live = freshness == "live";
    let caches = freshness.parse::<f64>().is_ok();
    let usual = RawSettings::default();
    let text = |value: &Option<String>| given(value.as_deref()).is_some();
    let other = |value: &Option<String>, usual: &Option<String>| {
        given(value.as_deref()).is_some_and(|value| Some(value) != usual.as_deref())
    };
    warnings_of(&[
        (
            accepted.any_session(),
            &[
                ("freshness", caches),
                ("previous_secrets", raw.previous_secrets.iter().any(|secret| !secret.is_empty())),
            ],
            "credentials lists only \"jwt\", and a JWT has no session: add \"cookie\" or \"bearer\" to \
             AUTH_MIDDLEWARE_CREDENTIALS, or remove the settings for them"
                .to_owned(),
        ),
        (
            accepted.any_session() || needs_live,
            &[("freshness", is_live)],
            "with credentials \"jwt\" alone no request uses it, and only guarded connections do: set \
             AUTH_MIDDLEWARE_JWT_FRESHNESS=live, add \"cookie\" or \"bearer\" to AUTH_MIDDLEWARE_CREDENTIALS, or leave it out"
                .to_owned(),
        ),
        (
            text(&raw.database_url),
            &[
                ("schema", text(&raw.schema)),
                ("session_table", text(&raw.session_table)),
                ("session_columns", !raw.session_columns.is_empty()),
                ("user_table", text(&raw.user_table)),
                ("user_columns", !raw.user_columns.is_empty()),
                ("pool_size", raw.pool_size != usual.pool_size),
                ("prepared_statements", other(&raw.prepared_statements, &usual.prepared_statements)),
                ("database_time_zone", other(&raw.database_time_zone, &usual.database_time_zone)),
            ],
            "no database is used: set DATABASE_URL, or remove the settings for it".to_owned(),
        ),
    ])
}

fn warnings_of(groups: &[(bool, &[Set], String)]) -> Vec<String> {
    groups.iter().filter(|(is_used, ..)| !is_used).filter_map(|(_, set, why)| warning(set, why)).collect()
}

/// What is ignored of Neon's variables. `is_used`: whether its preset applies.
pub(super) fn of_neon(raw: &RawSettings, is_used: bool) -> Option<String> {
    let is_set = |value: &Option<String>| given(value.as_deref()).is_some();
    if is_used {
        return None;
    }
    if !is_set(&raw.neon_auth_base_url) {
        return is_set(&raw.neon_auth_jwks_url)
            .then(|| "NEON_AUTH_JWKS_URL has no effect: NEON_AUTH_BASE_URL is not set".to_owned());
    }
    let others = [
        ("BETTER_AUTH_URL or AUTH_BASE_URL", &raw.base_url),
        ("BETTER_AUTH_SECRET or AUTH_SECRET", &raw.secret),
        ("BETTER_AUTH_SECRETS", &raw.secrets),
    ];
    let others: Vec<String> = others
        .into_iter()
        .filter(|(_, value)| is_set(value))
        .map(|(variables, _)| format!("{variables} is set"))
        .collect();
    Some(format!(
        "NEON_AUTH_BASE_URL is ignored, because {}: those are for another Better Auth server. Remove them to use Neon's, or \
         remove NEON_AUTH_BASE_URL",
        others.join(", and ")
    ))
}

fn warning(set: &[Set], why: &str) -> Option<String> {
    let named = |name: &str| match name {
        "trusted_origins" => trusted_origins::SETTING.to_owned(),
        _ => format!("{name} (AUTH_MIDDLEWARE_{})", name.to_uppercase()),
    };
    let set: Vec<String> = set.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| named(name)).collect();
    let verb = if set.len() == 1 { "has" } else { "have" };
    (!set.is_empty()).then(|| format!("{} {verb} no effect: {why}", set.join(", ")))
}

fn of_freshness(belongs_to: &str, word: &str, freshness: &str) -> String {
    format!(
        "it applies to freshness {belongs_to}, and freshness is {freshness:?}: set AUTH_MIDDLEWARE_FRESHNESS={word}, or \
         leave it out"
    )
}

fn not_listed(kind: &str) -> String {
    format!(
        "credentials does not list {kind:?}: add it to AUTH_MIDDLEWARE_CREDENTIALS, or remove the settings for it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    type Change = fn(&mut RawSettings);

    fn warnings_with(change: Change) -> Vec<String> {
        warnings_with_both(|_| {}, change)
    }

    fn warnings_with_both(base: Change, change: Change) -> Vec<String> {
        let mut raw = RawSettings {
            database_url: Some("postgresql://app@db.example.com/app".into()),
            secret: Some("0123456789abcdefghijklmnopqrstuv".into()),
            base_url: Some("https://auth.example.com".into()),
            ..RawSettings::default()
        };
        base(&mut raw);
        change(&mut raw);
        Settings::check(raw).expect("the settings are valid").warnings
    }

    #[test]
    fn a_setting_without_effect_is_named_with_what_would_give_it_one() {
        let jwt_alone: Change = |raw| {
            raw.credentials = vec!["jwt".into()];
            raw.secret = None;
        };
        let nothing: Change = |_| {};
        let without_database: Change = |raw| {
            raw.credentials = vec!["jwt".into()];
            raw.database_url = None;
        };
        let cases: [(&str, &str, Change, Change); 12] = [
            ("AUTH_MIDDLEWARE_FRESHNESS", "AUTH_MIDDLEWARE_CREDENTIALS", jwt_alone, |raw| {
                raw.freshness = Some("cookie_cache".into());
            }),
            ("AUTH_MIDDLEWARE_FRESHNESS", "AUTH_MIDDLEWARE_CREDENTIALS", nothing, |raw| {
                raw.credentials = vec!["bearer".into()];
                raw.freshness = Some("cookie_cache".into());
            }),
            ("AUTH_MIDDLEWARE_FRESHNESS", "AUTH_MIDDLEWARE_CREDENTIALS", jwt_alone, |raw| {
                raw.freshness = Some("5".into());
            }),
            ("AUTH_MIDDLEWARE_FRESHNESS", "AUTH_MIDDLEWARE_CREDENTIALS", jwt_alone, |raw| {
                raw.freshness = Some("live".into());
            }),
            ("AUTH_MIDDLEWARE_PREVIOUS_SECRETS", "AUTH_MIDDLEWARE_CREDENTIALS", jwt_alone, |raw| {
                raw.previous_secrets = vec!["x".into()];
            }),
            ("AUTH_MIDDLEWARE_SESSION_TABLE", "DATABASE_URL", without_database, |raw| {
                raw.session_table = Some("sessions".into());
            }),
            ("AUTH_MIDDLEWARE_SESSION_COLUMNS", "DATABASE_URL", without_database, |raw| {
                raw.session_columns.insert("userId".into(), "user_id".into());
            }),
            ("BETTER_AUTH_TRUSTED_ORIGINS", "AUTH_MIDDLEWARE_CREDENTIALS", jwt_alone, |raw| {
                raw.trusted_origins = vec!["https://app.example.com".into()];
            }),
            ("AUTH_MIDDLEWARE_SCHEMA", "DATABASE_URL", without_database, |raw| {
                raw.schema = Some("auth".into());
            }),
            ("AUTH_MIDDLEWARE_USER_TABLE", "DATABASE_URL", without_database, |raw| {
                raw.user_table = Some("users".into());
            }),
            ("AUTH_MIDDLEWARE_POOL_SIZE", "DATABASE_URL", without_database, |raw| raw.pool_size = Some(9)),
            ("AUTH_MIDDLEWARE_PREPARED_STATEMENTS", "DATABASE_URL", without_database, |raw| {
                raw.prepared_statements = Some("off".into());
                raw.database_time_zone = Some("Europe/Berlin".into());
            }),
        ];
        for (setting, fix, base, change) in cases {
            let warnings = warnings_with_both(base, change);
            let [warning] = &warnings[..] else { panic!("{setting}: {warnings:?}") };
            assert!(warning.contains(setting) && warning.contains("no effect"), "{warning}");
            assert!(warning.contains(fix), "{warning}");
        }
    }

    #[test]
    fn a_setting_of_another_value_is_named_with_that_value() {
        let cases: [(&str, &str, Change); 13] = [
            ("AUTH_MIDDLEWARE_CACHE_STRATEGY", "FRESHNESS=cookie_cache", |raw| {
                raw.cache_strategy = Some("jwe".into());
            }),
            ("AUTH_MIDDLEWARE_CACHE_VERSION", "FRESHNESS=cookie_cache", |raw| {
                raw.cache_version = Some("2".into());
                raw.freshness = Some("live".into());
            }),
            ("AUTH_MIDDLEWARE_CACHE_COOKIE_NAME", "FRESHNESS=cookie_cache", |raw| {
                raw.cache_cookie_name = Some("d".into());
            }),
            ("AUTH_MIDDLEWARE_LISTEN_DATABASE_URL", "FRESHNESS=live", |raw| {
                raw.listen_database_url = Some("postgresql://app@db.example.com/app".into());
            }),
            ("AUTH_MIDDLEWARE_MAX_AGE_SECONDS", "FRESHNESS=live", |raw| {
                raw.max_age_seconds = Some(30.0);
                raw.freshness = Some("60".into());
            }),
            ("AUTH_MIDDLEWARE_HEARTBEAT_SECONDS", "FRESHNESS=live", |raw| raw.heartbeat_seconds = Some(1.0)),
            ("AUTH_MIDDLEWARE_MAX_CACHED_SESSIONS", "FRESHNESS=live", |raw| {
                raw.max_cached_sessions = Some(7);
            }),
            ("AUTH_MIDDLEWARE_JWKS_URL", "AUTH_MIDDLEWARE_CREDENTIALS", |raw| {
                raw.jwks_url = Some("https://auth.example.com/jwks".into());
            }),
            ("AUTH_MIDDLEWARE_JWT_FRESHNESS", "AUTH_MIDDLEWARE_CREDENTIALS", |raw| {
                raw.jwt_freshness = Some("claims".into());
            }),
            ("AUTH_MIDDLEWARE_SECURE_COOKIES", "AUTH_MIDDLEWARE_CREDENTIALS", |raw| {
                raw.credentials = vec!["jwt".into()];
                raw.secure_cookies = Some(true);
            }),
            ("AUTH_MIDDLEWARE_COOKIE_PREFIX", "AUTH_MIDDLEWARE_COOKIE_NAME", |raw| {
                raw.cookie_name = Some("sid".into());
                raw.cookie_prefix = Some("my".into());
            }),
            ("AUTH_MIDDLEWARE_JWKS_TABLE", "jwks_url", |raw| raw.jwks_table = Some("keys".into())),
            ("AUTH_MIDDLEWARE_JWKS_COLUMNS", "jwks_url", |raw| {
                raw.credentials = vec!["jwt".into()];
                raw.jwks_url = Some("https://auth.example.com/jwks".into());
                raw.jwks_columns.insert("publicKey".into(), "jwk".into());
            }),
        ];
        for (setting, fix, change) in cases {
            let warnings = warnings_with(change);
            let [warning] = &warnings[..] else { panic!("{setting}: {warnings:?}") };
            assert!(warning.contains(setting) && warning.contains("no effect"), "{warning}");
            assert!(warning.contains(fix), "{warning}");
        }
    }

    #[test]
    fn settings_with_effect_and_defaults_are_not_reported() {
        let cases: [Change; 7] = [
            |_| {},
            |raw| {
                raw.freshness = Some("cookie_cache".into());
                raw.cache_strategy = Some("jwe".into());
                raw.cookie_name = Some("sid".into());
                raw.cookie_prefix = Some("my".into());
            },
            |raw| raw.cache_strategy = Some("compact".into()),
            |raw| {
                raw.freshness = Some("live".into());
                raw.heartbeat_seconds = Some(1.0);
                raw.max_cached_sessions = Some(7);
            },
            |raw| {
                raw.freshness = Some("30".into());
                raw.max_cached_sessions = Some(7);
            },
            |raw| {
                raw.credentials = vec!["cookie".into(), "jwt".into()];
                raw.jwt_issuer = Some("x".into());
                raw.jwks_table = Some("keys".into());
            },
            |raw| {
                raw.credentials = vec!["jwt".into()];
                raw.jwt_freshness = Some("live".into());
                raw.max_age_seconds = Some(30.0);
            },
        ];
        for (at, change) in cases.into_iter().enumerate() {
            assert_eq!(warnings_with(change), Vec::<String>::new(), "case {at}");
        }
    }
}
