//! The names of Better Auth's cookies (`createCookieGetter`): an optional `__Secure-`, followed by a
//! custom name or `<prefix>.session_token`.

use super::given;
use crate::error::Error;

const SECURE: &str = "__Secure-";
const DEFAULT_PREFIX: &str = "better-auth";

/// The names of the cookies, computed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieNames {
    /// The signed session token's cookie.
    pub session_token: String,
    /// The cookie cache's cookie; its chunks are `<name>.0`, `<name>.1`, …
    pub session_data: String,
    /// The session token's name without `__Secure-` if it has the prefix, and with it otherwise. If a
    /// request has only this cookie, a setting is wrong. The cookie is never accepted, because a
    /// sibling host could set it.
    pub other_spelling: String,
}

/// Better Auth's settings that determine the names, unchecked. Empty means "not set".
#[derive(Clone, Copy, Debug, Default)]
pub struct CookieOptions<'a> {
    /// Whether the base URL is https; None if there is none.
    pub is_https: Option<bool>,
    /// `advanced.useSecureCookies`.
    pub secure: Option<bool>,
    /// `advanced.cookiePrefix`.
    pub prefix: Option<&'a str>,
    /// `advanced.cookies.session_token.name`.
    pub name: Option<&'a str>,
    /// `advanced.cookies.session_data.name`.
    pub cache_name: Option<&'a str>,
}

impl CookieNames {
    /// The names that these settings determine.
    ///
    /// `secure` decides whether names have `__Secure-`; if it is not set, the base URL's scheme does. A
    /// custom `name` replaces the prefix but not `__Secure-`. With neither a base URL nor `secure`, the
    /// custom name is used unchanged.
    ///
    /// # Errors
    /// [`Error::Configuration`] if the settings do not determine the name, or it is not a cookie name.
    pub fn check(options: CookieOptions<'_>) -> Result<Self, Error> {
        let name = given(options.name);
        let is_secure = match options.secure.or(options.is_https) {
            Some(is_secure) => is_secure,
            None if name.is_some() => false,
            None => {
                return Err(Error::configuration(
                    "the session cookie's name is unknown: set BETTER_AUTH_URL to the Better Auth server's base URL \
                     (https means the name begins with __Secure-), or AUTH_MIDDLEWARE_SECURE_COOKIES, or \
                     AUTH_MIDDLEWARE_COOKIE_NAME",
                ));
            }
        };
        let usual = |cookie| format!("{}.{cookie}", given(options.prefix).unwrap_or(DEFAULT_PREFIX));
        let token = name.map_or_else(|| usual("session_token"), str::to_owned);
        let data = given(options.cache_name).map_or_else(|| usual("session_data"), str::to_owned);
        if !token.bytes().chain(data.bytes()).all(is_token_byte) {
            return Err(Error::configuration(
                "cookie_name, cache_cookie_name or cookie_prefix (AUTH_MIDDLEWARE_COOKIE_NAME, …_CACHE_COOKIE_NAME, \
                 …_COOKIE_PREFIX) holds a character that no cookie name can have",
            ));
        }
        Ok(Self::spelled(&token, &data, is_secure))
    }

    fn spelled(token: &str, data: &str, is_secure: bool) -> Self {
        // A name that was copied from the browser already has the prefix.
        let is_secure = is_secure || token.starts_with(SECURE);
        let bare = token.strip_prefix(SECURE).unwrap_or(token).to_owned();
        let data = data.strip_prefix(SECURE).unwrap_or(data);
        let prefixed = format!("{SECURE}{bare}");
        if is_secure {
            Self { session_token: prefixed, session_data: format!("{SECURE}{data}"), other_spelling: bare }
        } else {
            Self { session_token: bare, session_data: data.to_owned(), other_spelling: prefixed }
        }
    }

    /// Whether browsers send the cookie only over https.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.session_token.starts_with(SECURE)
    }

    #[cfg(test)]
    pub(crate) fn of(name: &str) -> Self {
        Self::spelled(name, "d", false)
    }
}

/// RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The last parts of the names of other cookies that Better Auth signs.
const SIGNED_BESIDE: [&str; 10] = [
    "state",
    "oauth_state",
    "oauth_popup",
    "two_factor",
    "trust_device",
    "admin_session",
    "passkey",
    "dont_remember",
    "oidc_login_prompt",
    "oidc_consent_prompt",
];

/// Whether Better Auth signs a cookie of this name, which is not the session's.
pub(crate) fn is_signed_beside(name: &str) -> bool {
    let last = name.rsplit(['.', '-']).next().unwrap_or(name);
    SIGNED_BESIDE.contains(&last)
}
