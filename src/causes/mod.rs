//! What is probably wrong when a request is refused because of its headers.
//!
//! Nothing here decides whether a request is refused. The headers of a refused request are parsed a second time, so that
//! accepted requests pay nothing for it. What can be verified is verified: a cookie that Better Auth signed under another
//! name proves that the name is wrong. Other causes are guessed from the form of the headers.

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
            signers: Signers::new(&settings.secrets, Vec::new()),
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

/// A cause, and the part of the request that its message quotes.
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use chrono::Utc;

    use crate::authenticator::{Authenticator, Verdict};
    use crate::cookie_cache::keys::PublicKeys;
    use crate::credentials::{Kind, Request};
    use crate::refusal::{Check, Reason};
    use crate::settings::{RawSettings, Secret, Settings};
    use crate::signature::Keys;

    const SECRET: &str = "0123456789abcdefghijklmnopqrstuv";

    fn authenticator() -> Authenticator {
        let settings = Settings::check(RawSettings {
            database_url: Some("postgresql://app@localhost/app".into()),
            secret: Some(SECRET.into()),
            base_url: Some("http://localhost:3000".into()),
            credentials: vec!["cookie".into(), "bearer".into()],
            freshness: Some("live".into()),
            ..RawSettings::default()
        });
        Authenticator::new(&settings.expect("the settings are valid"), &PublicKeys::default())
    }

    /// The verdict about these headers, and how many of them were read.
    fn inspect(authenticator: &Authenticator, headers: &[(&str, &str)]) -> (Verdict, usize) {
        let read = Cell::new(0);
        let pairs = headers.iter().map(|(name, value)| {
            read.set(read.get() + 1);
            (name.as_bytes(), value.as_bytes())
        });
        (authenticator.inspect(Request::new(Kind::SafeHttp, pairs), Utc::now()), read.get())
    }

    #[test]
    fn the_headers_of_a_good_request_are_read_once() {
        let authenticator = authenticator();
        let signed = Keys::new(&[Secret::new(SECRET)]).sign("0123456789abcdef").unwrap_or_default();
        let cookie = format!("better-auth.session_token={signed}");
        let bearer = format!("Bearer {signed}");
        for headers in [
            [("cookie", cookie.as_str()), ("host", "localhost")],
            [("authorization", bearer.as_str()), ("host", "localhost")],
        ] {
            for _ in 0..3 {
                let (verdict, read) = inspect(&authenticator, &headers);
                assert!(matches!(verdict, Verdict::Lookup(_)), "{verdict:?}");
                assert_eq!(read, headers.len());
            }
        }
        let refused = [("cookie", "better-auth.session_data=x"), ("host", "localhost")];
        let (verdict, read) = inspect(&authenticator, &refused);
        assert!(matches!(verdict, Verdict::Refused(refusal) if refusal.reason == Reason::NoCookie));
        assert_eq!(read, 2 * refused.len());
    }

    #[test]
    fn a_stranger_passes_no_check() {
        let authenticator = authenticator();
        let other = Keys::new(&[Secret::new("another secret of the right length!")]);
        let forged = other.sign("0123456789abcdef").unwrap_or_default();
        for headers in [
            [("cookie", format!("better-auth.session_token={forged}"))],
            [("cookie", "better-auth.session_token=0123456789abcdef".to_owned())],
            [("authorization", format!("Bearer {forged}"))],
            [("authorization", "Bearer e30.e30.c2ln".to_owned())],
        ] {
            let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
            let (verdict, _) = inspect(&authenticator, &headers);
            assert!(matches!(verdict, Verdict::Refused(_)), "{verdict:?}");
        }
        for check in [Check::Cookie, Check::Signature, Check::Bearer, Check::Credential, Check::Jwt] {
            assert!(!authenticator.checks().has_passed(check), "{check:?}");
        }
    }
}
