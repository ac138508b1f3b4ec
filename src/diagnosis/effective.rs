//! The effective configuration: names, addresses and choices, without any secret.

use serde::Serialize;

use crate::settings::{
    DatabaseUrl, Freshness, Host, JwtFreshness, KeyLocation, PreparedStatements, Settings, SslMode,
    hosting_domain,
};

/// The settings as they are in force.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "described in the .pyi file")]
pub struct Effective {
    pub cookie_name: String,
    pub cache_cookie_name: String,
    pub other_spelling: String,
    pub is_secure: bool,
    pub base_origin: Option<String>,
    /// The domain of the hosting service under which the base URL's host is a customer's name.
    pub hosting_domain: Option<String>,
    pub credentials: Vec<&'static str>,
    pub fingerprint: Option<String>,
    pub previous_fingerprints: Vec<String>,
    pub freshness: &'static str,
    pub listens: bool,
    /// Whether the cookie cache is signed by keys of the `jwks` table.
    pub cache_uses_key_table: bool,
    pub prepared_statements: &'static str,
    pub schema: Option<String>,
    pub database: Option<Database>,
    pub listen_database: Option<Database>,
    pub jwt: Option<Jwt>,
    pub warnings: Vec<String>,
}

/// Where a database is.
#[derive(Clone, Debug, Serialize)]
pub struct Database {
    pub address: String,
    pub role: String,
    pub sslmode: &'static str,
    pub is_local: bool,
}

/// Whose JWTs are accepted.
#[derive(Clone, Debug, Serialize)]
pub struct Jwt {
    pub issuer: String,
    pub audience: String,
    pub leeway_seconds: f64,
    pub freshness: &'static str,
    /// None: the `jwks` table.
    pub jwks_url: Option<String>,
}

impl Effective {
    /// The effective configuration of these settings.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let accepted = settings.accepted;
        let kinds =
            [("cookie", accepted.cookie), ("bearer", accepted.bearer.is_some()), ("jwt", accepted.jwt)];
        let names = &settings.cookie_names;
        let feed = settings.freshness.live_cache().and_then(|cache| cache.feed.as_ref());
        let mut fingerprints = settings.secrets.signing.iter().map(crate::settings::Secret::fingerprint);
        Self {
            cookie_name: names.session_token.clone(),
            cache_cookie_name: names.session_data.clone(),
            other_spelling: names.other_spelling.clone(),
            is_secure: names.is_secure(),
            base_origin: settings.trusted_origins.base().map(str::to_owned),
            hosting_domain: settings.trusted_origins.base().and_then(hosting_domain),
            credentials: kinds
                .into_iter()
                .filter(|(_, is_accepted)| *is_accepted)
                .map(|(kind, _)| kind)
                .collect(),
            fingerprint: fingerprints.next(),
            previous_fingerprints: fingerprints.collect(),
            freshness: match &settings.freshness {
                Freshness::Always => "always",
                Freshness::CookieCache(_) => "cookie_cache",
                Freshness::LiveCache(cache) if cache.feed.is_some() => "live",
                Freshness::LiveCache(_) => "seconds",
            },
            listens: feed.is_some(),
            cache_uses_key_table: settings.freshness.uses_public_keys(),
            prepared_statements: match settings.limits.prepared_statements {
                PreparedStatements::Auto => "auto",
                PreparedStatements::On => "on",
                PreparedStatements::Off => "off",
            },
            schema: settings.tables.schema.clone(),
            database: settings.database.as_ref().map(Database::of),
            listen_database: feed.map(|feed| Database::of(&feed.database)),
            jwt: settings.jwt.as_ref().map(|jwt| Jwt {
                issuer: jwt.issuer.clone(),
                audience: jwt.audience.clone(),
                leeway_seconds: jwt.leeway.as_secs_f64(),
                freshness: match jwt.freshness {
                    JwtFreshness::Always => "always",
                    JwtFreshness::Live => "live",
                    JwtFreshness::Claims => "claims",
                },
                jwks_url: match &jwt.keys {
                    // Without what could be a secret in it.
                    KeyLocation::Url(url) => {
                        let url = url.as_url();
                        Some(format!("{}{}", url.origin().ascii_serialization(), url.path()))
                    }
                    KeyLocation::Table => None,
                },
            }),
            warnings: settings.warnings.clone(),
        }
    }
}

impl Database {
    fn of(url: &DatabaseUrl) -> Self {
        let DatabaseUrl { host, port, database, .. } = url;
        let (address, is_local) = match host {
            Host::Tcp(host) => {
                (format!("{database} at {host}:{port}"), crate::settings::is_this_machine(host))
            }
            Host::Unix(directory) => (format!("{database} at {}", directory.display()), true),
        };
        Self {
            address,
            role: url.user.clone(),
            sslmode: match url.ssl_mode {
                SslMode::Disable => "disable",
                SslMode::Prefer => "prefer",
                SslMode::Require => "require",
                SslMode::VerifyCa => "verify-ca",
                SslMode::VerifyFull => "verify-full",
            },
            is_local,
        }
    }
}
