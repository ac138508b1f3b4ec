//! Which parts of a database URL are read, and which are refused.

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
    assert_eq!(database("postgresql+psycopg_async://u:p@h/d").host, Host::Tcp("h".into()));
    let prisma = database("postgres://u:p@h/d?schema=auth&pgbouncer=true&connection_limit=1");
    assert_eq!((prisma.schema.as_deref(), prisma.behind_pooler), (Some("auth"), true));
    assert_eq!(database("postgresql://u@/d?host=/run/pg").host, Host::Unix("/run/pg".into()));
    assert_eq!(database("postgresql://u@[::1]/d").host, Host::Tcp("::1".into()));
    assert_eq!(database("postgresql://u@h").database, "u");
}

#[test]
fn other_spellings_of_what_decides_whom_we_trust_are_refused() {
    for parameter in
        ["channelBinding=require", "channel-binding=require", "checkServerIdentity=false", "ca=/ca.crt"]
    {
        let url = format!("postgresql://u:p@h/d?{parameter}");
        let message = refused(RawSettings { database_url: Some(url), ..raw() });
        assert!(message.contains(parameter.split('=').next().unwrap_or_default()), "{message}");
        assert!(message.contains("write "), "{message}");
    }
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
fn an_unescaped_character_in_a_password_is_refused_with_its_escape() {
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
fn other_characters_in_a_password_need_no_escape() {
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
fn no_message_contains_part_of_a_password() {
    for url in [
        "postgresql://app:?hunter2secret@db/app",
        "postgresql://app:1234?hunter2secret@db/app?sslmode=hunter2secret@x",
    ] {
        let message = refused(RawSettings { database_url: Some(url.into()), ..raw() });
        assert!(!message.contains("hunter2secret"), "{message}");
    }
}

/// The settings' warnings with this URL.
fn warnings(url: &str) -> Vec<String> {
    match Settings::check(RawSettings { database_url: Some(url.into()), ..raw() }) {
        Ok(settings) => settings.warnings,
        Err(error) => panic!("{url}: {error}"),
    }
}

#[test]
fn parameters_of_pools_drivers_and_hosting_providers_are_ignored() {
    for parameter in [
        "supa=base-pooler.x",
        "workaround=supabase-pooler.vercel",
        "pgbouncer=true",
        "pgbouncer=false",
        "connection_limit=1",
        "pool_timeout=0",
        "max_idle_connection_lifetime=30",
        "single_use_connections=true",
        "command_timeout=60",
        "prepared_statement_name_func=f",
        "statementCacheSize=100",
        "statement-cache-capacity=100",
        "pool_max_conns=10",
        "idleTimeoutMillis=1000",
        "connectionTimeoutMillis=2000",
        "ApplicationName=shop",
        "TimeZone=Europe/Vienna",
        "timezone=UTC",
        "sslcert=",
        "sslkey=&sslaccept=",
        "host=&port=&schema=&options=&connect_timeout=&application_name=&password=",
        "statement_timeout=",
        "a_parameter_that_nobody_knows=",
        "supa",
        "gssencmode=prefer&target_session_attrs=read-write",
    ] {
        let url = format!("postgresql://u:p@h:6543/d?{parameter}");
        assert_eq!(warnings(&url), Vec::<String>::new(), "{parameter}");
        let read = database(&url);
        assert_eq!((read.host, read.port), (Host::Tcp("h".into()), 6543), "{parameter}");
        assert_eq!(
            (read.password.as_deref(), read.application_name.as_str()),
            (Some("p"), "auth_middleware")
        );
        assert!(read.timeouts.is_empty() && read.schema.is_none() && read.options.is_none(), "{parameter}");
    }
    for word in ["pgbouncer=true", "statementCacheSize=0", "prepareThreshold=0", "prepare=false"] {
        assert!(database(&format!("postgresql://u@h/d?{word}")).behind_pooler, "{word}");
    }
    for word in ["pgbouncer=false", "pgbouncer=", "statement_cache_size=100", "prepareThreshold=5"] {
        assert!(!database(&format!("postgresql://u@h/d?{word}")).behind_pooler, "{word}");
    }
}

#[test]
fn timeouts_are_passed_to_the_server() {
    let timeouts = |query: &str| database(&format!("postgresql://u@h/d?{query}")).timeouts.join(" ");
    assert_eq!(timeouts("statement_timeout=5000"), "-c statement_timeout=5000");
    assert_eq!(
        timeouts("lock_timeout=2s&idle_in_transaction_session_timeout=1min"),
        "-c lock_timeout=2s -c idle_in_transaction_session_timeout=1min"
    );
    assert_eq!(timeouts("statementTimeout=0"), "-c statement_timeout=0");
    for value in ["soon", "5 -c role=postgres", "s", "-1", "5000;x", "5%5C%20"] {
        let url = format!("postgresql://u@h/d?statement_timeout={value}");
        let message = refused(RawSettings { database_url: Some(url), ..raw() });
        assert!(message.contains("has statement_timeout=") && message.contains("milliseconds"), "{message}");
    }
}

/// Each parameter, and the replacement in its message.
#[test]
fn parameters_that_change_which_server_is_trusted_are_refused() {
    for (parameter, fix) in [
        ("sslaccept=strict", "sslmode=verify-full"),
        ("sslaccept=accept_invalid_certs", "sslmode=require"),
        ("rejectUnauthorized=false", "sslmode=require"),
        ("rejectUnauthorized=true", "sslmode=verify-full"),
        ("ssl_reject_unauthorized=false", "sslmode=require"),
        ("trustServerCertificate=true", "sslmode=require"),
        ("sslcert=/client.crt", "a role with a password"),
        ("sslkey=/client.key", "a role with a password"),
        ("sslidentity=/client.p12", "a role with a password"),
        ("sslcrl=/revoked.crl", "sslmode=verify-full"),
        ("sslMode=require", "sslmode"),
        ("sslfactory=org.postgresql.ssl.NonValidatingFactory", "sslmode"),
        ("ssl_min_protocol_version=TLSv1.3", "sslmode"),
        ("tlsCAFile=/root.crt", "sslrootcert"),
        ("verifyServerCertificate=false", "sslmode"),
        ("require_auth=scram-sha-256", "channel_binding=require"),
        ("gssencmode=require", "sslmode=require"),
        ("hostaddr=10.0.0.1", "host"),
        ("target_session_attrs=standby", "the primary"),
        ("search_path=auth", "schema="),
        ("currentSchema=auth", "schema="),
    ] {
        let name = parameter.split('=').next().unwrap_or_default();
        let raw =
            RawSettings { database_url: Some(format!("postgresql://u:hunter2@h/d?{parameter}")), ..raw() };
        let message = refused(raw);
        let start = format!("DATABASE_URL has the parameter {name:?}, which is not supported here: ");
        assert!(message.starts_with(&start) && message.contains(fix), "{parameter}: {message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn an_unknown_parameter_is_logged_once() {
    let long = "a_parameter_with_a_name_that_is_longer_than_thirty_two_letters";
    for name in ["foo", "fooBar", "FooBar9", long, "foo.bar", "foo[bar]", "foo-bar"] {
        let url = format!("postgresql://u:hunter2@h/d?{name}=hunter3");
        let expected =
            format!("DATABASE_URL has the parameter {name:?}, which is not known here and has no effect");
        assert_eq!(warnings(&url), [expected]);
        let raw = RawSettings { freshness: Some("live".into()), listen_database_url: Some(url), ..raw() };
        let Ok(settings) = Settings::check(raw) else { panic!("refused: {name}") };
        let [warning] = &settings.warnings[..] else { panic!("{name}: {:?}", settings.warnings) };
        assert!(warning.starts_with("AUTH_MIDDLEWARE_LISTEN_DATABASE_URL has the parameter"), "{warning}");
    }
    let live = RawSettings {
        freshness: Some("live".into()),
        database_url: Some("postgresql://u@h/d?foo=1&bar=2".into()),
        ..raw()
    };
    assert_eq!(Settings::check(live).map(|settings| settings.warnings.len()).ok(), Some(2));
}

#[test]
fn a_list_of_hosts_is_refused() {
    for url in [
        "postgresql://u:hunter2@one,two/d",
        "postgresql://u:hunter2@one:5432,two:5433/d",
        "postgresql://one:5432,two:5433/d?user=u",
        "postgresql://u@[::1]:5432,[::2]:5433/d",
        "postgresql://u:hunter2@one:5432,two:5433?sslmode=require",
        "postgresql://u:hunter2@/d?host=one,two",
        "postgresql://u:hunter2@/d?host=one&port=5432,5433",
    ] {
        let message = refused(RawSettings { database_url: Some(url.into()), ..raw() });
        assert!(message.starts_with("DATABASE_URL lists several hosts"), "{url}: {message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    assert_eq!(database("postgresql://u:a,b@h/d,e").host, Host::Tcp("h".into()));
}

#[test]
fn part_of_a_password_is_not_read_as_a_parameter() {
    for url in ["postgresql://u:p@ss?hunter=1@h/d", "postgresql://u:p@ss?a=1&hunter=2@h/d"] {
        let message = refused(RawSettings { database_url: Some(url.into()), ..raw() });
        assert!(message.contains("%40 and %3F") && !message.contains("hunter"), "{url}: {message}");
    }
}
