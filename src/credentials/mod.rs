//! 1 — What does the request show? One pass over the ASGI headers.
//!
//! A request presents exactly one credential, and [`Credentials::presented`] says which: with a
//! bearer token in it, and bearer tokens accepted, the cookie beside it is nothing.

mod authorization;
mod cookies;

use self::authorization::BearerTokens;
pub use self::authorization::{BEARER_PROTOCOL, BearerToken};
pub use self::cookies::{RawCookie, SessionData, decode};
pub(crate) use self::cookies::{cookies, unquote as unquote_value};
use self::cookies::{trim, unquote};
use crate::settings::{AcceptedCredentials, CookieNames};

/// The one credential that decides who sent the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presented<'a> {
    /// None of an accepted kind.
    Nothing,
    /// The session cookie.
    Cookie(RawCookie<'a>),
    /// A session token with its signature, decoded.
    SignedToken(BearerToken<'a>),
    /// A session token alone, where the operator accepts that.
    UnsignedToken(BearerToken<'a>),
    /// A JWT.
    Jwt(BearerToken<'a>),
    /// Bearer tokens that are not one of an accepted kind: nothing else is tried.
    Unusable,
}

/// The kinds of credentials, for metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// The session cookie, or its value.
    Cookie,
    /// A session token in `Authorization`; also a bearer token that is of no accepted kind.
    Bearer,
    /// A JWT in `Authorization`.
    Jwt,
}

impl Credential {
    /// Every kind, in the order of the enum.
    pub const ALL: [Self; 3] = [Self::Cookie, Self::Bearer, Self::Jwt];

    /// The name in metrics, in logs and in the setting `credentials`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::Bearer => "bearer",
            Self::Jwt => "jwt",
        }
    }
}

impl Presented<'_> {
    /// The kind of what is presented; None if nothing is.
    #[must_use]
    pub fn credential(&self) -> Option<Credential> {
        match self {
            Self::Nothing => None,
            Self::Cookie(_) => Some(Credential::Cookie),
            Self::SignedToken(_) | Self::UnsignedToken(_) | Self::Unusable => Some(Credential::Bearer),
            Self::Jwt(_) => Some(Credential::Jwt),
        }
    }
}

/// What sort of request it is, as far as a forged one could do harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// GET, HEAD, OPTIONS: changes nothing (RFC 9110 §9.2.1).
    SafeHttp,
    /// Every other method.
    UnsafeHttp,
    /// A WebSocket handshake: a GET, but browsers let every page open one, with cookies.
    Handshake,
}

impl Kind {
    /// The kind of an HTTP method, in upper case as ASGI gives it.
    #[must_use]
    pub fn of_method(method: &str) -> Self {
        match method {
            "GET" | "HEAD" | "OPTIONS" => Self::SafeHttp,
            _ => Self::UnsafeHttp,
        }
    }
}

/// A request's kind and headers: ASGI's pairs of bytes, names in lower case.
pub struct Request<I> {
    /// Its kind.
    pub kind: Kind,
    headers: I,
}

impl<'a, I: IntoIterator<Item = (&'a [u8], &'a [u8])>> Request<I> {
    /// A request as ASGI describes it.
    pub fn new(kind: Kind, headers: I) -> Self {
        Self { kind, headers }
    }

    pub(crate) fn headers(&self) -> &I {
        &self.headers
    }

    pub(crate) fn into_headers(self) -> I {
        self.headers
    }
}

/// A header that must come once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Header<'a> {
    /// It did not come.
    #[default]
    Absent,
    /// It came once.
    Once(&'a [u8]),
    /// It came more than once: no browser does that.
    Repeated,
}

impl<'a> Header<'a> {
    fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Absent => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }
}

/// What a request shows of its sender.
#[derive(Clone, Debug, Default)]
pub struct Credentials<'a> {
    /// The session cookie, still encoded; None when there is none or it is empty.
    pub session_cookie: Option<RawCookie<'a>>,
    /// The cookie cache's cookie, or its chunks.
    pub session_data: SessionData<'a>,
    /// Whether the cookie's other spelling (`__Secure-` or not) came.
    pub other_spelling: bool,
    /// `Origin`.
    pub origin: Header<'a>,
    /// `Sec-Fetch-Site`.
    pub sec_fetch_site: Header<'a>,
    /// `Host`.
    pub host: Header<'a>,
    /// `Authorization: Bearer`, and the bearer token among a handshake's protocols.
    bearer_tokens: BearerTokens<'a>,
}

impl<'a> Credentials<'a> {
    /// Whether a header of this name has a part in who sent a request, or in what is logged of it. Two requests of one [`Kind`] whose headers of these
    /// names are equal have one sender.
    #[must_use]
    pub fn depend_on(name: &[u8]) -> bool {
        matches!(
            name,
            b"cookie"
                | b"origin"
                | b"sec-fetch-site"
                | b"sec-fetch-mode"
                | b"host"
                | b"authorization"
                | b"sec-websocket-protocol"
        )
    }

    /// Reads the headers once.
    pub fn read(headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>, names: &CookieNames) -> Self {
        let mut shown = Self::default();
        let mut session_cookie = None;
        for (name, value) in headers {
            match name {
                b"cookie" => {
                    for (name, value) in cookies(value) {
                        if name == names.session_token.as_bytes() {
                            // First wins, also across several Cookie headers (HTTP/2 splits them).
                            session_cookie.get_or_insert(RawCookie::new(unquote(trim(value))));
                        } else if let Some(rest) = name.strip_prefix(names.session_data.as_bytes()) {
                            shown.session_data.add(rest, value);
                        } else if name == names.other_spelling.as_bytes() {
                            shown.other_spelling = true;
                        }
                    }
                }
                b"origin" => shown.origin.add(value),
                b"sec-fetch-site" => shown.sec_fetch_site.add(value),
                b"host" => shown.host.add(value),
                b"authorization" => shown.bearer_tokens.add_authorization(value),
                b"sec-websocket-protocol" => shown.bearer_tokens.add_protocols(value),
                _ => {}
            }
        }
        shown.session_cookie = session_cookie.filter(|cookie| !cookie.as_bytes().is_empty());
        shown
    }

    /// The credential that decides. A bearer token, good or bad, is never replaced by the cookie
    /// beside it, nor read as the other kind of bearer token: what two readers of one request
    /// could see as two people is refused.
    #[must_use]
    pub fn presented(&self, kind: Kind, accepted: AcceptedCredentials) -> Presented<'a> {
        let is_handshake = kind == Kind::Handshake;
        if accepted.any_bearer() && self.bearer_tokens.is_any(is_handshake) {
            let one = self.bearer_tokens.only(is_handshake);
            return one.map_or(Presented::Unusable, |token| token.into_presented(accepted));
        }
        match self.session_cookie {
            Some(cookie) if accepted.cookie => Presented::Cookie(cookie),
            _ => Presented::Nothing,
        }
    }
}

#[cfg(test)]
mod tests;
