//! What is probably wrong, when the headers of a request have led to a refusal?
//!
//! Nothing here decides whether a request is refused. A refused request is read a second time, so that good ones pay
//! nothing for it. What can be verified is verified: a cookie that Better Auth signed under another name proves that the
//! name is wrong. The rest is read from the form of what came.

mod bearer;
mod jwt;
mod missing;
mod printable;
mod signature;

use std::sync::Arc;

pub(crate) use self::jwt::is_recent;
use crate::checks::Checks;
use crate::credentials::{Header, Kind};
use crate::origin::host_name;
use crate::refusal::Cause;
use crate::settings::{AcceptedCredentials, CookieNames, Secret, Settings};
use crate::signature::Keys;

/// The built-in secret with which Better Auth signs outside production if none is set.
const PUBLIC_SECRET: &str = "better-auth-secret-12345678901234567890";

/// Finds the probable causes of refusals by these settings.
#[derive(Debug)]
pub struct Diagnosis {
    checks: Arc<Checks>,
    names: CookieNames,
    accepted: AcceptedCredentials,
    /// The host name of the base URL.
    base_host: Option<String>,
    keys: Keys,
    /// What else Better Auth may sign with, and what that means.
    suspects: Vec<(Cause, Keys)>,
}

/// A request's headers: names and values.
type Headers<'a> = [(&'a [u8], &'a [u8])];

/// A cause, and what the message about it contains of the request.
pub type Finding = (Cause, Option<String>);

impl Diagnosis {
    /// What is looked for with these settings.
    #[must_use]
    pub fn new(settings: &Settings, checks: Arc<Checks>) -> Self {
        let secrets = &settings.secrets;
        let current = secrets.signing.first();
        let in_quotes: Vec<Secret> = current.map(quoted).unwrap_or_default();
        let is_former = |secret: &&Secret| !secrets.signing.contains(secret);
        let former: Vec<Secret> = secrets.encrypting.iter().filter(is_former).cloned().collect();
        Self {
            checks,
            names: settings.cookie_names.clone(),
            accepted: settings.accepted,
            base_host: settings.trusted_origins.base().map(|base| host_name(base).to_owned()),
            keys: Keys::new(&secrets.signing),
            suspects: vec![
                (Cause::QuotedSecret, Keys::new(&in_quotes)),
                (Cause::FormerSecret, Keys::new(&former)),
                (Cause::PublicSecret, Keys::new(&[Secret::new(PUBLIC_SECRET)])),
            ],
        }
    }

    /// The checks that have succeeded.
    #[must_use]
    pub fn checks(&self) -> &Checks {
        &self.checks
    }
}

/// The same secret as it would be if quotes or white space around it were part of it.
fn quoted(secret: &Secret) -> Vec<Secret> {
    let Ok(text) = std::str::from_utf8(secret.as_bytes()) else { return Vec::new() };
    ["\"{}\"", "'{}'", "`{}`", "{}\n", "{}\r\n", "{}\r", " {}", "{} "]
        .map(|form| Secret::new(&form.replace("{}", text)))
        .into()
}

/// Why an origin was refused.
#[must_use]
pub fn of_origin(origin: Header<'_>, sec_fetch_site: Header<'_>) -> Cause {
    match origin {
        Header::Repeated => Cause::SeveralOrigins,
        _ if sec_fetch_site == Header::Repeated => Cause::SeveralOrigins,
        Header::Once(b"null") => Cause::NullOrigin,
        Header::Once(_) => Cause::UntrustedOrigin,
        Header::Absent => Cause::NoOrigin,
    }
}

/// Whether a request of this kind may carry a token among its protocols.
const fn is_handshake(kind: Kind) -> bool {
    matches!(kind, Kind::Handshake)
}
