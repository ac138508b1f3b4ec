//! Why a request is refused: a closed list, for the operator's log and counters only.
//! Clients get a status and a uniform sentence that does not help a forger.

mod cause;

use chrono::{DateTime, Utc};

pub use cause::{Cause, Check};

/// The reasons, in the order in which they are checked. The first one that applies is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request has no session cookie.
    NoCookie,
    /// It has only the cookie's other spelling (`__Secure-` or not): a setting is wrong.
    WrongCookieName,
    /// The request has no bearer token, and the settings accept nothing else.
    NoToken,
    /// A browser page from an origin that is not ours sent it.
    Origin,
    /// The cookie was not signed with our secret.
    BadSignature,
    /// The bearer token is none of an accepted kind, or a JWT that our issuer did not sign for us; or there are several.
    BadToken,
    /// No session row has this token: signed out, or never was.
    UnknownSession,
    /// The session's user row is gone.
    UnknownUser,
    /// The rows cannot be read as a session: a time at infinity, or a token that two rows share.
    Unreadable,
    /// The session or the JWT has expired.
    Expired,
    /// The user is banned. Better Auth checks that only at sign-in; we check it for each request.
    Banned,
}

impl Reason {
    /// Every reason, in the order of the enum.
    pub const ALL: [Self; 11] = [
        Self::NoCookie,
        Self::WrongCookieName,
        Self::NoToken,
        Self::Origin,
        Self::BadSignature,
        Self::BadToken,
        Self::UnknownSession,
        Self::UnknownUser,
        Self::Unreadable,
        Self::Expired,
        Self::Banned,
    ];

    /// The name in logs and counters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoCookie => "no_cookie",
            Self::WrongCookieName => "wrong_cookie_name",
            Self::NoToken => "no_token",
            Self::Origin => "origin",
            Self::BadSignature => "bad_signature",
            Self::BadToken => "bad_token",
            Self::UnknownSession => "unknown_session",
            Self::UnknownUser => "unknown_user",
            Self::Unreadable => "unreadable",
            Self::Expired => "expired",
            Self::Banned => "banned",
        }
    }

    /// Whether the request has no credential at all, as opposed to an invalid one.
    #[must_use]
    pub const fn is_anonymous(self) -> bool {
        matches!(self, Self::NoCookie | Self::WrongCookieName | Self::NoToken)
    }
}

/// A reason, and what an operator needs to act on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// What is probably wrong, if the refusal may come from a wrong setting.
    pub cause: Option<Cause>,
    /// The refused origin, the cookie name or host name that came instead, or a claim of a JWT. Printable, of bounded
    /// length and never a credential, but perhaps chosen by whoever sent the request.
    pub detail: Option<String>,
    /// When the session expired, if that is why.
    pub expired_at: Option<DateTime<Utc>>,
}

impl Refusal {
    /// A refusal that a wrong setting may have caused.
    #[must_use]
    pub fn caused_by(reason: Reason, cause: Cause, detail: Option<String>) -> Self {
        Self { reason, cause: Some(cause), detail, expired_at: None }
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, cause: None, detail: None, expired_at: None }
    }
}
