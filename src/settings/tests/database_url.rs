//! What is read from a database URL, and what is refused.

use super::*;

fn database(url: &str) -> DatabaseUrl {
    match DatabaseUrl::check(Some(url)) {
        Ok(database) => database,
        Err(error) => panic!("{url}: {error}"),
    }
}

#[test]
fn urls_of_other_drivers_are_translated() {
    let neon = database(
        "postgresql://u:p@ep-x-pooler.eu.aws.neon.tech/neondb?sslmode=require&channel_binding=require",
    );
    assert_eq!((neon.ssl_mode, neon.channel_binding), (SslMode::Require, ChannelBinding::Require));
    let sqlalchemy =
        database("postgresql+asyncpg://u:p@h:6543/d?ssl=require&prepared_statement_cache_size=0");
    assert_eq!(
        (sqlalchemy.port, sqlalchemy.ssl_mode, sqlalchemy.behind_pooler),
        (6543, SslMode::Require, true)
    );
    let prisma = database("postgres://u:p@h/d?schema=auth&pgbouncer=true&connection_limit=1");
    assert_eq!((prisma.schema.as_deref(), prisma.behind_pooler), (Some("auth"), true));
    assert_eq!(database("postgresql://u@/d?host=/run/pg").host, Host::Unix("/run/pg".into()));
    assert_eq!(database("postgresql://u@[::1]/d").host, Host::Tcp("::1".into()));
    assert_eq!(database("postgresql://u@h").database, "u");
}

#[test]
fn certificates_are_checked_as_libpq_checks_them() {
    let tls = |query: &str| {
        let database = database(&format!("postgresql://u@h/d?{query}"));
        (database.ssl_mode, database.root_certificates)
    };
    let file = || RootCertificates::File("/root.crt".into());
    for (query, expected) in [
        ("", (SslMode::Prefer, RootCertificates::Unset)),
        ("sslrootcert=", (SslMode::Prefer, RootCertificates::Unset)),
        ("sslmode=require&sslrootcert=/root.crt", (SslMode::Require, file())),
        ("sslmode=verify-ca&sslrootcert=/root.crt", (SslMode::VerifyCa, file())),
        ("sslrootcert=/root.crt&ssl=verify-ca", (SslMode::VerifyCa, file())),
        ("sslmode=verify-full", (SslMode::VerifyFull, RootCertificates::Unset)),
        ("sslmode=verify-full&sslrootcert=system", (SslMode::VerifyFull, RootCertificates::System)),
        ("sslrootcert=system", (SslMode::VerifyFull, RootCertificates::System)),
    ] {
        assert_eq!(tls(query), expected, "{query}");
    }
    let own = "postgresql://u:hunter2@h/d";
    let without_file = ["sslmode=verify-ca", "ssl=verify-ca", "sslmode=verify-ca&sslrootcert="];
    let weak = ["disable", "allow", "prefer", "require", "no-verify", "verify-ca"];
    let cases = without_file.map(|query| (query.to_owned(), "sslrootcert=/path/to/root.crt"));
    let weak = weak.map(|mode| (format!("sslmode={mode}&sslrootcert=system"), "write sslmode=verify-full"));
    let asyncpg = ("sslrootcert=system&ssl=true".to_owned(), "write sslmode=verify-full");
    for (query, fix) in cases.into_iter().chain(weak).chain([asyncpg]) {
        let url = format!("{own}?{query}");
        let message = refused(RawSettings { database_url: Some(url.clone()), ..raw() });
        assert!(message.starts_with("DATABASE_URL has ssl") && message.contains(fix), "{query}: {message}");
        let raw = RawSettings { freshness: Some("live".into()), listen_database_url: Some(url), ..raw() };
        let message = refused(raw);
        assert!(message.starts_with("AUTH_MIDDLEWARE_LISTEN_DATABASE_URL has ssl"), "{query}: {message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn an_unescaped_character_in_a_password_is_named_with_its_escape() {
    for (credentials, escapes) in [
        ("app:hunt@er2", "write %40 instead"),
        ("app:hunt@@er2@", "write %40 instead"),
        ("app:hunt/er2", "write %2F instead"),
        ("app:5432/hunter2", "write %2F instead"),
        ("app:/hunter2", "write %2F instead"),
        ("app:hunt?er2", "write %3F instead"),
        ("app:5432?hunt=er2", "write %3F instead"),
        ("app:hunt?er2=", "write %3F instead"),
        ("app:hunt#er2", "write %23 instead"),
        ("app:5432#hunter2", "write %23 instead"),
        ("app:h@unt/er2", "write %40 and %2F instead"),
        ("app:h#unt/e@r?2", "write %40 and %2F and %3F and %23 instead"),
        ("app@hunt:er2", "write %40 instead"),
    ] {
        for rest in ["@db/app", "@db:5432/app?sslmode=require", "@/app?host=/run", "@db"] {
            let message = refused(RawSettings {
                database_url: Some(format!("postgresql+asyncpg://{credentials}{rest}")),
                ..raw()
            });
            assert!(message.starts_with("DATABASE_URL holds an unescaped"), "{credentials}{rest}: {message}");
            assert!(message.contains(escapes), "{credentials}{rest}: {message}");
            assert!(!message.contains("hunt") && !message.contains("er2"), "{message}");
        }
    }
    let message = refused(RawSettings {
        database_url: Some("postgresql://h/d?user=u&password=hunt#er2".into()),
        ..raw()
    });
    assert!(message.contains("write it as %23") && !message.contains("hunt"), "{message}");
    let message = refused(RawSettings {
        database_url: Some("postgresql://h/d?user=u&password=hunt&er=x".into()),
        ..raw()
    });
    assert!(message.contains("write it as %26") && !message.contains("hunt"), "{message}");
}

#[test]
fn characters_that_end_nothing_stay_as_they_are() {
    let password = |url: &str| database(url).password.unwrap_or_default();
    assert_eq!(password("postgresql://u:p:a[s]s!$&'()*+,;=^|%25~@h/d"), "p:a[s]s!$&'()*+,;=^|%~");
    assert_eq!(password("postgresql://u:100%sure@h/d"), "100%sure");
    assert_eq!(password("postgresql://u:p%40%2F%3F%23@h/d"), "p@/?#");
    assert_eq!(password("postgresql://h/d?user=a@b&password=p@/?s"), "p@/?s");
    let azure = database("postgresql://h/d?user=app@server&password=x");
    assert_eq!((azure.user.as_str(), azure.host), ("app@server", Host::Tcp("h".into())));
    let mail = database("postgresql://u:p@h/d?application_name=a@b");
    assert_eq!((mail.password.as_deref(), mail.application_name.as_str()), (Some("p"), "a@b"));
    for url in
        ["postgresql://u:p@?host=/run/pg", "postgresql://u:p@/u?host=/run/pg", "postgresql://u:p@:5432/u"]
    {
        assert_eq!((password(url).as_str(), database(url).database.as_str()), ("p", "u"), "{url}");
    }
}

#[test]
fn a_piece_of_a_password_is_in_no_message() {
    for url in [
        "postgresql://app:?hunter2secret@db/app",
        "postgresql://app:1234?hunter2secret@db/app?sslmode=hunter2secret@x",
    ] {
        let message = refused(RawSettings { database_url: Some(url.into()), ..raw() });
        assert!(!message.contains("hunter2secret"), "{message}");
    }
}
