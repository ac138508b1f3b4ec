//! The rules of the settings for JWTs.

use super::super::{AcceptedCredentials, Settings};
use super::*;

const NEON: &str = "https://ep-cool-1234.neonauth.eu-central-1.aws.neon.tech/neondb/auth";
const NEON_ORIGIN: &str = "https://ep-cool-1234.neonauth.eu-central-1.aws.neon.tech";
const DATABASE: &str = "postgresql://app@localhost/app";
const SECRET: &str = "0123456789abcdefghijklmnopqrstuv";

fn raw() -> RawSettings {
    RawSettings {
        base_url: Some("https://auth.example.com".into()),
        credentials: vec!["jwt".into()],
        ..RawSettings::default()
    }
}

fn neon() -> RawSettings {
    RawSettings { neon_auth_base_url: Some(NEON.into()), ..RawSettings::default() }
}

fn with_database(raw: RawSettings) -> RawSettings {
    RawSettings { database_url: Some(DATABASE.into()), ..raw }
}

fn check(raw: RawSettings) -> Result<(AcceptedCredentials, JwtSettings), String> {
    let settings = Settings::check(raw).map_err(|error| error.to_string())?;
    Ok((settings.accepted, settings.jwt.ok_or("no JWTs are accepted")?))
}

fn jwt(raw: RawSettings) -> JwtSettings {
    check(raw).expect("they are good").1
}

fn url_of(settings: &JwtSettings) -> &str {
    match &settings.keys {
        KeyLocation::Url(url) => url.as_url().as_str(),
        KeyLocation::Table => "table",
    }
}

#[test]
fn cookies_alone_are_the_default() {
    let raw = RawSettings { secret: Some(SECRET.into()), credentials: Vec::new(), ..with_database(raw()) };
    let settings = Settings::check(raw).expect("they are good");
    assert_eq!((settings.accepted, settings.jwt), (AcceptedCredentials::COOKIE, None));
}

#[test]
fn issuer_audience_and_keys_follow_from_the_base_url() {
    let settings = jwt(raw());
    assert_eq!(settings.issuer, "https://auth.example.com");
    assert_eq!(settings.audience, "https://auth.example.com");
    assert_eq!(settings.leeway, Duration::from_secs(15));
    assert_eq!(settings.freshness, JwtFreshness::Claims);
    assert_eq!(url_of(&settings), "https://auth.example.com/api/auth/jwks");
}

#[test]
fn the_issuer_is_an_origin_and_the_keys_are_where_better_auth_serves_them() {
    for (base, origin, keys) in [
        ("https://auth.example.com/", "https://auth.example.com", "/api/auth/jwks"),
        ("https://auth.example.com:443", "https://auth.example.com", "/api/auth/jwks"),
        ("https://Auth.example.com/my/auth/", "https://auth.example.com", "/my/auth/jwks"),
        ("http://localhost:3000", "http://localhost:3000", "/api/auth/jwks"),
    ] {
        let settings = jwt(RawSettings { base_url: Some(base.into()), ..raw() });
        assert_eq!((settings.issuer.as_str(), settings.audience.as_str()), (origin, origin), "{base}");
        assert_eq!(url_of(&settings), format!("{origin}{keys}"), "{base}");
    }
}

#[test]
fn with_a_database_the_keys_are_in_its_table_and_the_row_counts() {
    let settings = jwt(with_database(raw()));
    assert_eq!((settings.freshness, settings.keys), (JwtFreshness::Always, KeyLocation::Table));
    let given = RawSettings {
        jwks_url: Some("https://keys.example.com/x".into()),
        jwt_freshness: Some("claims".into()),
        ..with_database(raw())
    };
    let settings = jwt(given);
    assert_eq!(settings.freshness, JwtFreshness::Claims);
    assert_eq!(url_of(&settings), "https://keys.example.com/x");
}

#[test]
fn the_base_url_may_be_missing_if_nothing_follows_from_it() {
    let of = |text: &str| Some(text.to_owned());
    let complete = RawSettings {
        base_url: None,
        jwks_url: of("https://keys.example.com/jwks"),
        jwt_issuer: of("me"),
        jwt_audience: of("my api"),
        ..raw()
    };
    assert_eq!(url_of(&jwt(complete.clone())), "https://keys.example.com/jwks");
    for (incomplete, setting) in [
        (RawSettings { jwks_url: None, ..complete.clone() }, "AUTH_MIDDLEWARE_JWKS_URL"),
        (RawSettings { jwt_issuer: None, ..complete.clone() }, "AUTH_MIDDLEWARE_JWT_ISSUER"),
        (RawSettings { jwt_audience: None, ..complete }, "AUTH_MIDDLEWARE_JWT_AUDIENCE"),
    ] {
        let message = check(incomplete).expect_err(setting);
        assert!(message.contains("BETTER_AUTH_URL") && message.contains(setting), "{setting}: {message}");
    }
}

#[test]
fn what_is_set_goes_before_what_follows() {
    let settings = jwt(RawSettings {
        jwt_issuer: Some("me".into()),
        jwt_audience: Some(" my api ".into()),
        jwt_leeway_seconds: Some(0.0),
        ..raw()
    });
    assert_eq!((settings.issuer.as_str(), settings.audience.as_str()), ("me", "my api"));
    assert_eq!(settings.leeway, Duration::ZERO);
}

#[test]
fn a_wrong_setting_says_how_to_fix_it() {
    let of = |text: &str| Some(text.to_owned());
    for (raw, words) in [
        (RawSettings { credentials: vec!["jwt".into(), "cookies".into()], ..raw() }, "\"cookies\""),
        (RawSettings { credentials: vec!["JWT".into()], ..raw() }, "AUTH_MIDDLEWARE_CREDENTIALS"),
        (RawSettings { bearer_unsigned: Some(true), ..raw() }, "bearer_unsigned"),
        (RawSettings { jwks_url: of("http://auth.example.com/jwks"), ..raw() }, "AUTH_MIDDLEWARE_JWKS_URL"),
        (RawSettings { jwks_url: of("auth.example.com/jwks"), ..raw() }, "AUTH_MIDDLEWARE_JWKS_URL"),
        (RawSettings { base_url: of("http://auth.example.com"), ..raw() }, "AUTH_MIDDLEWARE_JWKS_URL"),
        (RawSettings { jwt_freshness: of("never"), ..raw() }, "AUTH_MIDDLEWARE_JWT_FRESHNESS"),
        (RawSettings { jwt_freshness: of("always"), ..raw() }, "DATABASE_URL"),
        (RawSettings { jwt_freshness: of("live"), ..raw() }, "DATABASE_URL"),
        (RawSettings { jwt_leeway_seconds: Some(-1.0), ..raw() }, "AUTH_MIDDLEWARE_JWT_LEEWAY_SECONDS"),
        (RawSettings { jwt_leeway_seconds: Some(f64::NAN), ..raw() }, "AUTH_MIDDLEWARE_JWT_LEEWAY_SECONDS"),
        (RawSettings { jwt_leeway_seconds: Some(301.0), ..raw() }, "AUTH_MIDDLEWARE_JWT_LEEWAY_SECONDS"),
        (RawSettings { neon_auth_base_url: of("http://neon.example/auth"), ..neon() }, "NEON_AUTH_BASE_URL"),
        (RawSettings { neon_auth_jwks_url: of("ftp://x/"), ..neon() }, "NEON_AUTH_JWKS_URL"),
    ] {
        let message = check(raw).expect_err(words);
        assert!(message.contains(words), "{words}: {message}");
    }
}

#[test]
fn one_variable_of_neon_is_enough() {
    let (accepted, settings) = check(neon()).expect("they are good");
    assert_eq!(accepted, AcceptedCredentials::JWT);
    assert_eq!((settings.issuer.as_str(), settings.audience.as_str()), (NEON_ORIGIN, NEON_ORIGIN));
    assert_eq!(settings.freshness, JwtFreshness::Claims);
    assert_eq!(url_of(&settings), format!("{NEON}/.well-known/jwks.json"));
    let slash = RawSettings { neon_auth_base_url: Some(format!("{NEON}/")), ..neon() };
    assert_eq!(url_of(&jwt(slash)), format!("{NEON}/.well-known/jwks.json"));
}

#[test]
fn neons_other_variables_and_our_settings_go_before() {
    let of = |text: &str| Some(text.to_owned());
    let settings = jwt(RawSettings { neon_auth_jwks_url: of("https://x.example/k"), ..neon() });
    assert_eq!(url_of(&settings), "https://x.example/k");
    let settings = jwt(RawSettings {
        neon_auth_jwks_url: of("https://x.example/k"),
        jwks_url: of("https://y.example/k"),
        jwt_audience: of("mine"),
        ..neon()
    });
    assert_eq!(url_of(&settings), "https://y.example/k");
    assert_eq!((settings.issuer.as_str(), settings.audience.as_str()), (NEON_ORIGIN, "mine"));
}

#[test]
fn neons_tables_are_in_a_schema_of_their_own() {
    let schema = |raw: RawSettings| Settings::check(raw).expect("they are good").tables.schema;
    assert_eq!(schema(with_database(neon())).as_deref(), Some("neon_auth"));
    assert_eq!(jwt(with_database(neon())).freshness, JwtFreshness::Always);
    assert_eq!(url_of(&jwt(with_database(neon()))), format!("{NEON}/.well-known/jwks.json"));
    let own = RawSettings { schema: Some("mine".into()), ..with_database(neon()) };
    assert_eq!(schema(own).as_deref(), Some("mine"));
}

#[test]
fn settings_of_a_better_auth_server_switch_neons_off() {
    let raw = RawSettings {
        base_url: Some("https://auth.example.com".into()),
        secret: Some(SECRET.into()),
        ..with_database(neon())
    };
    let settings = Settings::check(raw).expect("they are good");
    assert_eq!((settings.accepted, settings.jwt), (AcceptedCredentials::COOKIE, None));
    assert_eq!(settings.tables.schema, None);
    assert_eq!(settings.warnings.len(), 1, "{:?}", settings.warnings);
    let message = &settings.warnings[0];
    assert!(message.starts_with("NEON_AUTH_BASE_URL is ignored, because"), "{message}");
    assert!(message.contains("BETTER_AUTH_URL") && message.contains("BETTER_AUTH_SECRET or"), "{message}");
}

#[test]
fn each_setting_that_switches_neons_preset_off_is_reported() {
    let of = |text: &str| Some(text.to_owned());
    let base_url = of("https://auth.example.com");
    for (raw, variable) in [
        (
            RawSettings { base_url: base_url.clone(), credentials: vec!["jwt".into()], ..neon() },
            "AUTH_BASE_URL",
        ),
        (
            RawSettings { secret: of(SECRET), secure_cookies: Some(true), ..with_database(neon()) },
            "AUTH_SECRET",
        ),
        (
            RawSettings {
                secrets: of(&format!("1:{SECRET}")),
                secure_cookies: Some(true),
                ..with_database(neon())
            },
            "BETTER_AUTH_SECRETS",
        ),
    ] {
        let warnings = Settings::check(raw).expect("they are good").warnings;
        let [warning] = &warnings[..] else { panic!("{variable}: {warnings:?}") };
        assert!(warning.contains("NEON_AUTH_BASE_URL is ignored") && warning.contains(variable), "{warning}");
    }
    let keys = RawSettings { neon_auth_jwks_url: of("https://x.example/k"), base_url, ..raw() };
    let warnings = Settings::check(keys).expect("they are good").warnings;
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.starts_with("NEON_AUTH_JWKS_URL has no effect"), "{warning}");
    for good in [neon(), RawSettings { neon_auth_jwks_url: of("https://x.example/k"), ..neon() }] {
        assert_eq!(Settings::check(good).expect("they are good").warnings, Vec::<String>::new());
    }
}

#[test]
fn only_sessions_need_a_secret_and_only_rows_a_database() {
    assert!(check(raw()).is_ok());
    assert!(check(with_database(raw())).is_ok());
    for kinds in [&["cookie"][..], &["bearer"], &["cookie", "jwt"], &["bearer", "jwt"]] {
        let credentials = || kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let message = Settings::check(RawSettings { credentials: credentials(), ..raw() });
        assert!(message.expect_err("a secret is missing").to_string().contains("BETTER_AUTH_SECRET"));
        let with_secret = RawSettings { credentials: credentials(), secret: Some(SECRET.into()), ..raw() };
        let message = Settings::check(with_secret).expect_err("a database is missing").to_string();
        assert!(message.contains("DATABASE_URL"), "{message}");
    }
}

#[test]
fn live_rows_need_a_live_cache() {
    let live = || RawSettings { jwt_freshness: Some("live".into()), ..with_database(raw()) };
    let settings = Settings::check(live()).expect("they are good");
    assert!(settings.freshness.live_cache().is_some_and(|cache| cache.feed.is_some()));
    let mixed = || RawSettings {
        credentials: vec!["cookie".into(), "jwt".into()],
        secret: Some(SECRET.into()),
        ..live()
    };
    for freshness in [None, Some("always"), Some("cookie_cache"), Some("5"), Some("0.5")] {
        let raw = RawSettings { freshness: freshness.map(Into::into), ..mixed() };
        let message = Settings::check(raw).expect_err("there is no feed").to_string();
        assert!(message.contains("AUTH_MIDDLEWARE_FRESHNESS"), "{message}");
        assert!(message.contains("notifications"), "{message}");
    }
    for freshness in ["5", "cookie_cache"] {
        let raw = RawSettings { freshness: Some(freshness.into()), ..live() };
        let message = Settings::check(raw).expect_err("it is not replaced").to_string();
        assert!(message.contains("AUTH_MIDDLEWARE_FRESHNESS"), "{message}");
    }
    assert!(Settings::check(RawSettings { freshness: Some("live".into()), ..mixed() }).is_ok());
    let pooled =
        RawSettings { database_url: Some("postgresql://app@ep-x-pooler.eu.neon.tech/app".into()), ..live() };
    assert_eq!(Settings::check(pooled).expect("it warns").warnings.len(), 1);
}

#[test]
fn plain_http_is_for_this_machine_only() {
    let is_safe = |url: &str| JwksUrl::check("it", url).is_ok();
    for url in [
        "http://localhost/jwks",
        "http://LOCALHOST./x",
        "http://a.localhost/x",
        "http://127.8.9.10/x",
        "http://127.1/x",
        "http://[::1]:3000/x",
        "https://auth.example.com/x",
    ] {
        assert!(is_safe(url), "{url}");
    }
    for url in [
        "http://auth.example.com/jwks",
        "http://localhost.example.com/x",
        "http://notlocalhost/x",
        "http://10.0.0.1/x",
        "http://0.0.0.0/x",
        "http://[::ffff:10.0.0.1]/x",
        "http://localhost@evil.example/x",
        "ftp://localhost/x",
        "file:///etc/passwd",
        "localhost:3000",
        "",
    ] {
        assert!(!is_safe(url), "{url}");
    }
}
