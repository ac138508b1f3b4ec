//! Better Auth's two cookie parsers, translated line by line. They are slow, but easy to compare with the originals.
//!
//! As in Node, the text of a header is Latin-1: each character is one byte.

pub(crate) struct Cookie {
    pub(crate) name: String,
    /// The text in the header, without quotes.
    pub(crate) written: String,
    /// The percent-decoded text, or the text itself if it cannot be decoded.
    pub(crate) value: String,
}

/// `parseCookies` of better-call's `cookies.mjs`. The first of two cookies with one name wins.
pub(crate) fn better_call(header: &[char]) -> Vec<Cookie> {
    let index_of = |wanted, from: usize| (from..header.len()).find(|&at| header[at] == wanted);
    let mut cookies: Vec<Cookie> = Vec::new();
    let mut index = 0;
    while index < header.len() {
        let Some(equals) = index_of('=', index) else { break };
        let end = index_of(';', index).unwrap_or(header.len());
        if end < equals {
            index = (0..equals).rev().find(|&at| header[at] == ';').map_or(0, |at| at + 1);
            continue;
        }
        let name: String = trim(&header[index..equals]).iter().collect();
        if !cookies.iter().any(|cookie| cookie.name == name) {
            let mut value = trim(&header[equals + 1..end]);
            if value.first() == Some(&'"') {
                // JavaScript's slice(1, -1).
                value = if value.len() < 2 { &[] } else { &value[1..value.len() - 1] };
            }
            let written: String = value.iter().collect();
            cookies.push(Cookie { name, value: try_decode(&written), written });
        }
        index = end + 1;
    }
    cookies
}

/// `parseCookies` of better-auth's `cookies/cookie-utils.mjs`, which reads chunks. The last of two wins.
pub(crate) fn better_auth(header: &[char]) -> Vec<Cookie> {
    let mut cookies: Vec<Cookie> = Vec::new();
    for chunk in header.split(|&c| c == ';') {
        let Some(equals) = chunk.iter().position(|&c| c == '=') else { continue };
        let text = |part: &[char]| part.iter().collect::<String>();
        let is_space = |c| c == ' ' || c == '\t';
        let name = text(&chunk[..equals]).trim_matches(is_space).to_owned();
        let value = text(&chunk[equals + 1..]).trim_matches(is_space).to_owned();
        let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let written = inner.unwrap_or(&value).to_owned();
        if is_name(&name) && is_value(&written) {
            cookies.retain(|cookie| cookie.name != name);
            cookies.push(Cookie { name, value: try_decode(&written), written });
        }
    }
    cookies
}

/// RFC 9110 §5.6.2.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

/// RFC 6265 §4.1.1, with space and comma.
fn is_value(value: &str) -> bool {
    value.chars().all(|c| matches!(c, ' '..='~') && !matches!(c, '"' | ';' | '\\'))
}

/// JavaScript's `trim()`, for Latin-1.
fn trim(mut text: &[char]) -> &[char] {
    let is_space = |c: char| matches!(c, '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{a0}');
    while text.first().is_some_and(|&c| is_space(c)) {
        text = &text[1..];
    }
    while text.last().is_some_and(|&c| is_space(c)) {
        text = &text[..text.len() - 1];
    }
    text
}

/// `decodeURIComponent`, or the text itself if that throws.
pub(crate) fn try_decode(text: &str) -> String {
    decode_uri_component(&text.chars().collect::<Vec<_>>()).unwrap_or_else(|| text.to_owned())
}

/// ECMA-262 §19.2.6.5. None if it throws.
fn decode_uri_component(text: &[char]) -> Option<String> {
    let mut decoded = String::new();
    let mut at = 0;
    while at < text.len() {
        if text[at] != '%' {
            decoded.push(text[at]);
            at += 1;
            continue;
        }
        let first = escape(text, at)?;
        let length = match first.leading_ones() {
            0 => 1,
            length @ 2..=4 => length as usize,
            _ => return None,
        };
        let octets: Option<Vec<u8>> = (0..length).map(|octet| escape(text, at + 3 * octet)).collect();
        decoded += std::str::from_utf8(&octets?).ok()?;
        at += 3 * length;
    }
    Some(decoded)
}

/// The byte of the `%XX` at this index.
fn escape(text: &[char], at: usize) -> Option<u8> {
    let digit = |at: usize| text.get(at).and_then(|c| c.to_digit(16));
    if text.get(at) != Some(&'%') {
        return None;
    }
    u8::try_from(16 * digit(at + 1)? + digit(at + 2)?).ok()
}
