//! What the headers alone decide, in order: credentials, origin, signature or JWT, cookie cache.
//!
//! [`Authenticator::inspect`] has no clock and no I/O; it only caches credentials that it has verified. What it cannot
//! decide, it returns as a [`LookupKey`], so a forged credential never reaches the store.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::causes::{self, Causes};
use crate::checks::Checks;
use crate::clock::Moment;
use crate::cookie_cache::CookieCache;
use crate::cookie_cache::keys::PublicKeys;
use crate::credentials::{self, Credential, Credentials, Kind, Presented, RawCookie, Request};
use crate::error::Error;
use crate::identity::{Identity, UserId};
use crate::jwt::jwks::Jwks;
use crate::jwt::{Expected, Outcome, PendingToken, UserToken, Verifier};
use crate::origin;
use crate::refusal::{Cause, Check, Reason, Refusal};
use crate::settings::{
    AcceptedCredentials, CookieNames, Freshness, JwtFreshness, OwnField, Settings, TrustedOrigins,
};
use crate::signature::{Keys, SessionToken};
use crate::signature_cache::SignatureCache;
use crate::store::{LookupKey, LookupResult};

/// What is known about a request before the store is queried.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The request has no valid session.
    Refused(Refusal),
    /// The identity in a cache, if the operator chose one: Better Auth's signed snapshot, or the live cache.
    Known(Arc<Identity>),
    /// The signature is good: the store knows whether there is such a session or user.
    Lookup(LookupKey),
    /// Wait for the issuer's keys, then call [`Authenticator::inspect_token`].
    NeedsKeys(PendingToken, Need),
    /// Nothing can be said: the issuer's keys cannot be read, a token lacks what the model needs, or there is no
    /// database that would know.
    Unavailable(Unavailable),
}

/// What a route needs to know of a JWT's user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// What `jwt_freshness` says.
    Usual,
    /// What the store says now.
    Store,
}

/// Why nothing can be said of a well-signed token, or of any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The issuer's keys cannot be read.
    Keys,
    /// The table that holds them is missing or wrong.
    KeyTable(String),
    /// The token lacks a claim that the model needs; the message says which.
    Claims(String),
    /// Only a database knows the current state, and none is configured.
    Database,
}

impl From<Unavailable> for Error {
    fn from(why: Unavailable) -> Self {
        match why {
            Unavailable::Keys => Self::Keys,
            Unavailable::KeyTable(message) => Self::KeyTable(message),
            Unavailable::Claims(message) => Self::Schema(message),
            Unavailable::Database => Self::configuration(
                "get_fresh_user reads the user's row, and there is no database: set DATABASE_URL, or use \
                 get_current_user, which returns what the JWT claims",
            ),
        }
    }
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
    accepted: AcceptedCredentials,
    jwt: Option<Arc<JwtPath>>,
    causes: Arc<Causes>,
}

/// What verifies JWTs, and how current their users must be.
#[derive(Debug)]
struct JwtPath {
    verifier: Verifier,
    jwks: Jwks,
    freshness: JwtFreshness,
    has_database: bool,
    user_fields: Vec<OwnField>,
}

impl Authenticator {
    /// An authenticator for these settings. `public_keys` are those of the `jwks` table, which
    /// only the cookie cache signed by them needs.
    #[must_use]
    pub fn new(settings: &Settings, public_keys: &PublicKeys) -> Self {
        Self::with_checks(settings, public_keys, Arc::default())
    }

    /// The same, where it is known which checks have succeeded before.
    #[must_use]
    pub fn with_checks(settings: &Settings, public_keys: &PublicKeys, checks: Arc<Checks>) -> Self {
        let cookie_cache = settings.freshness.cookie_cache();
        let jwt = settings.jwt.as_ref().map(|jwt| {
            let expected = Expected { issuer: jwt.issuer.clone(), audience: jwt.audience.clone() };
            let jwks = Jwks::default();
            Arc::new(JwtPath {
                verifier: Verifier::new(expected, jwt.leeway, jwks.clone()),
                jwks,
                freshness: jwt.freshness,
                has_database: settings.database.is_some(),
                user_fields: settings.tables.user.own_fields.clone(),
            })
        });
        Self {
            accepted: settings.accepted,
            jwt,
            causes: Arc::new(Causes::new(settings, checks)),
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
        request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])> + Clone>,
        now: impl Into<Moment>,
    ) -> Verdict {
        self.inspect_for(Need::Usual, request, now.into()).1
    }

    /// The same for a route that needs the current state: never [`Verdict::Known`].
    pub fn inspect_for_store<'a>(
        &self,
        request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])> + Clone>,
        now: impl Into<Moment>,
    ) -> Verdict {
        self.inspect_for(Need::Store, request, now.into()).1
    }

    /// The same for either need, with the kind of credential that the request presents.
    pub fn inspect_for<'a>(
        &self,
        need: Need,
        request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])> + Clone>,
        now: Moment,
    ) -> (Option<Credential>, Verdict) {
        let kind = request.kind;
        // Read again only for the cause of a refusal.
        let again = Request::new(kind, request.headers().clone());
        let shown = Credentials::read(request.into_headers(), &self.names);
        let presented = shown.presented(kind, self.accepted);
        let credential = presented.credential();
        let verdict = self.inspect_presented(need, again, &shown, presented, now);
        (credential, verdict.unwrap_or_else(Verdict::Refused))
    }

    fn inspect_presented<'a>(
        &self,
        need: Need,
        again: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])>>,
        shown: &Credentials<'a>,
        presented: Presented<'a>,
        now: Moment,
    ) -> Result<Verdict, Refusal> {
        let kind = again.kind;
        let token = match presented {
            Presented::Nothing => return Err(self.causes.missing(again, shown, &self.origins)),
            Presented::Unusable => return Err(self.causes.unusable_token(again)),
            Presented::Jwt(token) => return Ok(self.inspect_jwt(need, token.as_str(), now)),
            Presented::SignedToken(token) => {
                let token = self.verify(Some(token.as_str().into()), || token.as_str().into())?;
                self.checks().pass(Check::Bearer);
                token
            }
            Presented::UnsignedToken(token) => {
                SessionToken::unsigned(token.as_str()).ok_or(Reason::BadToken)?
            }
            Presented::Cookie(cookie) => {
                self.check_origin(kind, shown)?;
                let token = self.verify_cookie(cookie)?;
                if let Some(identity) = self.read_cookie_cache(need, shown, &token, now.wall) {
                    return Ok(Verdict::Known(identity));
                }
                token
            }
        };
        Ok(Verdict::Lookup(token.into()))
    }

    /// What Better Auth's signed snapshot says beside this cookie, if it may answer.
    fn read_cookie_cache(
        &self,
        need: Need,
        shown: &Credentials<'_>,
        token: &SessionToken,
        now: DateTime<Utc>,
    ) -> Option<Arc<Identity>> {
        let cache = self.cookie_cache.as_ref().filter(|_| need == Need::Usual)?;
        let Some(data) = shown.session_data.decode() else {
            cache.is_absent();
            return None;
        };
        let identity = cache.read(&data, token, now)?;
        // A ban may have been lifted since: only the store refuses.
        Self::decide(LookupResult::Found(identity), now).ok()
    }

    fn inspect_jwt(&self, need: Need, token: &str, now: Moment) -> Verdict {
        let Some(jwt) = &self.jwt else { return Verdict::Refused(Reason::BadToken.into()) };
        self.judge_jwt(jwt, need, jwt.verifier.verify(token, now), token, now)
    }

    /// Decides about a token whose key was not known, once the keys were read for it.
    #[must_use]
    pub fn inspect_token(&self, token: &PendingToken, need: Need, now: Moment) -> Verdict {
        let Some(jwt) = &self.jwt else { return Verdict::Refused(Reason::BadToken.into()) };
        let outcome = jwt.verifier.verify_after_reading(token.as_str(), now);
        self.judge_jwt(jwt, need, outcome, token.as_str(), now)
    }

    fn judge_jwt(&self, jwt: &JwtPath, need: Need, outcome: Outcome, token: &str, now: Moment) -> Verdict {
        match outcome {
            Outcome::Verified(verified) => {
                self.checks().pass(Check::Jwt);
                jwt.judge(need, &verified, now)
            }
            Outcome::Rejected(why) => Verdict::Refused(self.causes.jwt(why, token, &jwt.jwks, now.wall)),
            Outcome::NeedsKeys => Verdict::NeedsKeys(PendingToken::new(token), need),
            Outcome::KeysUnavailable => {
                let of_table = jwt.jwks.table_problem().map(Unavailable::KeyTable);
                Verdict::Unavailable(of_table.unwrap_or(Unavailable::Keys))
            }
        }
    }

    /// The checks that have succeeded.
    #[must_use]
    pub fn checks(&self) -> &Checks {
        self.causes.checks()
    }

    /// Until the reading of the issuer's keys that is under way ends.
    pub async fn keys_read(&self) {
        if let Some(jwt) = &self.jwt {
            jwt.verifier.keys_read().await;
        }
    }

    /// The issuer's keys, which a task has to read.
    #[must_use]
    pub fn jwks(&self) -> Option<&Jwks> {
        self.jwt.as_ref().map(|jwt| &jwt.jwks)
    }

    /// The verified JWT that this request presents, as far as the keys are known.
    pub fn user_token<'a>(
        &self,
        request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])>>,
        now: Moment,
    ) -> Option<UserToken> {
        let kind = request.kind;
        let shown = Credentials::read(request.into_headers(), &self.names);
        let Presented::Jwt(token) = shown.presented(kind, self.accepted) else { return None };
        match self.jwt.as_ref()?.verifier.verify(token.as_str(), now) {
            Outcome::Verified(token) => Some(token),
            _ => None,
        }
    }

    /// Decides from a cookie's value, percent-encoded or not. There are no headers, so the origin is not checked.
    #[must_use]
    pub fn inspect_value(&self, value: &str) -> Verdict {
        if value.is_empty() {
            let reason = if self.accepted.cookie { Reason::NoCookie } else { Reason::NoToken };
            return Verdict::Refused(reason.into());
        }
        if !self.accepted.cookie {
            return Verdict::Refused(Refusal::caused_by(Reason::NoToken, Cause::CookieNotListed, None));
        }
        match self.verify(credentials::decode(Cow::Borrowed(value)), || value.into()) {
            Ok(token) => Verdict::Lookup(token.into()),
            Err(refusal) => Verdict::Refused(refusal),
        }
    }

    /// The session cookie as it stands in the headers; None if a bearer token decides instead.
    pub fn session_cookie<'a>(
        &self,
        request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])>>,
    ) -> Option<Cow<'a, str>> {
        let kind = request.kind;
        match Credentials::read(request.into_headers(), &self.names).presented(kind, self.accepted) {
            Presented::Cookie(cookie) => {
                // Until then, a missing cookie may come from a wrong setting: see `missing_cookie`.
                if !self.checks().has_passed(Check::Cookie) {
                    let _shows_the_settings_right = self.verify_cookie(cookie);
                }
                Some(cookie.as_text())
            }
            _ => None,
        }
    }

    /// Why [`Self::session_cookie`] is None, if a wrong setting or client may be the cause. [`Self::inspect_value`] sees
    /// no headers, so it cannot say.
    pub fn missing_cookie<'a>(
        &self,
        request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])> + Clone>,
    ) -> Option<Refusal> {
        let again = Request::new(request.kind, request.headers().clone());
        let kind = request.kind;
        let shown = Credentials::read(request.into_headers(), &self.names);
        let refusal = match shown.presented(kind, self.accepted) {
            Presented::Nothing => self.causes.missing(again, &shown, &self.origins),
            Presented::Unusable => self.causes.unusable_token(again),
            _ => return None,
        };
        refusal.cause.is_some().then_some(refusal)
    }

    /// Messages for an operator that came up since the last call.
    #[must_use]
    pub fn take_messages(&self) -> Vec<String> {
        let of_cookies = self.cookie_cache.iter().flat_map(CookieCache::take_messages);
        of_cookies.chain(self.jwks().into_iter().flat_map(Jwks::take_messages)).collect()
    }

    /// Decides what was found, at the time of the request.
    ///
    /// # Errors
    /// The refusal. A session is valid up to and including `expires_at`, as in Better Auth.
    pub fn decide(found: LookupResult, now: DateTime<Utc>) -> Result<Arc<Identity>, Refusal> {
        match found {
            LookupResult::Found(identity) if has_expired(&identity, now) => Err(Reason::Expired.into()),
            LookupResult::Found(identity) if is_banned(&identity, now) => Err(Reason::Banned.into()),
            LookupResult::Found(identity) => Ok(identity),
            LookupResult::NoSession => Err(Reason::UnknownSession.into()),
            LookupResult::NoUser => Err(Reason::UnknownUser.into()),
            LookupResult::Unreadable | LookupResult::Misfit(_) => Err(Reason::Unreadable.into()),
        }
    }

    fn check_origin(&self, kind: Kind, shown: &Credentials<'_>) -> Result<(), Refusal> {
        origin::check(kind, shown, &self.origins, &self.names).map_err(|origin| {
            let cause = causes::of_origin(shown.origin, shown.sec_fetch_site);
            Refusal::caused_by(Reason::Origin, cause, Some(origin))
        })
    }

    fn verify_cookie(&self, cookie: RawCookie<'_>) -> Result<SessionToken, Refusal> {
        if let Some(token) = self.signature_cache.as_ref().and_then(|cache| cache.get(cookie)) {
            return Ok(token);
        }
        let token = self.verify(cookie.decode(), || cookie.as_text())?;
        self.checks().pass(Check::Cookie);
        self.signature_cache.iter().for_each(|cache| cache.put(cookie, &token));
        Ok(token)
    }

    /// The token of a decoded value. `raw` is the value as it came.
    fn verify<'a>(
        &self,
        value: Option<Cow<'_, str>>,
        raw: impl FnOnce() -> Cow<'a, str>,
    ) -> Result<SessionToken, Refusal> {
        let token = value.and_then(|value| self.keys.verify(&value));
        let token = token.ok_or_else(|| self.causes.bad_signature(&raw()))?;
        self.checks().pass(Check::Signature);
        Ok(token)
    }
}

impl JwtPath {
    fn judge(&self, need: Need, token: &UserToken, now: Moment) -> Verdict {
        if need == Need::Store && !self.has_database {
            return Verdict::Unavailable(Unavailable::Database);
        }
        if need == Need::Store || self.freshness != JwtFreshness::Claims {
            return Verdict::Lookup(LookupKey::User(UserId::new(token.user_id())));
        }
        let identity = match token.identity(&self.user_fields) {
            Ok(identity) => identity,
            Err(message) => return Verdict::Unavailable(Unavailable::Claims(message)),
        };
        match Authenticator::decide(LookupResult::Found(identity), now.wall) {
            Ok(identity) => Verdict::Known(identity),
            Err(refusal) => Verdict::Refused(refusal),
        }
    }
}

/// A session is valid up to and including `expires_at`. A JWT was checked when it was verified.
fn has_expired(identity: &Identity, now: DateTime<Utc>) -> bool {
    identity.session.as_ref().is_some_and(|session| session.expires_at < now)
}

/// Better Auth lets a ban lapse at `banExpires`.
fn is_banned(identity: &Identity, now: DateTime<Utc>) -> bool {
    identity.user.ban.is_some_and(|ban| ban.expires_at.is_none_or(|expires_at| expires_at >= now))
}
