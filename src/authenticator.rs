//! The whole way of a request, in order: credentials, origin, signature; then, if it is worth
//! asking, one look-up and one decision.
//!
//! [`Authenticator::inspect`] is pure: no clock, no I/O. What it cannot decide it hands on as a
//! [`SessionToken`], so a forged cookie never reaches the store.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::credentials::{self, Credentials, RawCookie, Request};
use crate::identity::Identity;
use crate::origin;
use crate::refusal::{Reason, Refusal};
use crate::settings::{CookieNames, Settings, TrustedOrigins};
use crate::signature::{Keys, SessionToken};
use crate::store::Answer;

/// What the headers alone tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nobody, and why.
    Refused(Refusal),
    /// Whoever the store says has this token.
    Lookup(SessionToken),
}

/// Decides what the settings and Better Auth's rules say of a request.
#[derive(Clone, Debug)]
pub struct Authenticator {
    names: CookieNames,
    origins: TrustedOrigins,
    keys: Keys,
}

impl Authenticator {
    /// An authenticator for these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            names: settings.cookie_names.clone(),
            origins: settings.trusted_origins.clone(),
            keys: Keys::new(&settings.secrets),
        }
    }

    /// Decides from the headers what can be decided from them.
    pub fn inspect<'a>(&self, request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])>>) -> Verdict {
        let kind = request.kind;
        let shown = Credentials::read(request.into_headers(), &self.names);
        let Some(cookie) = shown.session_cookie else { return self.refuse_without_cookie(&shown) };
        if let Err(origin) = origin::check(kind, &shown, &self.origins, &self.names) {
            return Verdict::Refused(Refusal::with_detail(Reason::Origin, origin));
        }
        self.verify(cookie.decode())
    }

    /// Decides about a cookie value that somebody else took out of the request, percent-encoded
    /// or not. No headers, so no origin.
    #[must_use]
    pub fn inspect_value(&self, value: &str) -> Verdict {
        if value.is_empty() {
            return Verdict::Refused(Reason::NoCookie.into());
        }
        self.verify(credentials::decode(Cow::Borrowed(value)))
    }

    /// The session cookie as it stands in the headers.
    pub fn session_cookie<'a>(
        &self,
        headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Option<Cow<'a, str>> {
        Credentials::read(headers, &self.names).session_cookie.map(RawCookie::as_text)
    }

    /// Decides about what the store answered, at the time of the request.
    ///
    /// # Errors
    /// The refusal. A session is valid up to and including `expires_at`, as in Better Auth.
    pub fn decide(answer: Answer, now: DateTime<Utc>) -> Result<Arc<Identity>, Refusal> {
        match answer {
            Answer::Found(identity) if identity.session.expires_at < now => Err(Reason::Expired.into()),
            Answer::Found(identity) => Ok(identity),
            Answer::NoSession => Err(Reason::UnknownSession.into()),
            Answer::NoUser => Err(Reason::UnknownUser.into()),
            Answer::Unreadable => Err(Reason::Unreadable.into()),
        }
    }

    fn verify(&self, value: Option<Cow<'_, str>>) -> Verdict {
        match value.and_then(|value| self.keys.verify(&value)) {
            Some(token) => Verdict::Lookup(token),
            None => Verdict::Refused(Reason::BadSignature.into()),
        }
    }

    fn refuse_without_cookie(&self, shown: &Credentials<'_>) -> Verdict {
        if shown.other_spelling {
            let name = self.names.other_spelling.clone();
            return Verdict::Refused(Refusal::with_detail(Reason::WrongCookieName, name));
        }
        Verdict::Refused(Reason::NoCookie.into())
    }
}
