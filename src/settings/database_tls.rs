//! How a database URL requires the server to be checked, in libpq's terms.

use std::path::PathBuf;

use url::Url;

use super::database_url::{DatabaseUrl, bad_value};

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server offers it, without checking its certificate. `allow` is read as this.
    Prefer,
    /// TLS is required. Certificates are checked only if `sslrootcert` is set, as in libpq.
    Require,
    /// TLS with a certificate that an authority in `sslrootcert`'s file signed, for any host name.
    VerifyCa,
    /// TLS with a certificate that a known authority signed for this host.
    VerifyFull,
}

/// libpq's `sslrootcert`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootCertificates {
    /// Not set: `verify-full` uses the system's certificates.
    Unset,
    /// `system`, which requires `verify-full`.
    System,
    /// A PEM file.
    File(PathBuf),
}

/// libpq's `channel_binding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// If the server supports it.
    Prefer,
    /// Required.
    Require,
}

/// libpq's rules. Without them `verify-ca` would accept whatever certificate a public authority has issued,
/// for any name.
pub(super) fn check_certificates(database: &mut DatabaseUrl, url: &Url) -> Result<(), String> {
    let names_mode = url.query_pairs().any(|(key, _)| matches!(&*key, "sslmode" | "ssl"));
    match (database.ssl_mode, &database.root_certificates) {
        (_, RootCertificates::System) if !names_mode => database.ssl_mode = SslMode::VerifyFull,
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

pub(super) fn ssl_mode(key: &str, value: &str) -> Result<SslMode, String> {
    match value {
        "disable" | "false" | "0" => Ok(SslMode::Disable),
        "allow" | "prefer" => Ok(SslMode::Prefer),
        // node-postgres calls it no-verify.
        "require" | "true" | "1" | "no-verify" => Ok(SslMode::Require),
        "verify-ca" => Ok(SslMode::VerifyCa),
        "verify-full" => Ok(SslMode::VerifyFull),
        _ => Err(bad_value(key, value, "disable, allow, prefer, require, verify-ca or verify-full")),
    }
}

pub(super) fn channel_binding(key: &str, value: &str) -> Result<ChannelBinding, String> {
    match value {
        "disable" => Ok(ChannelBinding::Disable),
        "prefer" => Ok(ChannelBinding::Prefer),
        "require" => Ok(ChannelBinding::Require),
        _ => Err(bad_value(key, value, "disable, prefer or require")),
    }
}
