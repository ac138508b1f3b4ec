//! What an operator can do about a cause: one sentence on what is wrong, and the setting to change.

use std::fmt::Write as _;

use crate::refusal::{Cause, Refusal};
use crate::settings::{Common, KeyLocation, Settings, common};

/// How the auth server's secret is compared with ours.
const COMPARE: &str = "compare it with the command that `python -m auth_middleware doctor` prints";

/// The message about a refusal, if it may come from a wrong setting. Never contains a credential.
#[must_use]
pub fn advice(refusal: &Refusal, settings: &Settings) -> Option<String> {
    let cause = refusal.cause?;
    let detail = refusal.detail.as_deref().unwrap_or("something");
    Some(of_name_or_host(cause, detail, settings).or_else(|| of_kind(cause)).unwrap_or_else(|| match cause {
        Cause::UntrustedOrigin | Cause::NullOrigin | Cause::SeveralOrigins | Cause::NoOrigin => {
            of_origin(cause, detail)
        }
        Cause::NoSessionRow | Cause::NoUserRow | Cause::AllExpired | Cause::ClockAhead => {
            of_row(cause, detail)
        }
        Cause::KnownSecret | Cause::FormerSecret | Cause::OtherSecret => of_secret(cause, detail, settings),
        _ => of_jwt(cause, detail, settings),
    }))
}

/// Causes that a cookie's name or the host name shows.
fn of_name_or_host(cause: Cause, detail: &str, settings: &Settings) -> Option<String> {
    let expected = &settings.cookie_names.session_token;
    let text = match cause {
        Cause::OtherSpelling => format!(
            "a request carries the cookie {detail}, but the settings expect its other spelling: set BETTER_AUTH_URL to \
             the URL that the Better Auth server itself uses (https means __Secure-), or set \
             AUTH_MIDDLEWARE_SECURE_COOKIES"
        ),
        Cause::OtherPrefix => {
            let mut text =
                format!("a request carries the cookie {detail}, but the settings expect {expected}: ");
            let bare = detail.strip_prefix("__Secure-").unwrap_or(detail);
            let prefix =
                bare.rsplit_once(".session_").map(|(prefix, _)| prefix).filter(|text| !text.is_empty());
            let _infallible = match prefix {
                Some(prefix) => write!(
                    text,
                    "set AUTH_MIDDLEWARE_COOKIE_PREFIX={prefix} if that is Better Auth's advanced.cookiePrefix, and leave \
                     AUTH_MIDDLEWARE_COOKIE_NAME unset"
                ),
                None => write!(text, "set AUTH_MIDDLEWARE_COOKIE_NAME to the name that Better Auth sets"),
            };
            text
        }
        Cause::RenamedCookie => format!(
            "the cookie {detail} is signed by the Better Auth server, but the settings expect {expected}: set {}",
            of_signed_name(detail, settings.cookie_names.is_secure())
        ),
        Cause::NoCookieOfPage => format!(
            "a page of {detail} sent a request without any cookie. If its user is signed in, fetch with \
             credentials: \"include\", add CORSMiddleware with allow_origins=[{detail:?}] and allow_credentials=True, \
             and add the origin to trusted_origins (BETTER_AUTH_TRUSTED_ORIGINS)"
        ),
        Cause::SessionDataAlone => format!(
            "a request carries the cookie {detail} without {expected}, so it does not identify a session: send every cookie \
             of the Better Auth server, and if session_token was renamed there, set AUTH_MIDDLEWARE_COOKIE_NAME"
        ),
        Cause::OtherMachineName => format!(
            "a request without our cookie used the name {detail}: cookies belong to a host, not to a port, so browsers \
             send a cookie of BETTER_AUTH_URL's host to no other name. Use one name for the page, this API and Better \
             Auth"
        ),
        Cause::OtherHost => {
            let base = settings.trusted_origins.base().map(crate::origin::host_name).unwrap_or_default();
            format!(
                "a request to {detail} has no session cookie: cookies of {base} do not reach {detail}: {}",
                of_two_hosts(base, detail)
            )
        }
        _ => return None,
    };
    Some(text)
}

/// How a cookie or another credential gets from one host to the other.
fn of_two_hosts(base: &str, host: &str) -> String {
    match common(base, host) {
        Common::Domain(_) => "set advanced.crossSubDomainCookies at the Better Auth server, or use JWTs \
                              (AUTH_MIDDLEWARE_CREDENTIALS=jwt)"
            .to_owned(),
        Common::Suffix(suffix) => format!(
            "these hosts share only the public suffix {suffix}, and browsers refuse a cookie for it or send it to other \
             customers' hosts too: use names under a domain of your own with advanced.crossSubDomainCookies at the Better Auth server, or a proxy that serves both from one \
             host, or JWTs (AUTH_MIDDLEWARE_CREDENTIALS=jwt)"
        ),
        Common::Nothing => {
            "cookies cannot be shared between these domains, so use JWTs (AUTH_MIDDLEWARE_CREDENTIALS=jwt), or move both \
             to one domain and set advanced.crossSubDomainCookies at the Better Auth server"
                .to_owned()
        }
    }
}

/// The settings with which a cookie of this name, which Better Auth signed, is the session cookie.
fn of_signed_name(name: &str, is_secure: bool) -> String {
    const SECURE: &str = "__Secure-";
    let bare = name.strip_prefix(SECURE).unwrap_or(name);
    let secure = match (name.starts_with(SECURE), is_secure) {
        (true, false) => " and AUTH_MIDDLEWARE_SECURE_COOKIES=true",
        (false, true) => " and AUTH_MIDDLEWARE_SECURE_COOKIES=false",
        _ => "",
    };
    let prefix = bare
        .strip_suffix(".session_token")
        .filter(|prefix| !prefix.is_empty() && !bare.starts_with("__Host-"));
    let Some(prefix) = prefix else {
        return format!("AUTH_MIDDLEWARE_COOKIE_NAME={bare}{secure}");
    };
    format!("AUTH_MIDDLEWARE_COOKIE_PREFIX={prefix}{secure}, and leave AUTH_MIDDLEWARE_COOKIE_NAME unset")
}

/// Causes that the kind or the form of the credential shows.
fn of_kind(cause: Cause) -> Option<String> {
    let text = match cause {
        Cause::CookieNotListed => {
            "a session cookie was presented, and credentials (AUTH_MIDDLEWARE_CREDENTIALS) does not list \"cookie\": add \
             it, or send a bearer token in the Authorization header"
        }
        Cause::BearerNotListed => {
            "a request has a session token in its Authorization header, and credentials (AUTH_MIDDLEWARE_CREDENTIALS) \
             does not list \"bearer\": add it"
        }
        Cause::JwtNotListed => {
            "a request has a JWT in its Authorization header, and credentials (AUTH_MIDDLEWARE_CREDENTIALS) does not \
             list \"jwt\": add it"
        }
        Cause::NoBearerScheme => {
            "a request has a token in its Authorization header without the scheme Bearer, with another scheme, or with \
             a scheme twice: send \"Authorization: Bearer <token>\". credentials (AUTH_MIDDLEWARE_CREDENTIALS) must \
             list its kind, \"jwt\" or \"bearer\""
        }
        Cause::SeveralTokens => {
            "a request has several Authorization headers, or one of them and a token in its WebSocket protocols, so the \
             credential is ambiguous: send one. A proxy may add one of its own"
        }
        Cause::Malformed => {
            "a credential is not a token and its signature: it was cut or changed in transit, or the client sent a \
             variable without a value. Send the cookie's value, or the header set-auth-token, unchanged"
        }
        Cause::BareToken => {
            "a request has the bare token of a session, as it is in the database: send the signed one, which is the cookie's \
             value or the header set-auth-token of a sign-in (bearer tokens without a signature require \
             AUTH_MIDDLEWARE_BEARER_UNSIGNED)"
        }
        Cause::EncodedTwice => {
            "a session token is percent-encoded twice: send the cookie's value as the browser has it, without \
             encodeURIComponent or quote"
        }
        Cause::SignatureEncoding => {
            "a session token's signature is not in padded standard base64 (base64url, without \"=\", or with spaces for \
             \"+\"): it was encoded again, or decoded as form data. Send the cookie's value unchanged"
        }
        Cause::SessionDataAsToken => {
            "a request has session_data, the cookie cache, in place of the session token: send the cookie \
             session_token"
        }
        Cause::JwtAsCookie => {
            "a request has a JWT in place of the session cookie: send it as \"Authorization: Bearer <jwt>\", and list \
             \"jwt\" in credentials (AUTH_MIDDLEWARE_CREDENTIALS)"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

fn of_secret(cause: Cause, detail: &str, settings: &Settings) -> String {
    let fingerprint = settings.secrets.fingerprint();
    match cause {
        Cause::KnownSecret => format!(
            "the Better Auth server signs with {detail} (docker run --env-file keeps quotes, and without BETTER_AUTH_SECRET \
             it uses the public default, with which anybody can impersonate any user): set BETTER_AUTH_SECRET there to \
             exactly the value that it has here; users then have to sign in again"
        ),
        Cause::FormerSecret => "a session token is signed with an older secret of BETTER_AUTH_SECRETS: Better Auth no \
             longer accepts it, and this API accepts it only if AUTH_MIDDLEWARE_PREVIOUS_SECRETS contains it. If the \
             Better Auth server still signs with it, list it first"
            .to_owned(),
        _ => format!(
            "a session token has a bad signature: BETTER_AUTH_SECRET differs from the Better Auth server's secret, or the \
             cookie was changed. The fingerprint here is {fingerprint}; {COMPARE}"
        ),
    }
}

fn of_row(cause: Cause, detail: &str) -> String {
    match cause {
        Cause::NoSessionRow => "a well-signed session token has no row in the session table: its user signed out, or Better \
             Auth keeps its sessions in secondary storage only (set session.storeSessionInDatabase: true there; before \
             Better Auth 1.7, preserveSessionInDatabase would keep sessions valid here after sign-out), or DATABASE_URL \
             is for a database other than Better Auth's"
            .to_owned(),
        Cause::NoUserRow => "the user of a verified JWT has no row in the user table: the user was deleted, or \
             DATABASE_URL is for a database other than Better Auth's"
            .to_owned(),
        Cause::ClockAhead => format!(
            "a session has expired by the clock of this machine, which was {detail} ahead of the database server's when \
             a connection was opened, and would not have expired by that one: synchronise both clocks with NTP"
        ),
        _ => {
            let what = if detail == "JWT" {
                "every JWT so far had expired a short time before: check the clocks of this machine and of the Better Auth server, and \
                 that clients fetch a new token in time"
            } else {
                "every session so far had expired a short time before: check the clock of this machine, and database_time_zone \
                 (AUTH_MIDDLEWARE_DATABASE_TIME_ZONE) if expires_at is a column without a time zone"
            };
            what.to_owned()
        }
    }
}

fn of_origin(cause: Cause, detail: &str) -> String {
    match cause {
        Cause::NullOrigin => "refused a request from origin null, which sandboxed frames, files and redirects between sites \
             send: it cannot be trusted, since any page can send it. Serve the page from an origin of its own, and trust \
             that origin (BETTER_AUTH_TRUSTED_ORIGINS)"
            .to_owned(),
        Cause::SeveralOrigins => "refused a request with several Origin or Sec-Fetch-Site headers, which no browser sends: \
             a proxy in front of this application adds one. Remove it there"
            .to_owned(),
        Cause::NoOrigin => "refused a request from another site that has no Origin header, although browsers send one: \
             a proxy in front of this application removes it. Configure it to forward Origin"
            .to_owned(),
        _ => format!(
            "refused a request from origin {detail}: if that is your own page, add it to trusted_origins \
             (BETTER_AUTH_TRUSTED_ORIGINS)"
        ),
    }
}

fn of_jwt(cause: Cause, detail: &str, settings: &Settings) -> String {
    let jwt = settings.jwt.as_ref();
    let keys = match jwt.map(|jwt| &jwt.keys) {
        Some(KeyLocation::Table) => "Better Auth's jwks table (DATABASE_URL, AUTH_MIDDLEWARE_JWKS_TABLE)",
        _ => "the JWKS URL (AUTH_MIDDLEWARE_JWKS_URL, by default below BETTER_AUTH_URL)",
    };
    match cause {
        Cause::JwtIssuer => format!(
            "a JWT is from issuer {detail:?}, but jwt_issuer (AUTH_MIDDLEWARE_JWT_ISSUER, by default the origin of \
             BETTER_AUTH_URL) is {:?}: set it to the iss of the Better Auth server's tokens",
            jwt.map(|jwt| jwt.issuer.as_str()).unwrap_or_default()
        ),
        Cause::JwtAudience => format!(
            "a JWT is for audience {detail:?}, but jwt_audience (AUTH_MIDDLEWARE_JWT_AUDIENCE, by default the origin of \
             BETTER_AUTH_URL) is {:?}: set it to the aud of the Better Auth server's tokens",
            jwt.map(|jwt| jwt.audience.as_str()).unwrap_or_default()
        ),
        Cause::JwtUnknownKey => format!(
            "a JWT is signed with the key {detail:?}, which is not in {keys}: the token is from another server, or its \
             key has expired"
        ),
        Cause::JwtNoKeys => {
            format!(
                "a JWT cannot be verified, because {keys} has no key that can be used: check that setting"
            )
        }
        Cause::JwtFromFuture => format!(
            "a JWT was issued {detail} in the future: synchronise the clocks of this machine and of the Better Auth \
             server; for small differences, raise jwt_leeway_seconds (AUTH_MIDDLEWARE_JWT_LEEWAY_SECONDS)"
        ),
        Cause::JwtOfOtherKind => format!(
            "a JWT was not issued by Better Auth's jwt plugin ({detail}): OAuth access tokens (at+jwt) and the cookie cache \
             are not accepted, and keys must be EdDSA (Ed25519), ES256, RS256 or PS256. Send the token from /api/auth/token"
        ),
        _ => format!("a JWT is invalid: {detail}. Send the token from /api/auth/token unchanged"),
    }
}
