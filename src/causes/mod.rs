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

use std::fmt;
use std::sync::Arc;

pub(crate) use self::jwt::is_recent;
use crate::checks::Checks;
use crate::credentials::{Header, Kind};
use crate::diagnosis::Signers;
use crate::origin::host_name;
use crate::refusal::Cause;
use crate::settings::{AcceptedCredentials, CookieNames, Settings};
use crate::signature::Keys;

/// Finds the probable causes of refusals by these settings.
pub struct Causes {
    checks: Arc<Checks>,
    names: CookieNames,
    accepted: AcceptedCredentials,
    /// The host name of the base URL.
    base_host: Option<String>,
    keys: Keys,
    /// The secrets that Better Auth may have signed with, ours and others.
    signers: Signers,
}

impl Causes {
    /// What is looked for with these settings.
    #[must_use]
    pub fn new(settings: &Settings, checks: Arc<Checks>) -> Self {
        Self {
            checks,
            names: settings.cookie_names.clone(),
            accepted: settings.accepted,
            base_host: settings.trusted_origins.base().map(|base| host_name(base).to_owned()),
            keys: Keys::new(&settings.secrets.signing),
            signers: Signers::new(&settings.secrets, &[]),
        }
    }

    /// The checks that have succeeded.
    #[must_use]
    pub fn checks(&self) -> &Checks {
        &self.checks
    }
}

/// It has keys: its `Debug` shows nothing of them.
impl fmt::Debug for Causes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Causes(…)")
    }
}

/// A request's headers: names and values.
type Headers<'a> = [(&'a [u8], &'a [u8])];

/// A cause, and what the message about it contains of the request.
type Finding = (Cause, Option<String>);

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
