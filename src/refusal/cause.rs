//! What is probably wrong when a request is refused, and the check that proves the settings right.

/// Wrong settings and wrong clients, as far as a refused request shows them: a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The session cookie has the other spelling of its name, with or without `__Secure-`.
    OtherSpelling,
    /// The session cookie has another prefix, or our name was changed.
    OtherPrefix,
    /// A cookie of another name was signed by Better Auth: the session cookie was renamed.
    RenamedCookie,
    /// The request has `session_data` without `session_token`.
    SessionDataAlone,
    /// The request or its page uses another name of this machine than the base URL.
    OtherMachineName,
    /// The request's host is neither the base URL's nor a subdomain of it.
    OtherHost,
    /// A page of another origin sent the request with CORS and without any cookie.
    NoCookieOfPage,
    /// The session cookie came, and `credentials` does not list `cookie`.
    CookieNotListed,
    /// A session token came in `Authorization`, and `credentials` does not list `bearer`.
    BearerNotListed,
    /// A JWT came in `Authorization`, and `credentials` does not list `jwt`.
    JwtNotListed,
    /// `Authorization` contains a token without the scheme `Bearer`, with another one, or with two.
    NoBearerScheme,
    /// There are several `Authorization` headers, or one beside a token among the protocols.
    SeveralTokens,
    /// A signed token is expected, and the request has something else: cut, changed or not a token at all.
    Malformed,
    /// The token as it is in the database, without its signature.
    BareToken,
    /// The value was percent-encoded twice.
    EncodedTwice,
    /// The signature is in base64url, has lost its padding, or has spaces for `+`.
    SignatureEncoding,
    /// `session_data`, in place of the session token.
    SessionDataAsToken,
    /// A JWT, in place of the session cookie.
    JwtAsCookie,
    /// Signed with our secret in quotes or with white space at an end, or with Better Auth's public default.
    KnownSecret,
    /// Signed with an older entry of `BETTER_AUTH_SECRETS`.
    FormerSecret,
    /// Signed with another secret.
    OtherSecret,
    /// No session row has this well-signed token.
    NoSessionRow,
    /// No user row has the id in a verified JWT.
    NoUserRow,
    /// Every session or JWT until now had expired a short time ago.
    AllExpired,
    /// A session has expired by our clock, and is valid by the database server's.
    ClockAhead,
    /// `Origin` is not trusted.
    UntrustedOrigin,
    /// `Origin: null`.
    NullOrigin,
    /// `Origin` or `Sec-Fetch-Site` came twice.
    SeveralOrigins,
    /// `Sec-Fetch-Site` says another site, and there is no `Origin`.
    NoOrigin,
    /// A JWT of another issuer.
    JwtIssuer,
    /// A JWT for another audience.
    JwtAudience,
    /// A JWT whose `kid` is not the id of any key of the issuer.
    JwtUnknownKey,
    /// There are no keys that could verify a JWT.
    JwtNoKeys,
    /// A JWT from the future: the clocks differ.
    JwtFromFuture,
    /// Another kind of JWT, or one signed by an algorithm that is not accepted.
    JwtOfOtherKind,
    /// A JWT that is wrong in another way.
    JwtInvalid,
}

/// A check that, once it has succeeded, shows that the settings are right. What fails it later is probably a stale or
/// forged credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// A well-signed session cookie came under the expected name.
    Cookie,
    /// A session token was signed with our secret.
    Signature,
    /// A bearer token was verified.
    Bearer,
    /// Some credential was verified.
    Credential,
    /// A JWT was verified.
    Jwt,
    /// A session row was found for a token.
    SessionRow,
    /// A user row was found for a JWT.
    UserRow,
    /// A session or JWT was found that has not expired.
    NotExpired,
}

impl Cause {
    /// The name in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OtherSpelling => "other_spelling",
            Self::OtherPrefix => "other_prefix",
            Self::RenamedCookie => "renamed_cookie",
            Self::SessionDataAlone => "session_data_alone",
            Self::OtherMachineName => "other_machine_name",
            Self::OtherHost => "other_host",
            Self::NoCookieOfPage => "no_cookie_of_page",
            Self::CookieNotListed => "cookie_not_listed",
            Self::BearerNotListed => "bearer_not_listed",
            Self::JwtNotListed => "jwt_not_listed",
            Self::NoBearerScheme => "no_bearer_scheme",
            Self::SeveralTokens => "several_tokens",
            Self::Malformed => "malformed",
            Self::BareToken => "bare_token",
            Self::EncodedTwice => "encoded_twice",
            Self::SignatureEncoding => "signature_encoding",
            Self::SessionDataAsToken => "session_data_as_token",
            Self::JwtAsCookie => "jwt_as_cookie",
            Self::KnownSecret => "known_secret",
            Self::FormerSecret => "former_secret",
            Self::OtherSecret => "other_secret",
            Self::NoSessionRow => "no_session_row",
            Self::NoUserRow => "no_user_row",
            Self::AllExpired => "all_expired",
            Self::ClockAhead => "clock_ahead",
            Self::UntrustedOrigin => "untrusted_origin",
            Self::NullOrigin => "null_origin",
            Self::SeveralOrigins => "several_origins",
            Self::NoOrigin => "no_origin",
            Self::JwtIssuer => "jwt_issuer",
            Self::JwtAudience => "jwt_audience",
            Self::JwtUnknownKey => "jwt_unknown_key",
            Self::JwtNoKeys => "jwt_no_keys",
            Self::JwtFromFuture => "jwt_from_future",
            Self::JwtOfOtherKind => "jwt_of_other_kind",
            Self::JwtInvalid => "jwt_invalid",
        }
    }

    /// The check that failed. None for origins, since that one page is trusted says nothing about another, for tokens of
    /// a kind that is not listed, and for clocks, whose difference was measured.
    #[must_use]
    pub const fn check(self) -> Option<Check> {
        match self {
            Self::OtherSpelling
            | Self::OtherPrefix
            | Self::RenamedCookie
            | Self::SessionDataAlone
            | Self::OtherMachineName
            | Self::OtherHost
            | Self::NoCookieOfPage => Some(Check::Cookie),
            Self::CookieNotListed => Some(Check::Credential),
            Self::NoBearerScheme | Self::SeveralTokens => Some(Check::Bearer),
            Self::Malformed
            | Self::BareToken
            | Self::EncodedTwice
            | Self::SignatureEncoding
            | Self::SessionDataAsToken
            | Self::JwtAsCookie
            | Self::KnownSecret
            | Self::FormerSecret
            | Self::OtherSecret => Some(Check::Signature),
            Self::NoSessionRow => Some(Check::SessionRow),
            Self::NoUserRow => Some(Check::UserRow),
            Self::AllExpired => Some(Check::NotExpired),
            Self::ClockAhead
            | Self::UntrustedOrigin
            | Self::NullOrigin
            | Self::SeveralOrigins
            | Self::NoOrigin
            | Self::BearerNotListed
            | Self::JwtNotListed => None,
            Self::JwtIssuer
            | Self::JwtAudience
            | Self::JwtUnknownKey
            | Self::JwtNoKeys
            | Self::JwtFromFuture
            | Self::JwtOfOtherKind
            | Self::JwtInvalid => Some(Check::Jwt),
        }
    }
}
