//! 1 — What does the request show? One pass over the ASGI headers.
//!
//! Cookies are read as Better Auth reads them (better-call's `parseCookies`), because two
//! parsers can see two people: split at `;`, the first of two cookies with one name wins even
//! when it is bad, a value that starts with `"` loses its first and last character, and the
//! whole value is percent-decoded or, where that fails, kept as it is.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::percent_decode;

use crate::settings::CookieNames;

/// The longest session cookie we decode: a 256 byte token and its signature, percent-encoded.
const MAX_COOKIE_BYTES: usize = 1024;

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
}

impl<'a> Credentials<'a> {
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
                            session_cookie.get_or_insert(RawCookie(value));
                        } else if let Some(rest) = name.strip_prefix(names.session_data.as_bytes()) {
                            shown.session_data.add(rest, RawCookie(value));
                        } else if name == names.other_spelling.as_bytes() {
                            shown.other_spelling = true;
                        }
                    }
                }
                b"origin" => shown.origin.add(value),
                b"sec-fetch-site" => shown.sec_fetch_site.add(value),
                b"host" => shown.host.add(value),
                _ => {}
            }
        }
        shown.session_cookie = session_cookie.filter(|cookie| !cookie.0.is_empty());
        shown
    }
}

/// The `session_data` cookie: whole, or in chunks `<name>.0`, `<name>.1`, … where it is large.
#[derive(Clone, Debug, Default)]
pub struct SessionData<'a> {
    whole: Option<RawCookie<'a>>,
    chunks: BTreeMap<u8, RawCookie<'a>>,
}

impl<'a> SessionData<'a> {
    fn add(&mut self, name_rest: &[u8], value: RawCookie<'a>) {
        if name_rest.is_empty() {
            self.whole.get_or_insert(value);
        } else if let Some(index) = chunk_index(name_rest) {
            // Of chunks, Better Auth takes the last of one name.
            self.chunks.insert(index, value);
        }
    }

    /// The value, decoded: the whole cookie where it is not empty, else the chunks in the order of
    /// their numbers. None when there is nothing.
    #[must_use]
    pub fn decode(&self) -> Option<Cow<'a, str>> {
        if let Some(whole) = self.whole.filter(|whole| !whole.0.is_empty()) {
            return Some(decode_uri_component(whole.as_text()));
        }
        let joined: String =
            self.chunks.values().map(|chunk| decode_uri_component(chunk.as_text())).collect();
        (!joined.is_empty()).then_some(Cow::Owned(joined))
    }
}

/// `.0` to `.99`, as Better Auth writes them: no leading noughts, at most a hundred.
fn chunk_index(name_rest: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(name_rest.strip_prefix(b".")?).ok()?;
    let index: u8 = digits.parse().ok()?;
    (index < 100 && index.to_string() == digits).then_some(index)
}

/// A cookie's value as it stands in the header, without quotes, not yet percent-decoded.
#[derive(Clone, Copy)]
pub struct RawCookie<'a>(&'a [u8]);

impl<'a> RawCookie<'a> {
    /// The bytes as text: a header is Latin-1 where it is not ASCII.
    #[must_use]
    pub fn as_text(self) -> Cow<'a, str> {
        match std::str::from_utf8(self.0) {
            Ok(text) if text.is_ascii() => Cow::Borrowed(text),
            _ => Cow::Owned(self.0.iter().copied().map(char::from).collect()),
        }
    }

    /// The value as Better Auth verifies it; None when it is longer than any session cookie.
    #[must_use]
    pub fn decode(self) -> Option<Cow<'a, str>> {
        if self.0.len() > MAX_COOKIE_BYTES {
            return None;
        }
        decode(self.as_text())
    }
}

/// A cookie's value as JavaScript's `decodeURIComponent` has it, or as it stands where that
/// would throw; None when it is longer than any session cookie.
#[must_use]
pub fn decode(value: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (value.len() <= MAX_COOKIE_BYTES).then(|| decode_uri_component(value))
}

fn decode_uri_component(value: Cow<'_, str>) -> Cow<'_, str> {
    if !value.contains('%') || !has_only_whole_escapes(value.as_bytes()) {
        return value;
    }
    match percent_decode(value.as_bytes()).decode_utf8() {
        Ok(decoded) => Cow::Owned(decoded.into_owned()),
        Err(_) => value,
    }
}

impl std::fmt::Debug for RawCookie<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawCookie(…)")
    }
}

fn cookies(header: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    header.split(|&byte| byte == b';').filter_map(|pair| {
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        Some((trim(&pair[..equals]), unquote(trim(&pair[equals + 1..]))))
    })
}

/// JavaScript's `trim()`, over Latin-1.
fn trim(mut bytes: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b'\t'..=b'\r' | b' ' | 0xA0);
    while let [first, rest @ ..] = bytes
        && is_space(first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_space(last)
    {
        bytes = rest;
    }
    bytes
}

/// A leading quote takes the last character with it, whatever that is: so does Better Auth.
fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., _] => inner,
        [b'"'] => &[],
        _ => value,
    }
}

fn has_only_whole_escapes(bytes: &[u8]) -> bool {
    let escapes = bytes.split(|&byte| byte == b'%').skip(1);
    escapes.into_iter().all(|rest| rest.len() >= 2 && rest[..2].iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session_cookie(headers: &[(&str, &str)]) -> Option<String> {
        let names = CookieNames::of("s");
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let shown = Credentials::read(headers, &names);
        shown.session_cookie.and_then(RawCookie::decode).map(Cow::into_owned)
    }

    #[test]
    fn the_first_cookie_wins_even_when_it_is_bad_or_empty() {
        assert_eq!(session_cookie(&[("cookie", "s=1; s=2")]).as_deref(), Some("1"));
        assert_eq!(session_cookie(&[("cookie", "s=1"), ("cookie", "s=2")]).as_deref(), Some("1"));
        assert_eq!(session_cookie(&[("cookie", "s=; s=2")]), None);
    }

    #[test]
    fn quotes_and_escapes_are_read_as_better_auth_reads_them() {
        for (header, value) in [
            ("s=\"a b\"", "a b"),
            ("s=\"ab", "a"),
            ("s=a%2Bb", "a+b"),
            ("s=a%2", "a%2"),
            ("s=a%zz%2B", "a%zz%2B"),
            ("s=%E0%A4%A", "%E0%A4%A"),
            ("s=%ff", "%ff"),
            ("\u{a0}junk;;s = a=b ", "a=b"),
        ] {
            assert_eq!(session_cookie(&[("cookie", header)]).as_deref(), Some(value), "{header}");
        }
    }

    #[test]
    fn names_are_case_sensitive_and_commas_do_not_separate() {
        assert_eq!(session_cookie(&[("cookie", "S=1")]), None);
        assert_eq!(session_cookie(&[("cookie", "a=b, s=1")]), None);
    }

    #[test]
    fn a_cookie_beyond_any_session_cookie_is_not_decoded() {
        assert_eq!(session_cookie(&[("cookie", &format!("s={}", "%41".repeat(400)))]), None);
    }

    #[test]
    fn no_value_is_shown_in_debug() {
        assert_eq!(format!("{:?}", RawCookie(b"secret")), "RawCookie(…)");
    }
}
