//! What becomes of a database URL's parameters that are not libpq's: ignored, refused or reported.
//!
//! One URL often serves several programs, each with parameters of its own. Those that cannot concern us are ignored.
//! Those that decide which server is trusted are refused where we cannot honour them: nothing is ignored that would
//! weaken the connection.

use super::unescaped::FREE_TEXT;

/// What becomes of a parameter that is neither libpq's nor Prisma's `schema`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It concerns a pool, another driver or a hoster, or has no value.
    Ignored,
    /// How to write what it says; the text continues "has the parameter …".
    Refused(&'static str),
    /// Nobody here knows it.
    Unknown,
}

/// Parameters of pools, other drivers and hosters, in lower case and without `_` and `-`.
const IGNORED: &[&str] = &[
    // Prisma
    "connectionlimit pooltimeout sockettimeout maxidleconnectionlifetime maxconnectionlifetime singleuseconnections \
     statementcachesize pgbouncer",
    // Supabase and Vercel
    "supa workaround",
    // asyncpg, psycopg, SQLAlchemy and Django
    "timeout commandtimeout maxcachedstatementlifetime maxcacheablestatementsize preparedstatementcachesize \
     preparedstatementnamefunc asyncfallback preparethreshold poolsize maxoverflow poolrecycle poolpreping pooluselifo \
     minsize maxsize minconn maxconn maxqueries maxinactiveconnectionlifetime connmaxage connhealthchecks \
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
    // libpq: what is done here anyway, or by the operating system
    "keepalives keepalivesidle keepalivesinterval keepalivescount tcpusertimeout fallbackapplicationname clientencoding \
     sslcompression sslsni sslnegotiation loadbalancehosts gssdelegation krbsrvname gsslib",
    // Times are sent and read with their zone.
    "timezone",
];

/// Values by which other drivers are told that a pooler stands between.
const BEHIND_POOLER: &[(&str, &str)] = &[
    ("pgbouncer", "true"),
    ("pgbouncer", "1"),
    ("statementcachesize", "0"),
    ("preparedstatementcachesize", "0"),
    ("preparethreshold", "0"),
    ("prepare", "false"),
    ("preparedstatements", "false"),
];

/// Limits that the server keeps for a connection.
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

/// Values of refused parameters that say what we do anyway.
const HARMLESS: &[(&str, &[&str])] = &[
    ("gssencmode", &["disable", "prefer"]),
    ("targetsessionattrs", &["any", "primary", "read-write"]),
    ("targetservertype", &["any", "primary", "master"]),
    ("requiressl", &["0"]),
    ("sslcertmode", &["disable", "allow"]),
    ("sslminprotocolversion", &["TLSv1", "TLSv1.1", "TLSv1.2"]),
    ("sslmaxprotocolversion", &["TLSv1.3"]),
];

/// What becomes of a parameter.
pub(super) fn fate(key: &str, value: &str) -> Fate {
    let name = plain(key);
    let is_harmless = HARMLESS.iter().any(|(known, values)| *known == name && values.contains(&value));
    if value.is_empty() || is_harmless || is_ignored(&name) {
        return Fate::Ignored;
    }
    if let Some((_, fix)) = REFUSED.iter().find(|(known, _)| *known == name) {
        return Fate::Refused(fix);
    }
    // Whatever it is, somebody wanted the server to be checked, or not to be.
    if ["ssl", "tls", "cert", "verify", "trust"].iter().any(|part| name.contains(part)) {
        return Fate::Refused("write it as libpq's sslmode and sslrootcert");
    }
    Fate::Unknown
}

/// Whether a program is known that has a parameter of this name, so that the name is no piece of a password.
pub(super) fn is_known(key: &str) -> bool {
    let name = plain(key);
    FREE_TEXT.contains(&key)
        || timeout(key).is_some()
        || is_ignored(&name)
        || REFUSED.iter().any(|(known, _)| *known == name)
}

/// Whether the parameter tells another driver that a transaction pooler stands between.
pub(super) fn tells_of_pooler(key: &str, value: &str) -> bool {
    BEHIND_POOLER.contains(&(&plain(key), value))
}

/// The server's name of a parameter that is a timeout, and is passed on to it.
pub(super) fn timeout(key: &str) -> Option<&'static str> {
    TIMEOUTS.into_iter().find(|name| plain(name) == plain(key))
}

/// Whether the server reads a value as a duration: milliseconds, or a number with a unit.
pub(super) fn is_duration(value: &str) -> bool {
    let unit = value.trim_start_matches(|c: char| c.is_ascii_digit());
    unit.len() < value.len() && ["", "us", "ms", "s", "min", "h", "d"].contains(&unit)
}

/// Whether a key may be shown: it looks like a parameter's name. A password has been cut out before.
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
