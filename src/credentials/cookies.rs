//! Cookies, read as Better Auth reads them (better-call's `parseCookies`), because two
//! parsers can see two people: split at `;`, the first of two cookies with one name wins even
//! when it is bad, a value that starts with `"` loses its first and last character, and the
//! whole value is percent-decoded or, where that fails, kept as it is.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::uri_component;

/// The longest session cookie that is decoded: a 256-byte token and its signature, percent-encoded.
const MAX_COOKIE_BYTES: usize = 1024;

/// JavaScript's `Number.MAX_SAFE_INTEGER`.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// The `session_data` cookie: whole, or in chunks `<name>.0`, `<name>.1`, … where it is large.
#[derive(Clone, Debug, Default)]
pub struct SessionData<'a> {
    single: Option<RawCookie<'a>>,
    chunks: BTreeMap<u64, RawCookie<'a>>,
}

impl<'a> SessionData<'a> {
    pub(super) fn add(&mut self, name_rest: &[u8], value: &'a [u8]) {
        if name_rest.is_empty() {
            self.single.get_or_insert(RawCookie(unquote(trim(value))));
        } else if let (Some(index), Some(value)) = (chunk_index(name_rest), chunk_value(value)) {
            // Of several chunks with one name, Better Auth uses the last.
            self.chunks.insert(index, RawCookie(value));
        }
    }

    /// Whether there is anything.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.single.is_some_and(|single| !single.0.is_empty()) || !self.chunks.is_empty()
    }

    /// The decoded value: of the single cookie if it is not empty, else of the chunks in the order of
    /// their numbers. None if there is neither.
    #[must_use]
    pub fn decode(&self) -> Option<Cow<'a, str>> {
        if let Some(single) = self.single.filter(|single| !single.0.is_empty()) {
            return Some(uri_component::decode(single.as_text()));
        }
        let joined: String =
            self.chunks.values().map(|chunk| uri_component::decode(chunk.as_text())).collect();
        (!joined.is_empty()).then_some(Cow::Owned(joined))
    }
}

/// `.0`, `.1`, … as Better Auth writes them: no leading zeros and no signs.
fn chunk_index(name_rest: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(name_rest.strip_prefix(b".")?).ok()?;
    let index: u64 = digits.parse().ok()?;
    (index <= MAX_SAFE_INTEGER && index.to_string() == digits).then_some(index)
}

/// Better Auth reads chunks with another parser. It removes only a pair of quotes, and skips a value with
/// characters that a cookie may not contain (RFC 6265 §4.1.1; spaces and commas are accepted).
fn chunk_value(value: &[u8]) -> Option<&[u8]> {
    let value = match value.trim_ascii() {
        [b'"', inner @ .., b'"'] => inner,
        bare => bare,
    };
    value.iter().all(|byte| matches!(byte, b' '..=b'~') && !b"\";\\".contains(byte)).then_some(value)
}

/// A cookie's value as it stands in the header, without quotes, not yet percent-decoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RawCookie<'a>(&'a [u8]);

impl<'a> RawCookie<'a> {
    pub(crate) fn new(value: &'a [u8]) -> Self {
        Self(value)
    }

    /// A cookie's value as [`cookies`] returns it.
    pub(crate) fn of_header(value: &'a [u8]) -> Self {
        Self(unquote(trim(value)))
    }

    /// The bytes as text: a header is Latin-1 where it is not ASCII.
    #[must_use]
    pub fn as_text(self) -> Cow<'a, str> {
        match std::str::from_utf8(self.0) {
            Ok(text) if text.is_ascii() => Cow::Borrowed(text),
            _ => Cow::Owned(self.0.iter().copied().map(char::from).collect()),
        }
    }

    /// The bytes, unchanged.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The value that Better Auth verifies. None if it is longer than any session cookie.
    #[must_use]
    pub fn decode(self) -> Option<Cow<'a, str>> {
        if self.0.len() > MAX_COOKIE_BYTES {
            return None;
        }
        decode(self.as_text())
    }
}

/// A cookie's value decoded as by JavaScript's `decodeURIComponent`, or unchanged if that would throw.
/// None if it is longer than any session cookie.
#[must_use]
pub fn decode(value: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (value.len() <= MAX_COOKIE_BYTES).then(|| uri_component::decode(value))
}

impl std::fmt::Debug for RawCookie<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawCookie(…)")
    }
}

/// Names, and values as they stand.
pub(crate) fn cookies(header: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    header.split(|&byte| byte == b';').filter_map(|pair| {
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        Some((trim(&pair[..equals]), &pair[equals + 1..]))
    })
}

/// JavaScript's `trim()`, over Latin-1.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
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
pub(crate) fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., _] => inner,
        [b'"'] => &[],
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Credentials;
    use crate::settings::CookieNames;

    fn session_cookie(headers: &[(&str, &str)]) -> Option<String> {
        let names = CookieNames::of("s");
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let credentials = Credentials::read(headers, &names);
        credentials.session_cookie.and_then(RawCookie::decode).map(Cow::into_owned)
    }

    #[test]
    fn the_first_cookie_wins_even_if_it_is_invalid_or_empty() {
        assert_eq!(session_cookie(&[("cookie", "s=1; s=2")]).as_deref(), Some("1"));
        assert_eq!(session_cookie(&[("cookie", "s=1"), ("cookie", "s=2")]).as_deref(), Some("1"));
        assert_eq!(session_cookie(&[("cookie", "s=; s=2")]), None);
        for empty in ["s=", "s=\"", "s=\"\"", "s= \" "] {
            let headers = [(b"cookie".as_slice(), empty.as_bytes())];
            assert!(Credentials::read(headers, &CookieNames::of("s")).session_cookie.is_none(), "{empty}");
        }
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
            ("s=\u{e9}", "\u{c3}\u{a9}"),
        ] {
            assert_eq!(session_cookie(&[("cookie", header)]).as_deref(), Some(value), "{header}");
        }
    }

    #[test]
    fn chunks_are_read_as_better_auth_reads_them() {
        let data = |header: &str| {
            let headers = [(b"cookie".as_slice(), header.as_bytes())];
            Credentials::read(headers, &CookieNames::of("s")).session_data.decode().map(Cow::into_owned)
        };
        let name = CookieNames::of("s").session_data;
        for (chunks, joined) in [
            (&[(".10", "c"), (".2", "b"), (".0", "a")][..], Some("abc")),
            (&[(".0", "a"), (".100", "b")], Some("ab")),
            (&[(".0", "a"), (".01", "b"), (".+1", "c"), (".1.0", "d"), (".x", "e"), (".", "f")], Some("a")),
            (&[(".0", "a"), (".9007199254740992", "b")], Some("a")),
            (&[(".0", "a"), (".0", "b")], Some("b")),
            (&[(".0", "\"a\""), (".1", " b ")], Some("ab")),
            (&[(".0", "a"), (".1", "\"b"), (".2", "c\""), (".3", "\\"), (".4", "\u{e9}")], Some("a")),
            (&[("", "whole"), (".0", "a")], Some("whole")),
            (&[("", ""), (".0", "a")], Some("a")),
            (&[("x", "a")], None),
        ] {
            let pairs: Vec<String> =
                chunks.iter().map(|(rest, value)| format!("{name}{rest}={value}")).collect();
            assert_eq!(data(&pairs.join("; ")).as_deref(), joined, "{chunks:?}");
        }
    }

    #[test]
    fn names_are_case_sensitive_and_commas_do_not_separate() {
        assert_eq!(session_cookie(&[("cookie", "S=1")]), None);
        assert_eq!(session_cookie(&[("cookie", "a=b, s=1")]), None);
    }

    #[test]
    fn a_cookie_longer_than_any_session_cookie_is_not_decoded() {
        assert_eq!(session_cookie(&[("cookie", &format!("s={}", "%41".repeat(400)))]), None);
        let of_length = |length| session_cookie(&[("cookie", &format!("s={}", "x".repeat(length)))]);
        assert_eq!(of_length(MAX_COOKIE_BYTES), Some("x".repeat(MAX_COOKIE_BYTES)));
        assert_eq!(of_length(MAX_COOKIE_BYTES + 1), None);
    }

    #[test]
    fn no_other_header_is_read() {
        let names = CookieNames::of("s");
        for name in
            ["cookie", "origin", "sec-fetch-site", "host", "authorization", "x-forwarded-host", "referer", ""]
        {
            let with = Credentials::read([(name.as_bytes(), b"s=1".as_slice())], &names);
            let is_read = format!("{with:?}") != format!("{:?}", Credentials::default());
            assert_eq!(is_read, Credentials::depend_on(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn debug_reveals_no_value() {
        assert_eq!(format!("{:?}", RawCookie(b"secret")), "RawCookie(…)");
    }
}
