//! The unchecked settings, and their defaults.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::OwnField;

/// The unchecked settings. None and empty mean "not set", for which the default applies.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "described in Python's AuthSettings")]
pub struct RawSettings {
    pub database_url: Option<String>,
    pub secret: Option<String>,
    pub secrets: Option<String>,
    pub previous_secrets: Vec<String>,
    pub base_url: Option<String>,
    pub trusted_origins: Vec<String>,
    pub cookie_prefix: Option<String>,
    pub cookie_name: Option<String>,
    pub cache_cookie_name: Option<String>,
    pub secure_cookies: Option<bool>,
    pub schema: Option<String>,
    pub user_table: Option<String>,
    pub session_table: Option<String>,
    pub jwks_table: Option<String>,
    pub user_columns: BTreeMap<String, String>,
    pub session_columns: BTreeMap<String, String>,
    pub jwks_columns: BTreeMap<String, String>,
    pub database_time_zone: Option<String>,
    #[serde(skip)]
    pub user_fields: Vec<OwnField>,
    #[serde(skip)]
    pub session_fields: Vec<OwnField>,
    pub freshness: Option<String>,
    pub listen_database_url: Option<String>,
    pub max_cached_sessions: Option<i64>,
    pub max_age_seconds: Option<f64>,
    pub heartbeat_seconds: Option<f64>,
    pub cache_strategy: Option<String>,
    pub cache_version: Option<String>,
    pub pool_size: Option<i64>,
    pub lookup_timeout_seconds: Option<f64>,
    pub max_waiting: Option<i64>,
    pub retry_after_seconds: Option<i64>,
    pub prepared_statements: Option<String>,
    pub recheck_seconds: Option<f64>,
    pub outage_grace_seconds: Option<f64>,
    pub credentials: Vec<String>,
    pub bearer_unsigned: Option<bool>,
    pub jwks_url: Option<String>,
    pub jwt_issuer: Option<String>,
    pub jwt_audience: Option<String>,
    pub jwt_leeway_seconds: Option<f64>,
    pub jwt_freshness: Option<String>,
    pub neon_auth_base_url: Option<String>,
    pub neon_auth_jwks_url: Option<String>,
}

/// The defaults. Python reads them from here too.
impl Default for RawSettings {
    fn default() -> Self {
        Self {
            database_url: None,
            secret: None,
            secrets: None,
            previous_secrets: Vec::new(),
            base_url: None,
            trusted_origins: Vec::new(),
            cookie_prefix: None,
            cookie_name: None,
            cache_cookie_name: None,
            secure_cookies: None,
            schema: None,
            user_table: None,
            session_table: None,
            jwks_table: None,
            user_columns: BTreeMap::new(),
            session_columns: BTreeMap::new(),
            jwks_columns: BTreeMap::new(),
            database_time_zone: Some("UTC".into()),
            user_fields: Vec::new(),
            session_fields: Vec::new(),
            freshness: Some("always".into()),
            listen_database_url: None,
            max_cached_sessions: Some(100_000),
            max_age_seconds: Some(60.0),
            heartbeat_seconds: Some(5.0),
            cache_strategy: Some("compact".into()),
            cache_version: Some("1".into()),
            pool_size: Some(2),
            lookup_timeout_seconds: Some(5.0),
            max_waiting: Some(10_000),
            retry_after_seconds: Some(1),
            prepared_statements: Some("auto".into()),
            recheck_seconds: Some(30.0),
            outage_grace_seconds: Some(60.0),
            // By `neon_auth_base_url`: JWTs, or the cookie.
            credentials: Vec::new(),
            bearer_unsigned: Some(false),
            jwks_url: None,
            jwt_issuer: None,
            jwt_audience: None,
            jwt_leeway_seconds: Some(15.0),
            // By `database_url`: the user's row, or the claims.
            jwt_freshness: None,
            neon_auth_base_url: None,
            neon_auth_jwks_url: None,
        }
    }
}

impl RawSettings {
    /// Replaces unset values with the defaults.
    pub(super) fn or_defaults(self) -> Self {
        let defaults = Self::default();
        let text = |given: Option<String>, default: Option<String>| {
            given.filter(|text| !text.trim().is_empty()).or(default)
        };
        Self {
            database_time_zone: text(self.database_time_zone, defaults.database_time_zone),
            freshness: text(self.freshness, defaults.freshness),
            max_cached_sessions: self.max_cached_sessions.or(defaults.max_cached_sessions),
            max_age_seconds: self.max_age_seconds.or(defaults.max_age_seconds),
            heartbeat_seconds: self.heartbeat_seconds.or(defaults.heartbeat_seconds),
            cache_strategy: text(self.cache_strategy, defaults.cache_strategy),
            cache_version: text(self.cache_version, defaults.cache_version),
            pool_size: self.pool_size.or(defaults.pool_size),
            lookup_timeout_seconds: self.lookup_timeout_seconds.or(defaults.lookup_timeout_seconds),
            max_waiting: self.max_waiting.or(defaults.max_waiting),
            retry_after_seconds: self.retry_after_seconds.or(defaults.retry_after_seconds),
            prepared_statements: text(self.prepared_statements, defaults.prepared_statements),
            recheck_seconds: self.recheck_seconds.or(defaults.recheck_seconds),
            outage_grace_seconds: self.outage_grace_seconds.or(defaults.outage_grace_seconds),
            bearer_unsigned: self.bearer_unsigned.or(defaults.bearer_unsigned),
            jwt_leeway_seconds: self.jwt_leeway_seconds.or(defaults.jwt_leeway_seconds),
            ..self
        }
    }
}
