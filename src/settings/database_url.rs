//! The database's URL, as people have it: libpq's, SQLAlchemy's (`postgresql+asyncpg://`),
//! Prisma's (`?schema=`, `pgbouncer=true`), Neon's as copied. What we cannot honour is refused
//! by name; nothing is ignored that would weaken the connection.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

use super::database_parameters::{self as parameters, Fate};
use super::database_tls::{
    ChannelBinding, RootCertificates, SslMode, channel_binding, check_certificates, ssl_mode,
};
use super::{given, unescaped};
use crate::error::Error;

const SEVERAL_HOSTS: &str =
    "lists several hosts: give only the primary, since a sign-out may not have reached a standby yet";
/// A template leaves them empty where there is nothing to say. libpq refuses an empty `sslmode`, and so do we.
const MAY_BE_EMPTY: [&str; 10] = [
    "host",
    "port",
    "user",
    "password",
    "dbname",
    "database",
    "schema",
    "options",
    "connect_timeout",
    "application_name",
];
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
    /// Limits for the server to keep, such as `statement_timeout`, as options.
    pub timeouts: Vec<String>,
    /// The URL itself says that a pooler stands between (`pgbouncer=true`, a statement cache of 0).
    pub behind_pooler: bool,
    /// Parameters that have no effect here.
    pub warnings: Vec<String>,
}

/// What to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name or an address.
    Tcp(String),
    /// The directory of a Unix socket.
    Unix(PathBuf),
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
        let mut read = Self::read(text).map_err(|what| Error::configuration(format!("{setting} {what}")))?;
        read.warnings.iter_mut().for_each(|warning| warning.insert_str(0, &format!("{setting} ")));
        Ok(read)
    }

    /// Else what is wrong with it. No message shows the URL itself: it holds the password.
    fn read(text: Option<&str>) -> Result<Self, String> {
        let text = given(text).ok_or_else(|| {
            String::from("is not set: give the URL of the PostgreSQL database that Better Auth writes to")
        })?;
        if let Some(problem) = unescaped::problem(text) {
            return Err(problem);
        }
        if has_several_hosts(text) {
            return Err(SEVERAL_HOSTS.to_owned());
        }
        let url = Url::parse(&with_host(&without_driver(text))).map_err(|_| {
            String::from("is not a URL: write postgresql://user:password@host:5432/database, special characters percent-encoded")
        })?;
        let scheme = url.scheme();
        if !matches!(scheme, "postgresql" | "postgres") {
            return Err(format!("has the scheme {scheme:?}: only postgresql:// is supported"));
        }
        let mut read = Self::from_authority(&url)?;
        let mut follows_password = false;
        for (key, value) in url.query_pairs() {
            read.apply(&key, &value, follows_password)?;
            follows_password |= key == "password";
        }
        check_certificates(&mut read, &url)?;
        if read.user.is_empty() {
            return Err(String::from("contains no user: write postgresql://user:password@host/database"));
        }
        if read.database.is_empty() {
            read.database.clone_from(&read.user);
        }
        Ok(read)
    }

    fn from_authority(url: &Url) -> Result<Self, String> {
        let host = decoded(url.host_str().unwrap_or_default())?;
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
            timeouts: Vec::new(),
            behind_pooler: false,
            warnings: Vec::new(),
        })
    }

    fn apply(&mut self, key: &str, value: &str, follows_password: bool) -> Result<(), String> {
        self.behind_pooler |= parameters::tells_of_pooler(key, value);
        match key {
            _ if value.is_empty() && MAY_BE_EMPTY.contains(&key) => {}
            "host" | "port" if value.contains(',') => return Err(SEVERAL_HOSTS.to_owned()),
            "host" => self.host = host_of(value),
            "port" => self.port = value.parse().map_err(|_| bad_value(key, value, "a port number"))?,
            "user" => value.clone_into(&mut self.user),
            "password" => self.password = Some(value.to_owned()),
            "dbname" | "database" => value.clone_into(&mut self.database),
            "schema" => self.schema = Some(value.to_owned()),
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
            _ => return self.apply_other(key, value, follows_password),
        }
        Ok(())
    }

    /// A parameter that is neither libpq's nor Prisma's `schema`.
    fn apply_other(&mut self, key: &str, value: &str, follows_password: bool) -> Result<(), String> {
        if let Some(timeout) = parameters::timeout(key)
            && !value.is_empty()
        {
            if !parameters::is_duration(value) {
                return Err(bad_value(key, value, "milliseconds, or a number with a unit, as in 30s"));
            }
            self.timeouts.push(format!("-c {timeout}={value}"));
            return Ok(());
        }
        if follows_password && !parameters::is_known(key) {
            return Err(String::from(
                "has a parameter that is not known here, or an unescaped \"&\" in its password: write it as %26",
            ));
        }
        let fate = parameters::fate(key, value);
        if fate != Fate::Ignored && !parameters::is_name(key) {
            return Err(String::from(
                "has a parameter that is not known here, or an unescaped \"?\" in its password: write it as %3F",
            ));
        }
        match fate {
            Fate::Ignored => {}
            Fate::Refused(fix) => {
                return Err(format!("has the parameter {key:?}, which is not supported here: {fix}"));
            }
            Fate::Unknown => {
                self.warnings
                    .push(format!("has the parameter {key:?}, which is not known here and has no effect"));
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

/// Whether the authority lists hosts, as libpq allows. The credentials hold no character that would end them.
fn has_several_hosts(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    authority.rsplit('@').next().is_some_and(|hosts| hosts.contains(','))
}

/// Without the driver that SQLAlchemy's scheme names, as in `postgresql+psycopg_async://`.
fn without_driver(text: &str) -> Cow<'_, str> {
    match text.split_once("://").and_then(|(scheme, rest)| Some((scheme.split_once('+')?.0, rest))) {
        Some((scheme, rest)) => Cow::Owned(format!("{scheme}://{rest}")),
        None => Cow::Borrowed(text),
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

pub(super) fn bad_value(key: &str, value: &str, wanted: &str) -> String {
    // A password with an unescaped '&' or '?' can end up here.
    let shown = if is_showable(value) { value } else { "…" };
    format!("has {key}={shown:?}: use {wanted}")
}

/// Whether a text looks like one of libpq's words, and not like a piece of a password.
fn is_showable(text: &str) -> bool {
    text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-'))
}
