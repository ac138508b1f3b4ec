//! The database's URL, as people have it: libpq's, SQLAlchemy's (`postgresql+asyncpg://`),
//! Prisma's (`?schema=`, `pgbouncer=true`), Neon's as copied. What we cannot honour is refused
//! by name; nothing is ignored that would weaken the connection.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

use super::{given, unescaped};
use crate::error::Error;

const DEFAULT_PORT: u16 = 5432;

/// Where PostgreSQL is and how to talk to it. Its `Debug` shows no password.
#[derive(Clone)]
pub struct DatabaseUrl {
    /// A host name or address, or a Unix socket's directory.
    pub host: Host,
    /// The port; also part of a Unix socket's file name.
    pub port: u16,
    /// The role.
    pub user: String,
    /// The role's password.
    pub password: Option<String>,
    /// The database's name.
    pub database: String,
    /// Prisma's `schema`.
    pub schema: Option<String>,
    /// libpq's `sslmode`.
    pub ssl_mode: SslMode,
    /// libpq's `sslrootcert`.
    pub root_certificates: RootCertificates,
    /// libpq's `channel_binding`.
    pub channel_binding: ChannelBinding,
    /// libpq's `connect_timeout`; 0 is none.
    pub connect_timeout: Option<Duration>,
    /// libpq's `application_name`.
    pub application_name: String,
    /// libpq's `options`, such as `-c search_path=auth` or Neon's `endpoint=…`.
    pub options: Option<String>,
    /// The URL itself says that a pooler stands between (`pgbouncer=true`, a statement cache of 0).
    pub behind_pooler: bool,
}

/// What to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name or an address.
    Tcp(String),
    /// The directory of a Unix socket.
    Unix(PathBuf),
}

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server offers it; `allow` is read as this. Nobody is checked.
    Prefer,
    /// TLS or nothing. Certificates are checked only if `sslrootcert` is set, as in libpq.
    Require,
    /// TLS with a certificate that an authority in `sslrootcert`'s file signed, whatever its name.
    VerifyCa,
    /// TLS with a certificate that a known authority signed for this host.
    VerifyFull,
}

/// libpq's `sslrootcert`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootCertificates {
    /// Not set: the system's with `verify-full`.
    Unset,
    /// `system`, which only `verify-full` can have.
    System,
    /// A PEM file.
    File(PathBuf),
}

/// libpq's `channel_binding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where the server can.
    Prefer,
    /// Or nothing.
    Require,
}

impl DatabaseUrl {
    /// Reads a `postgresql://` URL.
    ///
    /// # Errors
    /// [`Error::Configuration`] when it is missing, or says what we cannot honour. No message
    /// holds its password.
    pub fn check(text: Option<&str>) -> Result<Self, Error> {
        Self::check_as("DATABASE_URL", text)
    }

    /// The same for a setting of another name.
    pub(super) fn check_as(setting: &str, text: Option<&str>) -> Result<Self, Error> {
        Self::read(text).map_err(|what| Error::configuration(format!("{setting} {what}")))
    }

    /// Else what is wrong with it. No message shows the URL itself: it holds the password.
    fn read(text: Option<&str>) -> Result<Self, String> {
        let text = given(text).ok_or_else(|| {
            String::from("is not set: give the URL of the PostgreSQL database that Better Auth writes to")
        })?;
        if let Some(problem) = unescaped::problem(text) {
            return Err(problem);
        }
        let url = Url::parse(&with_host(text)).map_err(|_| {
            String::from("is not a URL: write postgresql://user:password@host:5432/database, special characters percent-encoded")
        })?;
        let scheme = url.scheme().split('+').next().unwrap_or_default();
        if !matches!(scheme, "postgresql" | "postgres") {
            return Err(format!("has the scheme {scheme:?}: only postgresql:// is supported"));
        }
        let mut read = Self::from_authority(&url)?;
        let mut follows_password = false;
        for (key, value) in url.query_pairs() {
            read.apply(&key, &value, follows_password)?;
            follows_password |= key == "password";
        }
        read.check_certificates(&url)?;
        if read.user.is_empty() {
            return Err(String::from("names no user: write postgresql://user:password@host/database"));
        }
        if read.database.is_empty() {
            read.database.clone_from(&read.user);
        }
        Ok(read)
    }

    fn from_authority(url: &Url) -> Result<Self, String> {
        let host = decoded(url.host_str().unwrap_or_default())?;
        if host.contains(',') {
            return Err(String::from(
                "names several hosts: name the primary alone, since a standby may not know of a sign-out yet",
            ));
        }
        Ok(Self {
            host: host_of(if host.is_empty() { "localhost" } else { &host }),
            port: url.port().unwrap_or(DEFAULT_PORT),
            user: decoded(url.username())?,
            password: url.password().map(decoded).transpose()?.filter(|password| !password.is_empty()),
            database: decoded(url.path().trim_start_matches('/'))?,
            schema: None,
            ssl_mode: SslMode::Prefer,
            root_certificates: RootCertificates::Unset,
            channel_binding: ChannelBinding::Prefer,
            connect_timeout: None,
            application_name: "auth_middleware".to_owned(),
            options: None,
            behind_pooler: false,
        })
    }

    /// libpq's rules. Without them `verify-ca` would accept whatever certificate a public authority has issued,
    /// for any name.
    fn check_certificates(&mut self, url: &Url) -> Result<(), String> {
        let names_mode = url.query_pairs().any(|(key, _)| matches!(&*key, "sslmode" | "ssl"));
        match (self.ssl_mode, &self.root_certificates) {
            (_, RootCertificates::System) if !names_mode => self.ssl_mode = SslMode::VerifyFull,
            (SslMode::VerifyFull, _) => {}
            (_, RootCertificates::System) => {
                return Err(String::from(
                    "has sslrootcert=system with a weaker sslmode than verify-full, which would accept a certificate of \
                     any public authority for any name: write sslmode=verify-full",
                ));
            }
            (SslMode::VerifyCa, RootCertificates::Unset) => {
                return Err(String::from(
                    "has sslmode=verify-ca without a root certificate: add sslrootcert=/path/to/root.crt, or write \
                     sslmode=verify-full",
                ));
            }
            _ => {}
        }
        Ok(())
    }

    fn apply(&mut self, key: &str, value: &str, follows_password: bool) -> Result<(), String> {
        match key {
            "host" => self.host = host_of(value),
            "port" => self.port = value.parse().map_err(|_| bad_value(key, value, "a port number"))?,
            "user" => value.clone_into(&mut self.user),
            "password" => self.password = Some(value.to_owned()),
            "dbname" | "database" => value.clone_into(&mut self.database),
            "schema" => self.schema = Some(value.to_owned()).filter(|name| !name.is_empty()),
            // asyncpg says ssl=, SQLAlchemy hands it on; node-postgres says ssl=true.
            "sslmode" | "ssl" => self.ssl_mode = ssl_mode(key, value)?,
            "sslrootcert" => {
                self.root_certificates = match value {
                    "" => RootCertificates::Unset,
                    "system" => RootCertificates::System,
                    path => RootCertificates::File(path.into()),
                };
            }
            "channel_binding" => self.channel_binding = channel_binding(key, value)?,
            "connect_timeout" => {
                let seconds = value.parse().map_err(|_| bad_value(key, value, "whole seconds"))?;
                self.connect_timeout =
                    Some(Duration::from_secs(seconds)).filter(|timeout| !timeout.is_zero());
            }
            "application_name" => value.clone_into(&mut self.application_name),
            "options" => self.options = Some(value.to_owned()),
            "pgbouncer" => self.behind_pooler |= value == "true",
            "statement_cache_size" | "prepared_statement_cache_size" => self.behind_pooler |= value == "0",
            // They tune another driver's pool, or say what we do anyway.
            "connection_limit"
            | "pool_timeout"
            | "socket_timeout"
            | "gssencmode"
            | "uselibpqcompat"
            | "keepalives"
            | "keepalives_idle"
            | "keepalives_interval"
            | "keepalives_count"
            | "tcp_user_timeout"
            | "fallback_application_name"
            | "client_encoding" => {}
            "target_session_attrs" if matches!(value, "any" | "primary" | "read-write") => {}
            _ if follows_password => {
                return Err(String::from(
                    "has a parameter that is not supported here, or an unescaped \"&\" in its password: write it as %26",
                ));
            }
            _ if !is_showable(key) => {
                return Err(String::from(
                    "has a parameter that is not supported here, or an unescaped \"?\" in its password: write it as %3F",
                ));
            }
            _ => {
                return Err(format!(
                    "has the parameter {key:?}, which is not supported here: leave it out, or give this \
                     application a DATABASE_URL of its own"
                ));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseUrl")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

/// The URL with `localhost` where it has credentials and no host: libpq allows that, and `?host=` may follow.
fn with_host(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, after) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((credentials, port)) if port.is_empty() || port.starts_with(':') => {
            format!("{scheme}://{credentials}@localhost{port}{after}")
        }
        _ => url.to_owned(),
    }
}

fn host_of(text: &str) -> Host {
    if text.starts_with('/') {
        return Host::Unix(text.into());
    }
    Host::Tcp(text.trim_start_matches('[').trim_end_matches(']').to_owned())
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| String::from("holds a percent-escape that is not UTF-8"))
}

fn ssl_mode(key: &str, value: &str) -> Result<SslMode, String> {
    match value {
        "disable" | "false" | "0" => Ok(SslMode::Disable),
        "allow" | "prefer" => Ok(SslMode::Prefer),
        // no-verify is node-postgres's word for it.
        "require" | "true" | "1" | "no-verify" => Ok(SslMode::Require),
        "verify-ca" => Ok(SslMode::VerifyCa),
        "verify-full" => Ok(SslMode::VerifyFull),
        _ => Err(bad_value(key, value, "disable, allow, prefer, require, verify-ca or verify-full")),
    }
}

fn channel_binding(key: &str, value: &str) -> Result<ChannelBinding, String> {
    match value {
        "disable" => Ok(ChannelBinding::Disable),
        "prefer" => Ok(ChannelBinding::Prefer),
        "require" => Ok(ChannelBinding::Require),
        _ => Err(bad_value(key, value, "disable, prefer or require")),
    }
}

fn bad_value(key: &str, value: &str, wanted: &str) -> String {
    // A password with an unescaped '&' or '?' can end up here.
    let shown = if is_showable(value) { value } else { "…" };
    format!("has {key}={shown:?}: use {wanted}")
}

/// Whether a text looks like one of libpq's words, and not like a piece of a password.
fn is_showable(text: &str) -> bool {
    text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-'))
}
