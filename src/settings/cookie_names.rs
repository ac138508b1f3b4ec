//! What Better Auth calls its cookies (`createCookieGetter`): an optional `__Secure-`, and a
//! name of one's own or `<prefix>.session_token`.

use super::given;
use crate::error::Error;

const SECURE: &str = "__Secure-";
const DEFAULT_PREFIX: &str = "better-auth";

/// The names of the cookies, worked out once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieNames {
    /// The signed session token's cookie.
    pub session_token: String,
    /// The same name with `__Secure-` where ours has none, and without where it has: when only
    /// this one comes, a setting is wrong. It is never accepted, or a sibling host could plant it.
    pub other_spelling: String,
}

impl CookieNames {
    /// The names that these settings lead to.
    ///
    /// `secure` decides about `__Secure-`, else the base URL's scheme does. A `name` of one's own
    /// drops the prefix and keeps `__Secure-`; with neither a base URL nor `secure` it is the
    /// whole name.
    ///
    /// # Errors
    /// [`Error::Configuration`] when nothing tells which name it is, or it is not a cookie name.
    pub fn check(
        https_base_url: Option<bool>,
        prefix: Option<&str>,
        name: Option<&str>,
        secure: Option<bool>,
    ) -> Result<Self, Error> {
        let (prefix, name) = (given(prefix), given(name));
        let secure = match secure.or(https_base_url) {
            Some(secure) => secure,
            None if name.is_some() => false,
            None => {
                return Err(Error::configuration(
                    "the session cookie's name is unknown: set BETTER_AUTH_URL to the Better Auth \
                 server's base URL (https means the name begins with __Secure-), or \
                 AUTH_MIDDLEWARE_SECURE_COOKIES, or AUTH_MIDDLEWARE_COOKIE_NAME",
                ));
            }
        };
        let bare =
            name.map_or_else(|| format!("{}.session_token", prefix.unwrap_or(DEFAULT_PREFIX)), str::to_owned);
        if !bare.bytes().all(is_token_byte) {
            return Err(Error::configuration(
                "cookie_name or cookie_prefix (AUTH_MIDDLEWARE_COOKIE_NAME, AUTH_MIDDLEWARE_COOKIE_PREFIX) \
                 holds a character that no cookie name can have",
            ));
        }
        Ok(Self::spelled(bare, secure))
    }

    fn spelled(bare: String, secure: bool) -> Self {
        // Somebody who copied the whole name from the browser means that name.
        let bare = bare.strip_prefix(SECURE).map(str::to_owned).map_or((bare, secure), |rest| (rest, true));
        let (bare, secure) = bare;
        let prefixed = format!("{SECURE}{bare}");
        if secure {
            Self { session_token: prefixed, other_spelling: bare }
        } else {
            Self { session_token: bare, other_spelling: prefixed }
        }
    }

    /// Whether browsers only send our cookie over https.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.session_token.starts_with(SECURE)
    }

    #[cfg(test)]
    pub(crate) fn of(name: &str) -> Self {
        Self::spelled(name.to_owned(), false)
    }
}

/// RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
