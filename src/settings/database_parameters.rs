//! How a database URL's parameters that libpq does not have are treated: ignored, refused or reported.
//!
//! One URL is often used by several programs, each with its own parameters. Parameters that have no meaning here are
//! ignored. Those that decide which server is trusted are refused if they are not supported, because ignoring them
//! would weaken the connection.

use super::unescaped::FREE_TEXT;

/// The treatment of a parameter that is neither libpq's nor Prisma's `schema`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is for a pool, another driver or a hosting provider, or has no value.
    Ignored,
    /// How to write the same here. The text continues "has the parameter …".
    Refused(&'static str),
    /// It is not known here.
    Unknown,
}

/// Parameters of pools, other drivers and hosting providers, in lower case and without `_` and `-`.
const IGNORED: &[&str] = &[
    // Prisma
    "connectionlimit pooltimeout sockettimeout maxidleconnectionlifetime maxconnectionlifetime singleuseconnections \
     statementcachesize pgbouncer",
    // PgBouncer, Go's pq and Symfony
    "poolmode maxclientconn binaryparameters serverversion reconnect",
    // Supabase and Vercel
    "supa workaround",
    // asyncpg, psycopg, SQLAlchemy and Django
    "timeout commandtimeout maxcachedstatementlifetime maxcacheablestatementsize preparedstatementcachesize \
     preparedstatementnamefunc asyncfallback preparethreshold poolsize maxoverflow poolrecycle poolpreping pooluselifo \
     minsize maxsize minpoolsize maxpoolsize minconn maxconn maxqueries maxinactiveconnectionlifetime connmaxage connhealthchecks \
     disableserversidecursors charset echo",
    // node-postgres and postgres.js
    "max min idletimeout idletimeoutmillis connectiontimeoutmillis querytimeout maxuses maxlifetime maxlifetimeseconds \
     allowexitonidle keepalive keepaliveinitialdelaymillis prepare fetchtypes backoff maxpipeline binary uselibpqcompat",
    // pgx
    "poolmaxconns poolminconns poolminidleconns poolmaxconnlifetime poolmaxconnlifetimejitter poolmaxconnidletime \
     poolhealthcheckperiod defaultqueryexecmode statementcachecapacity statementcachemode descriptioncachecapacity",
    // JDBC
    "applicationname logintimeout connecttimeout tcpkeepalive stringtype preparedstatementcachequeries \
     preparedstatementcachesizemib rewritebatchedinserts defaultrowfetchsize binarytransfer readonly",
    // Rails
    "pool checkouttimeout reapingfrequency preparedstatements minmessages advisorylocks encoding",
    // libpq: settings that always apply here, or that the operating system has
    "keepalives keepalivesidle keepalivesinterval keepalivescount tcpusertimeout fallbackapplicationname clientencoding \
     sslcompression sslsni sslnegotiation loadbalancehosts gssdelegation krbsrvname gsslib",
    // Times are sent and read with their time zone.
    "timezone",
];

/// Values with which other drivers are configured for a pooler.
const BEHIND_POOLER: &[(&str, &str)] = &[
    ("pgbouncer", "true"),
    ("pgbouncer", "1"),
    ("statementcachesize", "0"),
    ("preparedstatementcachesize", "0"),
    ("preparethreshold", "0"),
    ("prepare", "false"),
    ("preparedstatements", "false"),
];

/// Timeouts that the server applies to a connection.
const TIMEOUTS: [&str; 3] = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];

const VERIFY: &str = "write sslmode=verify-full to accept only a certificate that a known authority signed for this host, \
                      or sslmode=require to accept any";
const PASSWORD_ONLY: &str =
    "client certificates are not supported: leave it out, and name a role with a password";
const HOST: &str = "write the address as host";
const SEARCH_PATH: &str = "write schema=, with one name, or set AUTH_MIDDLEWARE_SCHEMA";
const PRIMARY: &str = "leave it out and name the primary, since a standby may not know of a sign-out yet";
const NOT_CHECKED: &str = "this cannot be checked here: leave it out, and write sslmode=verify-full";

/// Parameters that decide which server is trusted, or which tables are read.
const REFUSED: &[(&str, &str)] = &[
    ("sslaccept", VERIFY),
    ("rejectunauthorized", VERIFY),
    ("sslrejectunauthorized", VERIFY),
    ("trustservercertificate", VERIFY),
    ("requiressl", "write sslmode=require"),
    ("encrypt", "write sslmode=require"),
    ("channelbinding", "write channel_binding=require"),
    ("checkserveridentity", VERIFY),
    ("checkhostname", VERIFY),
    ("insecure", VERIFY),
    ("ca", "write sslrootcert=/path/to/root.crt"),
    ("cafile", "write sslrootcert=/path/to/root.crt"),
    ("minprotocolversion", "leave it out, since TLS 1.2 and 1.3 are always accepted"),
    ("sslcert", PASSWORD_ONLY),
    ("sslkey", PASSWORD_ONLY),
    ("sslpassword", PASSWORD_ONLY),
    ("sslidentity", PASSWORD_ONLY),
    ("sslcertmode", PASSWORD_ONLY),
    ("sslca", "write sslrootcert=/path/to/root.crt"),
    ("sslcrl", NOT_CHECKED),
    ("sslcrldir", NOT_CHECKED),
    ("requirepeer", NOT_CHECKED),
    ("requireauth", "write channel_binding=require, by which the server has to know the password"),
    ("hostaddr", HOST),
    ("searchpath", SEARCH_PATH),
    ("currentschema", SEARCH_PATH),
    ("targetsessionattrs", PRIMARY),
    ("targetservertype", PRIMARY),
    ("gssencmode", "GSSAPI is not supported: write sslmode=require"),
];

/// Values of refused parameters that request what is always done here.
const HARMLESS: &[(&str, &[&str])] = &[
    ("gssencmode", &["disable", "prefer"]),
    ("targetsessionattrs", &["any", "primary", "read-write"]),
    ("targetservertype", &["any", "primary", "master"]),
    ("requiressl", &["0"]),
    ("encrypt", &["false", "0", "no"]),
    ("channelbinding", &["disable", "prefer"]),
    ("minprotocolversion", &["TLSv1", "TLSv1.1", "TLSv1.2"]),
    ("sslcertmode", &["disable", "allow"]),
    ("sslminprotocolversion", &["TLSv1", "TLSv1.1", "TLSv1.2"]),
    ("sslmaxprotocolversion", &["TLSv1.3"]),
];

/// The treatment of a parameter.
pub(super) fn fate(key: &str, value: &str) -> Fate {
    let name = plain(key);
    let is_harmless = HARMLESS.iter().any(|(known, values)| *known == name && values.contains(&value));
    if value.is_empty() || is_harmless || is_ignored(&name) {
        return Fate::Ignored;
    }
    if let Some((_, fix)) = REFUSED.iter().find(|(known, _)| *known == name) {
        return Fate::Refused(fix);
    }
    // An unknown parameter that decides whether the server is checked.
    if ["ssl", "tls", "cert", "verify", "trust"].iter().any(|part| name.contains(part)) {
        return Fate::Refused("write it as libpq's sslmode and sslrootcert");
    }
    Fate::Unknown
}

/// Whether some program is known to have a parameter of this name, so that the name is not part of a password.
pub(super) fn is_known(key: &str) -> bool {
    let name = plain(key);
    FREE_TEXT.contains(&key)
        || timeout(key).is_some()
        || is_ignored(&name)
        || REFUSED.iter().any(|(known, _)| *known == name)
}

/// Whether the parameter configures another driver for a transaction pooler.
pub(super) fn tells_of_pooler(key: &str, value: &str) -> bool {
    BEHIND_POOLER.contains(&(&plain(key), value))
}

/// The server's name of a timeout that is passed on to the server.
pub(super) fn timeout(key: &str) -> Option<&'static str> {
    TIMEOUTS.into_iter().find(|name| plain(name) == plain(key))
}

/// Whether the server reads a value as a duration: milliseconds, or a number with a unit.
pub(super) fn is_duration(value: &str) -> bool {
    let unit = value.trim_start_matches(|c: char| c.is_ascii_digit());
    unit.len() < value.len() && ["", "us", "ms", "s", "min", "h", "d"].contains(&unit)
}

/// Whether a key may appear in a message, because it looks like a parameter's name. Passwords were removed before.
pub(super) fn is_name(key: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '[' | ']');
    key.len() <= 64 && key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.chars().all(is_part)
}

fn is_ignored(name: &str) -> bool {
    IGNORED.iter().any(|names| names.split_whitespace().any(|known| known == name))
}

/// Drivers differ in how they spell a name: `statement_cache_size`, `statementCacheSize`, `statement-cache-size`.
fn plain(key: &str) -> String {
    key.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase()).collect()
}
