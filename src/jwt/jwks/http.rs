//! The keys behind a URL (Better Auth's `/jwks`).
//!
//! The URL comes from the settings, never from a token. Still, what answers there is read with
//! care: no redirects (an open redirect would choose our keys), a bounded body, a deadline, and
//! certificates that are checked. Proxies are taken from the environment as usual (`HTTPS_PROXY`,
//! `ALL_PROXY`, `NO_PROXY`), certificates from the system or from `SSL_CERT_FILE`.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect;
use reqwest::{Client, Response};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use super::KeySource;
use crate::error::Error;
use crate::jwt::key_set::KeySet;
use crate::settings::JwksUrl;

/// The longest document that is read: a hundred keys of the largest kind take a quarter of it.
pub const MAX_BYTES: usize = 256 * 1024;
/// How long a connection may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Reads a JWKS document over HTTPS, with one client for all readings.
#[derive(Debug)]
pub struct HttpKeys {
    url: Url,
    client: Client,
}

impl HttpKeys {
    /// A reader for this URL. Opens nothing.
    ///
    /// # Errors
    /// [`Error::Configuration`] when TLS cannot be set up.
    pub fn new(url: &JwksUrl) -> Result<Self, Error> {
        let mut client = Client::builder()
            .tls_backend_preconfigured(tls()?)
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_DEADLINE)
            .user_agent(concat!("auth_middleware/", env!("CARGO_PKG_VERSION")))
            .referer(false);
        if url.is_this_machine() {
            client = client.no_proxy();
        }
        let failed =
            |error| Error::configuration(format!("the client for jwks_url cannot be set up: {error}"));
        Ok(Self { url: url.as_url().clone(), client: client.build().map_err(failed)? })
    }

    async fn fetch(&self) -> Result<Vec<u8>, Error> {
        let failed = |error: reqwest::Error| {
            Error::unavailable_because(format!("GET {}", self.shown()), error.without_url())
        };
        let request = self.client.get(self.url.clone()).header("accept", "application/json");
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        if status != 200 {
            let hint = if status.is_redirection() {
                ": redirects are not followed, so set jwks_url to where it leads"
            } else {
                ""
            };
            return Err(self.unusable(&format!("HTTP status {}{hint}", status.as_u16())));
        }
        self.body(response).await?.ok_or_else(|| self.unusable(&format!("more than {MAX_BYTES} bytes")))
    }

    /// None when it is too long.
    async fn body(&self, mut response: Response) -> Result<Option<Vec<u8>>, Error> {
        let failed = |error: reqwest::Error| {
            Error::unavailable_because(format!("GET {}", self.shown()), error.without_url())
        };
        let announced = response.content_length().unwrap_or_default();
        if announced > MAX_BYTES as u64 {
            return Ok(None);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Some(body))
    }

    fn unusable(&self, what: &str) -> Error {
        Error::unavailable(format!("GET {}: {what}", self.shown()))
    }

    /// The URL without what could be a secret in it.
    fn shown(&self) -> String {
        format!("{}{}", self.url.origin().ascii_serialization(), self.url.path())
    }
}

impl KeySource for HttpKeys {
    async fn read(&self) -> Result<KeySet, Error> {
        let body = self.fetch().await?;
        KeySet::of_document(&body).map_err(|reason| self.unusable(&reason))
    }
}

fn tls() -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let failed = |error| Error::configuration(format!("TLS cannot be set up: {error}"));
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
