//! Bearer tokens: `Authorization: Bearer …` (RFC 6750 §2.1), and a WebSocket handshake's protocols.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Presented, decode};
use crate::settings::{AcceptedCredentials, BearerForm};

const SCHEME: &[u8] = b"bearer";

/// Browsers cannot set a handshake's headers, but they can offer protocols: so does Kubernetes' API
/// server read its tokens (`base64url.bearer.authorization.k8s.io.`).
pub const BEARER_PROTOCOL: &str = "base64url.bearer.authorization.better-auth.";

/// The bearer tokens that a request shows, and where. More than one is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BearerTokens<'a> {
    header: Shown<'a>,
    /// Every `Authorization` header counts: a second one, of whatever scheme, could be the one that
    /// another reader takes.
    authorizations: usize,
    protocol: Shown<'a>,
}

#[derive(Clone, Copy, Default)]
enum Shown<'a> {
    #[default]
    Never,
    Once(&'a [u8]),
    Repeatedly,
}

impl<'a> Shown<'a> {
    fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Never => Self::Once(value),
            Self::Once(_) | Self::Repeatedly => Self::Repeatedly,
        };
    }

    fn is_any(self) -> bool {
        !matches!(self, Self::Never)
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "Never",
            Self::Once(_) => "Once(…)",
            Self::Repeatedly => "Repeatedly",
        })
    }
}

impl<'a> BearerTokens<'a> {
    /// The scheme is case-insensitive (RFC 9110 §11.1); other schemes are for others.
    pub(super) fn add_authorization(&mut self, value: &'a [u8]) {
        self.authorizations += 1;
        let value = value.trim_ascii();
        let end = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
        let (scheme, token) = value.split_at(end);
        if scheme.eq_ignore_ascii_case(SCHEME) {
            self.header.add(token.trim_ascii());
        }
    }

    pub(super) fn add_protocols(&mut self, value: &'a [u8]) {
        for protocol in value.split(|&byte| byte == b',') {
            if let Some(token) = protocol.trim_ascii().strip_prefix(BEARER_PROTOCOL.as_bytes()) {
                self.protocol.add(token);
            }
        }
    }

    pub(super) fn is_any(&self, is_handshake: bool) -> bool {
        self.header.is_any() || is_handshake && self.protocol.is_any()
    }

    /// The one token that there is.
    pub(super) fn only(&self, is_handshake: bool) -> Option<BearerToken<'a>> {
        let protocol = if is_handshake { self.protocol } else { Shown::Never };
        match (self.header, protocol) {
            (Shown::Once(token), Shown::Never) if self.authorizations == 1 => BearerToken::of_header(token),
            (Shown::Never, Shown::Once(token)) => BearerToken::of_protocol(token),
            _ => None,
        }
    }
}

/// A bearer token as text. Whoever has it is the user, so its `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken<'a>(Cow<'a, str>);

impl<'a> BearerToken<'a> {
    fn of_header(token: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(token).ok().filter(|text| is_token(text))?;
        Some(Self(Cow::Borrowed(text)))
    }

    fn of_protocol(token: &[u8]) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        is_token(&text).then_some(Self(Cow::Owned(text)))
    }

    /// The token's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Three parts are a JWT, two a session token and its signature, one a session token alone.
    pub(super) fn into_presented(self, accepted: AcceptedCredentials) -> Presented<'a> {
        match self.0.matches('.').count() {
            2 if accepted.jwt => Presented::Jwt(self),
            1 if accepted.bearer.is_some() => {
                self.decoded().map_or(Presented::Unusable, Presented::SignedToken)
            }
            0 if accepted.bearer == Some(BearerForm::SignedOrNot) => Presented::UnsignedToken(self),
            _ => Presented::Unusable,
        }
    }

    /// The value that Better Auth signed: clients send it percent-encoded, as the cookie has it, or
    /// not.
    fn decoded(self) -> Option<Self> {
        let decoded = decode(self.0)?;
        (decoded.matches('.').count() == 1).then_some(Self(decoded))
    }
}

impl fmt::Debug for BearerToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

/// `b64token` of RFC 6750, and `%` for what is percent-encoded: no space, comma or quote, so that
/// headers joined by a proxy are no token.
fn is_token(text: &str) -> bool {
    // Without a branch for each byte, which no processor can predict in base64.
    !text.is_empty() && text.bytes().fold(true, |all, byte| all & IS_TOKEN[usize::from(byte)])
}

/// By byte.
const IS_TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=' | b'%');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::{Credentials, Kind};
    use crate::settings::CookieNames;

    const BOTH: AcceptedCredentials =
        AcceptedCredentials { cookie: true, bearer: Some(BearerForm::Signed), jwt: true };
    const JWT: &str = "e30.e30.c2ln";

    fn presented(headers: &[(&str, &str)], kind: Kind, accepted: AcceptedCredentials) -> String {
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        match Credentials::read(headers, &CookieNames::of("s")).presented(kind, accepted) {
            Presented::Nothing => "nothing".into(),
            Presented::Cookie(cookie) => format!("cookie {}", cookie.as_text()),
            Presented::SignedToken(token) => format!("signed {}", token.as_str()),
            Presented::UnsignedToken(token) => format!("unsigned {}", token.as_str()),
            Presented::Jwt(token) => format!("jwt {}", token.as_str()),
            Presented::Unusable => "unusable".into(),
        }
    }

    fn of_authorization(value: &str) -> String {
        presented(&[("cookie", "s=c"), ("authorization", value)], Kind::SafeHttp, BOTH)
    }

    fn protocol(token: &str) -> String {
        format!("base64url.bearer.authorization.better-auth.{}", URL_SAFE_NO_PAD.encode(token))
    }

    #[test]
    fn the_scheme_is_case_insensitive_and_others_are_ignored() {
        for scheme in ["Bearer", "bearer", "BEARER", "bEaReR", " Bearer", "Bearer ", "Bearer\t"] {
            assert_eq!(of_authorization(&format!("{scheme} {JWT}")), format!("jwt {JWT}"), "{scheme:?}");
        }
        for other in ["Basic YTpi", "Bearerx a.b", "Token a.b.c", "", "DPoP a.b.c", "Bearer=a.b"] {
            assert_eq!(of_authorization(other), "cookie c", "{other:?}");
        }
    }

    #[test]
    fn the_parts_alone_tell_the_kind() {
        assert_eq!(of_authorization("Bearer a.b"), "signed a.b");
        assert_eq!(of_authorization("Bearer a.b%2Bc%3D"), "signed a.b+c=");
        assert_eq!(of_authorization("Bearer a.b+c/d="), "signed a.b+c/d=");
        assert_eq!(of_authorization("Bearer a.b.c"), "jwt a.b.c");
        assert_eq!(of_authorization("Bearer .."), "jwt ..");
        for bad in ["Bearer", "Bearer ", "Bearer a", "Bearer a.b.c.d", "Bearer a.b.c.d.e", "Bearer a%2Eb.c"] {
            assert_eq!(of_authorization(bad), "unusable", "{bad:?}");
        }
    }

    #[test]
    fn what_two_readers_could_take_for_two_tokens_is_none() {
        for bad in
            ["a.b, Bearer c.d", "a.b c.d", "a.b,c.d", "\"a.b\"", "a.b;c", "a.\u{e9}", "a.b\0", "Bearer a.b"]
        {
            assert_eq!(of_authorization(&format!("Bearer {bad}")), "unusable", "{bad:?}");
        }
        for second in ["Bearer a.b", "Basic YTpi", ""] {
            for order in [["Bearer a.b.c", second], [second, "Bearer a.b.c"]] {
                let headers = order.map(|value| ("authorization", value));
                let headers = [headers.as_slice(), &[("cookie", "s=c")]].concat();
                assert_eq!(presented(&headers, Kind::SafeHttp, BOTH), "unusable", "{order:?}");
            }
        }
        let basic = [("authorization", "Basic YTpi"), ("authorization", "Basic YTpj"), ("cookie", "s=c")];
        assert_eq!(presented(&basic, Kind::SafeHttp, BOTH), "cookie c");
    }

    #[test]
    fn a_token_without_signature_needs_a_setting_of_its_own() {
        let unsigned = AcceptedCredentials { bearer: Some(BearerForm::SignedOrNot), ..BOTH };
        let of = |token: &str, accepted| presented(&[("authorization", token)], Kind::SafeHttp, accepted);
        assert_eq!(of("Bearer abc", unsigned), "unsigned abc");
        assert_eq!(of("Bearer abc", BOTH), "unusable");
        assert_eq!(of("Bearer abc", AcceptedCredentials { bearer: None, ..unsigned }), "unusable");
        assert_eq!(of("Bearer a.b", unsigned), "signed a.b");
    }

    #[test]
    fn a_handshake_may_bring_the_token_among_its_protocols() {
        let read = |protocols: &str| {
            presented(&[("sec-websocket-protocol", protocols), ("cookie", "s=c")], Kind::Handshake, BOTH)
        };
        let jwt = protocol(JWT);
        assert_eq!(read(&jwt), format!("jwt {JWT}"));
        assert_eq!(read(&format!("chat, {jwt}")), format!("jwt {JWT}"));
        assert_eq!(read(&format!("{jwt} ,chat")), format!("jwt {JWT}"));
        assert_eq!(read(&protocol("a.b%3D")), "signed a.b=");
        assert_eq!(read("chat, base64url.bearer.authorization.k8s.io.YQ"), "cookie c");
        for bad in [
            format!("{jwt}, {jwt}"),
            format!("{jwt}="),
            format!("{jwt}!"),
            protocol(""),
            protocol("a b.c"),
            protocol("\u{e9}.b"),
        ] {
            assert_eq!(read(&bad), "unusable", "{bad}");
        }
        let split = [("sec-websocket-protocol", jwt.as_str()), ("sec-websocket-protocol", "chat")];
        assert_eq!(presented(&split, Kind::Handshake, BOTH), format!("jwt {JWT}"));
    }

    #[test]
    fn a_header_beside_a_protocol_is_refused_and_protocols_count_in_handshakes_only() {
        let jwt = protocol(JWT);
        let both =
            [("sec-websocket-protocol", jwt.as_str()), ("authorization", "Bearer a.b.c"), ("cookie", "s=c")];
        assert_eq!(presented(&both, Kind::Handshake, BOTH), "unusable");
        assert_eq!(presented(&both, Kind::UnsafeHttp, BOTH), "jwt a.b.c");
        let no_header = [both[0], both[2]];
        assert_eq!(presented(&no_header, Kind::SafeHttp, BOTH), "cookie c");
        let basic = [both[0], ("authorization", "Basic YTpi"), both[2]];
        assert_eq!(presented(&basic, Kind::Handshake, BOTH), format!("jwt {JWT}"));
    }

    /// Every pair of what two headers can hold, for every list of accepted kinds.
    #[test]
    fn one_credential_decides() {
        let bearers = [None, Some("Bearer a.b"), Some("Bearer a.b.c"), Some("Bearer a"), Some("Basic YTpi")];
        let cookies = [None, Some("s=c"), Some("s="), Some("other=1")];
        let flags = [false, true];
        let mut seen = 0;
        for (cookie, bearer, jwt) in
            flags.into_iter().flat_map(|a| flags.map(|b| (a, b))).flat_map(|(a, b)| flags.map(|c| (a, b, c)))
        {
            let form = bearer.then_some(BearerForm::Signed);
            let accepted = AcceptedCredentials { cookie, bearer: form, jwt };
            for (authorization, cookie_header) in
                bearers.into_iter().flat_map(|bearer| cookies.map(|cookie| (bearer, cookie)))
            {
                let headers: Vec<_> = authorization
                    .map(|value| ("authorization", value))
                    .into_iter()
                    .chain(cookie_header.map(|value| ("cookie", value)))
                    .collect();
                let of_cookie = if cookie && cookie_header == Some("s=c") { "cookie c" } else { "nothing" };
                let expected = match authorization {
                    Some("Bearer a.b") if bearer => "signed a.b",
                    Some("Bearer a.b.c") if jwt => "jwt a.b.c",
                    Some(value) if value.starts_with("Bearer") && (bearer || jwt) => "unusable",
                    _ => of_cookie,
                };
                for kind in [Kind::SafeHttp, Kind::UnsafeHttp, Kind::Handshake] {
                    assert_eq!(presented(&headers, kind, accepted), expected, "{headers:?}, {accepted:?}");
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 8 * 5 * 4 * 3);
    }

    #[test]
    fn no_token_is_shown_in_debug() {
        let headers = [(b"authorization".as_slice(), b"Bearer secret.sig".as_slice())];
        let shown = Credentials::read(headers, &CookieNames::of("s"));
        let text = format!("{shown:?} {:?}", shown.presented(Kind::SafeHttp, BOTH));
        assert!(!text.contains("secret") && text.contains("BearerToken(…)"), "{text}");
        assert!(text.contains("header: Once(…)") && text.contains("protocol: Never"), "{text}");
    }
}
