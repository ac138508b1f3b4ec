//! The rules of the settings. No message may contain a secret.

mod database_url;
mod trusted_origins;

use super::*;

type Spoil = fn(&mut RawSettings);
type SpoilWith = fn(&mut RawSettings, String);

fn raw() -> RawSettings {
    RawSettings {
        database_url: Some("postgresql://app:pass%40word@db.example.com/app".into()),
        secret: Some("0123456789abcdefghijklmnopqrstuv".into()),
        base_url: Some("http://localhost:3000".into()),
        ..RawSettings::default()
    }
}

fn refused(raw: RawSettings) -> String {
    match Settings::check(raw) {
        Err(Error::Configuration(message)) => message,
        other => panic!("expected a configuration error, got {other:?}"),
    }
}

#[test]
fn a_complete_environment_is_accepted_with_the_documented_defaults() {
    let Ok(settings) = Settings::check(raw()) else { panic!("refused") };
    assert_eq!(settings.cookie_names.session_token, "better-auth.session_token");
    assert_eq!(settings.cookie_names.other_spelling, "__Secure-better-auth.session_token");
    assert_eq!((settings.limits.pool_size, settings.limits.max_waiting), (2, 10_000));
    assert_eq!(settings.limits.lookup_timeout, Duration::from_secs(5));
    assert_eq!(settings.database.and_then(|database| database.password).as_deref(), Some("pass@word"));
    assert!(settings.trusted_origins.contains("http://localhost:3000"));
    assert!(settings.warnings.is_empty());
}

#[test]
fn every_wrong_value_names_its_setting_and_shows_no_secret() {
    let short = "hunter2-hunter2";
    let cases: [(&str, Spoil); 15] = [
        ("BETTER_AUTH_SECRET", |raw| raw.secret = None),
        ("BETTER_AUTH_SECRET", |raw| raw.secret = Some("hunter2-hunter2".into())),
        ("public default", |raw| raw.secret = Some("better-auth-secret-12345678901234567890".into())),
        ("BETTER_AUTH_SECRETS", |raw| raw.secrets = Some("hunter2-hunter2".into())),
        ("BETTER_AUTH_SECRETS", |raw| raw.secrets = Some("1:hunter2-hunter2".into())),
        ("BETTER_AUTH_URL", |raw| raw.base_url = None),
        ("BETTER_AUTH_URL", |raw| raw.base_url = Some("localhost:3000".into())),
        ("DATABASE_URL", |raw| raw.database_url = None),
        ("DATABASE_URL", |raw| raw.database_url = Some("mysql://a:hunter2-hunter2@b/c".into())),
        ("sslkey", |raw| raw.database_url = Some("postgresql://a:hunter2-hunter2@b/c?sslkey=x".into())),
        ("sslmode", |raw| raw.database_url = Some("postgresql://a:hunter2-hunter2@b/c?sslmode=maybe".into())),
        ("several hosts", |raw| raw.database_url = Some("postgresql://a:hunter2-hunter2@b,c/d".into())),
        ("trusted_origins", |raw| raw.trusted_origins = vec!["https://*".into()]),
        ("AUTH_MIDDLEWARE_POOL_SIZE", |raw| raw.pool_size = Some(0)),
        ("AUTH_MIDDLEWARE_PREPARED_STATEMENTS", |raw| raw.prepared_statements = Some("maybe".into())),
    ];
    for (wanted, spoil) in cases {
        let mut raw = raw();
        spoil(&mut raw);
        let message = refused(raw);
        assert!(message.contains(wanted), "{message:?} does not name {wanted}");
        assert!(!message.contains(short), "{message:?} shows a secret");
    }
}

#[test]
fn every_wrong_value_of_freshness_names_its_setting_and_shows_no_password() {
    let cases: [(&str, Spoil); 12] = [
        ("AUTH_MIDDLEWARE_FRESHNESS", |raw| raw.freshness = Some("alive".into())),
        ("AUTH_MIDDLEWARE_FRESHNESS", |raw| raw.freshness = Some("0".into())),
        ("AUTH_MIDDLEWARE_FRESHNESS", |raw| raw.freshness = Some("-1".into())),
        ("AUTH_MIDDLEWARE_FRESHNESS", |raw| raw.freshness = Some("NaN".into())),
        ("AUTH_MIDDLEWARE_FRESHNESS", |raw| raw.freshness = Some("86401".into())),
        ("AUTH_MIDDLEWARE_MAX_CACHED_SESSIONS", |raw| raw.max_cached_sessions = Some(0)),
        ("AUTH_MIDDLEWARE_MAX_AGE_SECONDS", |raw| raw.max_age_seconds = Some(0.0)),
        ("AUTH_MIDDLEWARE_HEARTBEAT_SECONDS", |raw| raw.heartbeat_seconds = Some(f64::INFINITY)),
        ("AUTH_MIDDLEWARE_LISTEN_DATABASE_URL", |raw| raw.listen_database_url = Some("hunter2".into())),
        ("AUTH_MIDDLEWARE_LISTEN_DATABASE_URL", |raw| {
            raw.listen_database_url = Some("mysql://a:hunter2@b/c".into());
        }),
        ("sslmode", |raw| raw.listen_database_url = Some("postgresql://a:hunter2@b/c?sslmode=maybe".into())),
        ("several hosts", |raw| raw.listen_database_url = Some("postgresql://a:hunter2@b,c/d".into())),
    ];
    for (wanted, spoil) in cases {
        let mut raw = RawSettings { freshness: Some("live".into()), ..raw() };
        spoil(&mut raw);
        let message = refused(raw);
        assert!(message.contains(wanted), "{message:?} does not name {wanted}");
        assert!(!message.contains("hunter2"), "{message:?} shows a password");
    }
}

#[test]
fn guards_have_ranges_that_a_person_would_choose_from() {
    let with = |recheck, grace| RawSettings {
        recheck_seconds: Some(recheck),
        outage_grace_seconds: Some(grace),
        ..raw()
    };
    for (recheck, grace) in [(0.0, 60.0), (-1.0, 60.0), (3601.0, 60.0), (f64::NAN, 60.0)] {
        assert!(refused(with(recheck, grace)).contains("AUTH_MIDDLEWARE_RECHECK_SECONDS"), "{recheck}");
    }
    for grace in [-0.1, 86_401.0, f64::INFINITY, f64::NAN] {
        let message = refused(with(30.0, grace));
        assert!(message.contains("AUTH_MIDDLEWARE_OUTAGE_GRACE_SECONDS"), "{message}");
        assert!(message.contains("use seconds from 0 to 86400"), "{message}");
    }
    for (recheck, grace) in [(0.001, 0.0), (3600.0, 86_400.0)] {
        let guards = Settings::check(with(recheck, grace)).expect("they are in range").guards;
        let seconds = (guards.recheck.as_secs_f64(), guards.outage_grace.as_secs_f64());
        assert!((seconds.0 - recheck).abs() < 1e-9 && (seconds.1 - grace).abs() < 1e-9, "{seconds:?}");
    }
    let defaults = Settings::check(raw()).expect("the defaults are good").guards;
    assert_eq!((defaults.recheck.as_secs(), defaults.outage_grace.as_secs()), (30, 60));
}

#[test]
fn a_value_in_quotes_is_refused() {
    let cases: [(&str, Spoil); 13] = [
        ("DATABASE_URL", |raw| raw.database_url = Some("\"postgresql://u:hunter2@h/d\"".into())),
        ("DATABASE_URL", |raw| raw.database_url = Some(" 'postgresql://u:hunter2@h/d' ".into())),
        ("BETTER_AUTH_SECRET", |raw| {
            raw.secret = Some("\"hunter2-0123456789abcdefghijklmnopqrstuv\"".into());
        }),
        ("BETTER_AUTH_SECRET", |raw| raw.secret = Some("'hunter2'".into())),
        ("BETTER_AUTH_SECRETS", |raw| raw.secrets = Some("'2:hunter2,1:hunter2'".into())),
        ("AUTH_MIDDLEWARE_PREVIOUS_SECRETS", |raw| {
            raw.previous_secrets = vec!["\"hunter2".into(), "x\"".into()];
        }),
        ("BETTER_AUTH_URL", |raw| raw.base_url = Some("\"https://auth.example.com\"".into())),
        ("BETTER_AUTH_TRUSTED_ORIGINS", |raw| raw.trusted_origins = vec!["\"https://a.example.com\"".into()]),
        ("BETTER_AUTH_TRUSTED_ORIGINS", |raw| {
            raw.trusted_origins = vec!["'https://a.example.com".into(), "https://b.example.com'".into()];
        }),
        ("BETTER_AUTH_TRUSTED_ORIGINS", |raw| {
            raw.trusted_origins = vec!["'[\"https://a.example.com\"]'".into()];
        }),
        ("AUTH_MIDDLEWARE_FRESHNESS", |raw| raw.freshness = Some("\"30\"".into())),
        ("AUTH_MIDDLEWARE_PREPARED_STATEMENTS", |raw| raw.prepared_statements = Some("'on'".into())),
        ("AUTH_MIDDLEWARE_SCHEMA", |raw| raw.schema = Some("\"auth\"".into())),
    ];
    for (setting, spoil) in cases {
        let mut raw = raw();
        spoil(&mut raw);
        let message = refused(raw);
        assert!(message.contains(setting) && message.contains("in quotes"), "{setting}: {message}");
        assert!(message.contains("--env-file") && !message.contains("hunter2"), "{message}");
    }
}

#[test]
fn quotes_inside_a_value_are_accepted() {
    let secret = "it's \"0123456789abcdefghijklmnopqrstuv";
    let raw = RawSettings {
        secret: Some(secret.into()),
        database_url: Some("postgresql://u:'p'@h/d".into()),
        ..raw()
    };
    let Ok(settings) = Settings::check(raw) else { panic!("refused") };
    assert_eq!(settings.secrets.signing, vec![Secret::new(secret)]);
    assert_eq!(settings.database.and_then(|database| database.password).as_deref(), Some("'p'"));
}

#[test]
fn live_freshness_through_a_known_pooler_is_a_warning_and_queries_the_store() {
    let direct = "postgresql://u:hunter2@ep-x.eu-1.aws.neon.tech/app";
    let neons = "postgresql://u:hunter2@ep-x-pooler.eu-1.aws.neon.tech/app?sslmode=require";
    let declared = "postgresql://u:hunter2@pgbouncer:6432/app?pgbouncer=true";
    let live = |url: &str, listen: Option<&str>| {
        let raw = RawSettings {
            database_url: Some(url.into()),
            freshness: Some("live".into()),
            listen_database_url: listen.map(String::from),
            ..raw()
        };
        let Ok(settings) = Settings::check(raw) else { panic!("refused: {url}") };
        (settings.freshness.live_cache().is_some(), settings.warnings)
    };
    for pooled in [neons, declared] {
        for (url, listen, setting) in [
            (pooled, None, "DATABASE_URL points to one"),
            (direct, Some(pooled), "AUTH_MIDDLEWARE_LISTEN_DATABASE_URL points to one"),
        ] {
            let (is_live, warnings) = live(url, listen);
            let [warning] = &warnings[..] else { panic!("{warnings:?}") };
            assert!(
                warning.contains(setting) && warning.contains("every request queries the store"),
                "{warning}"
            );
            assert!(!is_live && !warning.contains("hunter2"), "{warning}");
        }
        assert_eq!(live(pooled, Some(direct)), (true, vec![]));
    }
    for url in
        [direct, "postgresql://u@my-pooler.example.com/app", "postgresql://u@ep-pooler-x.neon.tech/app"]
    {
        assert_eq!(live(url, None), (true, vec![]), "{url}");
    }
}

#[test]
fn a_custom_cookie_name_is_used_unchanged_without_a_base_url() {
    let name = |is_https, prefix, name, secure| {
        let options = CookieOptions { is_https, secure, prefix, name, cache_name: None };
        CookieNames::check(options).map(|names| names.session_token).ok()
    };
    assert_eq!(name(None, None, Some("sid"), None).as_deref(), Some("sid"));
    assert_eq!(name(Some(true), None, Some("sid"), None).as_deref(), Some("__Secure-sid"));
    assert_eq!(name(Some(true), None, Some("__Secure-sid"), None).as_deref(), Some("__Secure-sid"));
    assert_eq!(name(Some(true), Some("my"), None, Some(false)).as_deref(), Some("my.session_token"));
    assert_eq!(name(None, None, None, None), None);
    assert_eq!(name(None, None, Some("a b"), None), None);
}

#[test]
fn debug_reveals_no_secret() {
    let Ok(settings) = Settings::check(raw()) else { panic!("refused") };
    let debug = format!("{settings:?}");
    assert!(!debug.contains("pass@word") && !debug.contains("pass%40word"), "{debug}");
    assert!(!debug.contains("0123456789abcdefghijklmnopqrstuv"), "{debug}");
}

#[test]
fn a_secret_in_quotes_or_with_white_space_at_an_end_is_refused() {
    let valid = "0123456789abcdefghijklmnopqrstuv";
    for secret in [" {}", "{} ", "{}\n", "\t{}", "\u{a0}{}", "\"{}\"", "'{}'", "`{}`", "\"{}\" "]
        .map(|form| form.replace("{}", valid))
    {
        let settings = RawSettings { secret: Some(secret.clone()), ..raw() };
        let message = Settings::check(settings).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(
            message.contains("BETTER_AUTH_SECRET begins or ends with white space or is in quotes"),
            "{secret:?}"
        );
        assert!(!message.contains(valid), "{message}");
    }
    for listed in [format!("2:'{valid}'"), format!("2:\"{valid}\",1:{valid}")] {
        assert!(Settings::check(RawSettings { secrets: Some(listed), ..raw() }).is_err());
    }
    // Inside a secret they are accepted. A previous secret may be in quotes, so that its signatures remain valid.
    for secret in
        [format!("{valid} {valid}"), format!("{valid}'{valid}"), format!("{valid};"), format!("\\{valid}=")]
    {
        assert!(Settings::check(RawSettings { secret: Some(secret), ..raw() }).is_ok());
    }
    let previous = vec![format!("\"{valid}\"")];
    assert!(Settings::check(RawSettings { previous_secrets: previous, ..raw() }).is_ok());
}

#[test]
fn a_secret_with_a_quote_at_one_end_or_with_its_variables_name_is_refused() {
    let valid = "0123456789abcdefghijklmnopqrstuv";
    for form in [
        "{}'",
        "\"{}",
        "`{}",
        "\\\"{}\\\"",
        "\"{}\";",
        "'{}',",
        "\u{201c}{}",
        "{}\u{201d}",
        "\u{201e}{}\u{201c}",
        "\u{ab}{}\u{bb}",
        "\u{2019}{}\u{2019}",
    ] {
        let secret = form.replace("{}", valid);
        let message = refused(RawSettings { secret: Some(secret.clone()), ..raw() });
        assert!(message.contains("BETTER_AUTH_SECRET begins or ends with a quote"), "{form}: {message}");
        assert!(!message.contains(valid), "{message}");
        let listed = refused(RawSettings { secrets: Some(format!("2:{valid}'")), ..raw() });
        assert!(listed.contains("BETTER_AUTH_SECRETS"), "{listed}");
    }
    for form in [
        "BETTER_AUTH_SECRET={}",
        "export BETTER_AUTH_SECRET={}",
        "BETTER_AUTH_SECRET=\"{}\"",
        "AUTH_SECRET={}",
    ] {
        let message = refused(RawSettings { secret: Some(form.replace("{}", valid)), ..raw() });
        assert!(message.contains("begins with") && message.contains("AUTH_SECRET="), "{form}: {message}");
        assert!(!message.contains(valid), "{message}");
    }
}

#[test]
fn an_old_secret_that_is_short_or_public_decrypts_nothing() {
    let current = "0123456789abcdefghijklmnopqrstuv";
    let secrets = format!("3:{current},2:better-auth-secret-12345678901234567890,1:short");
    let Ok(settings) = Settings::check(RawSettings { secrets: Some(secrets), ..raw() }) else {
        panic!("refused")
    };
    // The current secret, and the plain secret of `raw`, which has the same value.
    assert_eq!(settings.secrets.encrypting, vec![Secret::new(current), Secret::new(current)]);
    assert_eq!(settings.secrets.signing, vec![Secret::new(current)]);
}

#[test]
fn a_secret_or_url_with_white_space_or_a_quote_at_an_end_is_refused() {
    let url = "postgresql://u:hunter2@h/d";
    let cases: [(&str, SpoilWith); 4] = [
        ("DATABASE_URL", |raw, text| {
            raw.database_url = Some(text.replace("{}", "postgresql://u:hunter2@h/d"));
        }),
        ("BETTER_AUTH_URL", |raw, text| raw.base_url = Some(text.replace("{}", "https://auth.example.com"))),
        ("BETTER_AUTH_SECRETS", |raw, text| {
            raw.secrets = Some(text.replace("{}", "1:hunter2-0123456789abcdefghijklmnopqrstuv"));
        }),
        ("AUTH_MIDDLEWARE_LISTEN_DATABASE_URL", |raw, text| {
            raw.freshness = Some("live".into());
            raw.listen_database_url = Some(text.replace("{}", "postgresql://u:hunter2@h/d"));
        }),
    ];
    for (setting, spoil) in cases {
        for form in
            [" {}", "{} ", "{}\n", "{}\r\n", "\t{}", "\u{feff}{}", "{}\u{200b}", "{}\u{a0}", "\"{}", "{}'"]
        {
            let mut raw = raw();
            spoil(&mut raw, form.into());
            let message = refused(raw);
            assert!(message.starts_with(setting) && message.contains("line end"), "{form:?}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
    let secret = RawSettings { secret: Some("\u{feff}0123456789abcdefghijklmnopqrstuv".into()), ..raw() };
    assert!(refused(secret).contains("white space"));
    // Only spaces mean "not set", as in every environment.
    let unset = RawSettings { listen_database_url: Some("  ".into()), ..raw() };
    assert!(Settings::check(unset).is_ok());
    assert!(Settings::check(RawSettings { database_url: Some(url.into()), ..raw() }).is_ok());
}
