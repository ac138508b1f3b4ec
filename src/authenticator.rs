//! What the headers alone decide, in order: credentials, origin, signature, cookie cache.
//!
//! [`Authenticator::inspect`] has no clock and no I/O; it only caches cookies that it has read. What it cannot decide, it
//! returns as a [`SessionToken`], so a forged cookie never reaches the store.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::cookie_cache::CookieCache;
use crate::cookie_cache::keys::PublicKeys;
use crate::credentials::{self, Credentials, RawCookie, Request};
use crate::identity::Identity;
use crate::origin;
use crate::refusal::{Reason, Refusal};
use crate::settings::{CookieNames, Freshness, Settings, TrustedOrigins};
use crate::signature::{Keys, SessionToken};
use crate::signature_cache::SignatureCache;
use crate::store::LookupResult;

/// What is known about a request before the store is queried.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The request has no valid session.
    Refused(Refusal),
    /// The identity in a cache, if the operator chose one: Better Auth's signed snapshot, or the live cache.
    Known(Arc<Identity>),
    /// The signature is good: the store knows whether there is such a session.
    Lookup(SessionToken),
}

/// Decides by the settings and by Better Auth's rules.
#[derive(Clone, Debug)]
pub struct Authenticator {
    names: CookieNames,
    origins: TrustedOrigins,
    keys: Keys,
    /// None if every request queries the store: there, checking the signature again costs next to nothing.
    signature_cache: Option<SignatureCache>,
    cookie_cache: Option<CookieCache>,
}

impl Authenticator {
    /// An authenticator for these settings. `public_keys` are those of the `jwks` table, which
    /// only the cookie cache signed by them needs.
    #[must_use]
    pub fn new(settings: &Settings, public_keys: &PublicKeys) -> Self {
        let cookie_cache = settings.freshness.cookie_cache();
        Self {
            names: settings.cookie_names.clone(),
            origins: settings.trusted_origins.clone(),
            keys: Keys::new(&settings.secrets.signing),
            signature_cache: (!matches!(settings.freshness, Freshness::Always)).then(SignatureCache::default),
            cookie_cache: cookie_cache.map(|chosen| CookieCache::new(chosen, settings, public_keys)),
        }
    }

    /// Decides from the headers as far as they allow.
    pub fn inspect<'a>(
        &self,
        request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])>>,
        now: DateTime<Utc>,
    ) -> Verdict {
        let (token, shown) = match self.verify_request(request) {
            Ok(checked) => checked,
            Err(refusal) => return Verdict::Refused(refusal),
        };
        let known = self
            .cookie_cache
            .as_ref()
            .and_then(|cache| cache.read(&shown.session_data.decode()?, &token, now));
        // A ban may have been lifted since: only the store refuses.
        match known.and_then(|identity| Self::decide(LookupResult::Found(identity), now).ok()) {
            Some(identity) => Verdict::Known(identity),
            None => Verdict::Lookup(token),
        }
    }

    /// The same for a route that needs the current state: never [`Verdict::Known`].
    pub fn inspect_for_store<'a>(
        &self,
        request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])>>,
    ) -> Verdict {
        match self.verify_request(request) {
            Ok((token, _)) => Verdict::Lookup(token),
            Err(refusal) => Verdict::Refused(refusal),
        }
    }

    /// Decides from a cookie's value, percent-encoded or not. There are no headers, so the origin is not checked.
    #[must_use]
    pub fn inspect_value(&self, value: &str) -> Verdict {
        if value.is_empty() {
            return Verdict::Refused(Reason::NoCookie.into());
        }
        match self.verify(credentials::decode(Cow::Borrowed(value))) {
            Ok(token) => Verdict::Lookup(token),
            Err(refusal) => Verdict::Refused(refusal),
        }
    }

    /// The session cookie as it stands in the headers.
    pub fn session_cookie<'a>(
        &self,
        headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Option<Cow<'a, str>> {
        Credentials::read(headers, &self.names).session_cookie.map(RawCookie::as_text)
    }

    /// A message for an operator that came up since the last call.
    #[must_use]
    pub fn take_message(&self) -> Option<String> {
        self.cookie_cache.as_ref()?.take_message()
    }

    /// Decides what was found, at the time of the request.
    ///
    /// # Errors
    /// The refusal. A session is valid up to and including `expires_at`, as in Better Auth.
    pub fn decide(found: LookupResult, now: DateTime<Utc>) -> Result<Arc<Identity>, Refusal> {
        match found {
            LookupResult::Found(identity) if identity.session.expires_at < now => Err(Reason::Expired.into()),
            LookupResult::Found(identity) if is_banned(&identity, now) => Err(Reason::Banned.into()),
            LookupResult::Found(identity) => Ok(identity),
            LookupResult::NoSession => Err(Reason::UnknownSession.into()),
            LookupResult::NoUser => Err(Reason::UnknownUser.into()),
            LookupResult::Unreadable => Err(Reason::Unreadable.into()),
        }
    }

    /// Credentials, origin, signature.
    fn verify_request<'a>(
        &self,
        request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])>>,
    ) -> Result<(SessionToken, Credentials<'a>), Refusal> {
        let kind = request.kind;
        let shown = Credentials::read(request.into_headers(), &self.names);
        let Some(cookie) = shown.session_cookie else { return Err(self.refuse_without_cookie(&shown)) };
        if let Err(origin) = origin::check(kind, &shown, &self.origins, &self.names) {
            return Err(Refusal::with_detail(Reason::Origin, origin));
        }
        Ok((self.verify_cookie(cookie)?, shown))
    }

    fn verify_cookie(&self, cookie: RawCookie<'_>) -> Result<SessionToken, Refusal> {
        let Some(cache) = &self.signature_cache else { return self.verify(cookie.decode()) };
        if let Some(token) = cache.get(cookie) {
            return Ok(token);
        }
        let token = self.verify(cookie.decode())?;
        cache.put(cookie, &token);
        Ok(token)
    }

    fn verify(&self, value: Option<Cow<'_, str>>) -> Result<SessionToken, Refusal> {
        value.and_then(|value| self.keys.verify(&value)).ok_or_else(|| Reason::BadSignature.into())
    }

    fn refuse_without_cookie(&self, shown: &Credentials<'_>) -> Refusal {
        if shown.other_spelling {
            return Refusal::with_detail(Reason::WrongCookieName, self.names.other_spelling.clone());
        }
        Refusal { reason: Reason::NoCookie, detail: origin::other_name_of_this_machine(shown, &self.origins) }
    }
}

/// Better Auth lets a ban lapse at `banExpires`.
fn is_banned(identity: &Identity, now: DateTime<Utc>) -> bool {
    identity.user.ban.is_some_and(|ban| ban.expires_at.is_none_or(|expires_at| expires_at >= now))
}
