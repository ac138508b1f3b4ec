//! libpq's TLS words over rustls.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::Error;
use crate::settings::{DatabaseUrl, RootCertificates, SslMode};

/// The TLS configuration of these settings; None if there is none.
///
/// As in libpq, `prefer` and `require` encrypt without knowing whom to, unless `sslrootcert`
/// says whom to trust.
pub(super) fn config(database: &DatabaseUrl) -> Result<Option<ClientConfig>, Error> {
    let provider = Arc::new(ring::default_provider());
    let check = match (database.ssl_mode, &database.root_certificates) {
        (SslMode::Disable, _) => return Ok(None),
        (SslMode::Prefer | SslMode::Require, RootCertificates::Unset) => Check::Nobody,
        // libpq: a root file turns require into verify-ca.
        (SslMode::Prefer | SslMode::Require | SslMode::VerifyCa, RootCertificates::File(_)) => {
            Check::Authority
        }
        // `DatabaseUrl` refuses the other modes with the system's authorities, whose certificates anybody can get.
        (SslMode::VerifyFull, _)
        | (_, RootCertificates::System)
        | (SslMode::VerifyCa, RootCertificates::Unset) => Check::Everything,
    };
    let verifier: Arc<dyn ServerCertVerifier> = match check {
        Check::Nobody => Arc::new(Anybody(Arc::clone(&provider))),
        Check::Everything => webpki(database, &provider)?,
        Check::Authority => Arc::new(AnyName { inner: webpki(database, &provider)? }),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::configuration(format!("TLS cannot be set up: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Some(config))
}

enum Check {
    Nobody,
    Authority,
    Everything,
}

fn webpki(
    database: &DatabaseUrl,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let roots = Arc::new(roots(&database.root_certificates)?);
    WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .map_err(|error| Error::configuration(format!("sslrootcert in DATABASE_URL cannot be used: {error}")))
}

fn roots(from: &RootCertificates) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let certificates: Vec<CertificateDer<'static>> = match from {
        RootCertificates::File(path) => {
            let unreadable = |error| {
                Error::configuration(format!(
                    "sslrootcert={} in DATABASE_URL cannot be read: {error}",
                    path.display()
                ))
            };
            let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
            read.map_err(unreadable)?
        }
        RootCertificates::Unset | RootCertificates::System => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        return Err(Error::configuration(match from {
            RootCertificates::File(path) => {
                format!("sslrootcert={} in DATABASE_URL holds no certificate in PEM form", path.display())
            }
            RootCertificates::Unset | RootCertificates::System => {
                "no certificate authority to check the database's certificate by: install the system's \
                 ca-certificates, or name a PEM file by sslrootcert in DATABASE_URL"
                    .to_owned()
            }
        }));
    }
    Ok(roots)
}

/// Encrypts, whoever answers: libpq's `require` without a root file.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // The handshake's own signatures are still checked: a certificate copied from another server
    // is of no use without its key, which is what channel binding rests on.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A known authority signed it, whatever its name: libpq's `verify-ca`.
#[derive(Debug)]
struct AnyName {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is checked last, so here everything else was good.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            settled => settled,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
