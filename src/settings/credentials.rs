//! Which kinds of credentials a request may present.

use super::given;
use crate::error::Error;

/// The kinds of credentials that the operator accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedCredentials {
    /// Better Auth's session cookie.
    pub cookie: bool,
    /// A session token as a bearer token.
    pub bearer: Option<BearerForm>,
    /// A JWT as a bearer token.
    pub jwt: bool,
}

/// What a session token must bring when it is a bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BearerForm {
    /// Its signature.
    Signed,
    /// Its signature, or nothing: whoever reads a token in the database is then the user.
    SignedOrNot,
}

impl AcceptedCredentials {
    /// The session cookie alone, which is the default.
    pub const COOKIE: Self = Self { cookie: true, bearer: None, jwt: false };
    /// JWTs alone, which is the default where Neon runs the Better Auth server.
    pub const JWT: Self = Self { cookie: false, bearer: None, jwt: true };

    /// Whether any bearer token is accepted: only then does one decide.
    #[must_use]
    pub const fn any_bearer(self) -> bool {
        self.bearer.is_some() || self.jwt
    }

    /// Whether credentials are accepted that Better Auth signed with its secret, or whose session is
    /// looked up.
    #[must_use]
    pub const fn any_session(self) -> bool {
        self.cookie || self.bearer.is_some()
    }

    /// Checks `credentials` and `bearer_unsigned`.
    pub(super) fn check(
        kinds: &[String],
        bearer_unsigned: Option<bool>,
        default: Self,
    ) -> Result<Self, Error> {
        let listed: Vec<&str> = kinds.iter().filter_map(|kind| given(Some(kind))).collect();
        let mut accepted = default;
        if !listed.is_empty() {
            accepted = Self { cookie: false, bearer: None, jwt: false };
        }
        for kind in listed {
            match kind {
                "cookie" => accepted.cookie = true,
                "bearer" => accepted.bearer = Some(BearerForm::Signed),
                "jwt" => accepted.jwt = true,
                other => {
                    return Err(Error::configuration(format!(
                        "credentials (AUTH_MIDDLEWARE_CREDENTIALS) holds {other:?}: use \"cookie\", \"bearer\" and \
                         \"jwt\", separated by commas"
                    )));
                }
            }
        }
        if bearer_unsigned.unwrap_or(false) {
            let missing = "bearer_unsigned (AUTH_MIDDLEWARE_BEARER_UNSIGNED) is true, and credentials \
                           (AUTH_MIDDLEWARE_CREDENTIALS) does not list \"bearer\": add it, or leave bearer_unsigned out";
            accepted.bearer.ok_or_else(|| Error::configuration(missing))?;
            accepted.bearer = Some(BearerForm::SignedOrNot);
        }
        Ok(accepted)
    }
}

impl Default for AcceptedCredentials {
    fn default() -> Self {
        Self::COOKIE
    }
}
