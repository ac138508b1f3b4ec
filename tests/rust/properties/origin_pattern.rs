//! A trusted-origin pattern matches the same URLs as in Better Auth, and no text causes a panic.

use auth_middleware::settings::OriginPattern;
use url::{Position, Url};

use super::{parse_cookies, wildcard};

/// A pattern, a newline, a URL.
pub(crate) fn on_bytes(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (pattern, url) = text.split_once('\n').unwrap_or((&text, "https://app.example.com"));
    trusts_what_better_auth_trusts(pattern, url);
}

pub(crate) fn trusts_what_better_auth_trusts(pattern: &str, url: &str) {
    // Only a pattern that is too long is refused.
    let Ok(parsed) = OriginPattern::parse(pattern) else { return };
    let ours = parsed.matches(url);
    // JavaScript counts a character outside the BMP as two, and the model is slow for long texts.
    let is_for_model = |text: &str| text.len() <= 120 && text.chars().all(|c| u32::from(c) < 0x1_0000);
    if is_for_model(pattern) && is_for_model(url) {
        assert_eq!(ours, matches_origin_pattern(url, pattern), "{pattern:?} on {url:?}");
    }
}

/// `matchesOriginPattern` of better-auth's `auth/trusted-origins.mjs`.
fn matches_origin_pattern(url: &str, pattern: &str) -> bool {
    if url.starts_with('/') {
        return false;
    }
    let parsed = Url::parse(url).ok();
    let has_wildcard = pattern.contains('*') || pattern.contains('?');
    if has_wildcard && !pattern.contains("://") {
        let host = parsed.map(|url| url[Position::BeforeHost..Position::AfterPort].to_owned());
        return host.is_some_and(|host| {
            !host.is_empty() && wildcard::matches(pattern, &host) && is_allowed_ipv4_host(pattern, &host)
        });
    }
    let Some(parsed) = parsed else { return false };
    if matches!(parsed.scheme(), "http" | "https") {
        let origin = parsed.origin().ascii_serialization();
        if !has_wildcard {
            return pattern == origin;
        }
        let after_scheme = |text: &str| text.split_once("://").map(|(_, rest)| rest.to_owned());
        let (Some(wanted), Some(given)) = (after_scheme(pattern), after_scheme(&origin)) else {
            return false;
        };
        return wildcard::matches(pattern, &origin) && is_allowed_ipv4_host(&wanted, &given);
    }
    let (Some(given), Some(wanted)) = (custom_scheme(url, false), custom_scheme(pattern, has_wildcard))
    else {
        return false;
    };
    if given.scheme != wanted.scheme {
        return false;
    }
    if has_wildcard {
        let path = if given.path.is_empty() { "/" } else { &given.path };
        return !given.authority.contains('@')
            && (wanted.authority.is_empty()
                || (wildcard::matches(&wanted.authority, &given.authority)
                    && is_allowed_ipv4_host(&wanted.authority, &given.authority)))
            && (wanted.path.is_empty() || wildcard::matches(&wanted.path, path));
    }
    if !wanted.authority.is_empty() && given.authority != wanted.authority {
        return false;
    }
    wanted.path.is_empty()
        || given.path == wanted.path
        || given.path.starts_with(&format!("{}/", wanted.path))
}

fn is_allowed_ipv4_host(pattern: &str, authority: &str) -> bool {
    let wanted = pattern.split(':').next().unwrap_or_default();
    let is_range = wanted.contains(|c: char| c.is_ascii_digit())
        && wanted.chars().all(|c| matches!(c, '0'..='9' | '*' | '?' | '.'));
    !is_range || is_ipv4(authority.split(':').next().unwrap_or_default())
}

/// zod's rule: four numbers up to 255 without leading zeros.
fn is_ipv4(host: &str) -> bool {
    let is_byte = |part: &str| part.parse::<u8>().is_ok_and(|byte| byte.to_string() == part);
    host.split('.').count() == 4 && host.split('.').all(is_byte)
}

struct CustomScheme {
    scheme: String,
    authority: String,
    path: String,
}

/// `parseCustomSchemeOrigin`.
fn custom_scheme(value: &str, is_wildcard: bool) -> Option<CustomScheme> {
    if value.contains(|c| matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}')) {
        return None;
    }
    let scheme_end = value.find(':').filter(|&at| at > 0)?;
    let mut rest = &value[scheme_end + 1..];
    let mut authority = "";
    if let Some(after) = rest.strip_prefix("//") {
        let end = after.find(|c| c == '/' || c == '#' || (c == '?' && !is_wildcard)).unwrap_or(after.len());
        (authority, rest) = (&after[..end], &after[end..]);
    }
    let path_end = rest.find(|c| c == '#' || (c == '?' && !is_wildcard)).unwrap_or(rest.len());
    Some(CustomScheme {
        scheme: value[..scheme_end].to_lowercase(),
        authority: authority.to_lowercase(),
        path: normalize_path(&rest[..path_end]),
    })
}

fn normalize_path(path: &str) -> String {
    let decoded = parse_cookies::try_decode(path);
    let mut segments = Vec::new();
    for segment in decoded.split('/') {
        if segment == ".." {
            segments.pop();
        } else if segment != "." && !segment.is_empty() {
            segments.push(segment);
        }
    }
    if segments.is_empty() { String::new() } else { format!("/{}", segments.join("/")) }
}
