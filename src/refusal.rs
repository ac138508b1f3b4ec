//! Why a request is nobody's: a closed list, for the operator's log and counters only.
//! Clients get a status and a uniform sentence that helps no forger.

/// The reasons, in the order in which a request can meet them. The first that holds is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request shows no session cookie.
    NoCookie,
    /// It shows only the cookie's other spelling (`__Secure-` or not): a setting is wrong.
    WrongCookieName,
    /// A browser page from an origin that is not ours sent it.
    Origin,
    /// The cookie was not signed with our secret.
    BadSignature,
    /// No session row has this token: signed out, or never was.
    UnknownSession,
    /// The session's user row is gone.
    UnknownUser,
    /// The rows cannot be read as a session: a time at infinity, or a token that two rows share.
    Unreadable,
    /// The session's time is over.
    Expired,
    /// The user is banned. Better Auth looks at that only when somebody signs in; we look at each
    /// request.
    Banned,
}

impl Reason {
    /// Every reason, for counters that start at nought.
    pub const ALL: [Self; 9] = [
        Self::NoCookie,
        Self::WrongCookieName,
        Self::Origin,
        Self::BadSignature,
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
            Self::Origin => "origin",
            Self::BadSignature => "bad_signature",
            Self::UnknownSession => "unknown_session",
            Self::UnknownUser => "unknown_user",
            Self::Unreadable => "unreadable",
            Self::Expired => "expired",
            Self::Banned => "banned",
        }
    }

    /// Whether the request showed nothing at all, as opposed to something that is no good.
    #[must_use]
    pub const fn is_anonymous(self) -> bool {
        matches!(self, Self::NoCookie | Self::WrongCookieName)
    }
}

/// A reason, and what an operator needs to act on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// The origin that was refused, or the cookie name that came instead; printable, bounded,
    /// never a credential.
    pub detail: Option<String>,
}

impl Refusal {
    /// A refusal about something a log may show.
    #[must_use]
    pub fn with_detail(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: Some(detail.into()) }
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, detail: None }
    }
}
