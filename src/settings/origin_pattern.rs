//! One pattern in Better Auth's syntax (`matchesOriginPattern` in its `auth/trusted-origins`), and the URLs that it
//! matches.

use regex::Regex;
use url::{Position, Url};

use super::trusted_origins::SETTING;
use crate::error::Error;
use crate::uri_component;

/// One entry of Better Auth's `trustedOrigins`.
#[derive(Clone, Debug)]
pub struct OriginPattern {
    text: String,
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    /// No wildcard: compared with the whole origin, or part by part for a custom scheme.
    Exact,
    /// A wildcard and no scheme: compared with `host[:port]`.
    Host(Glob),
    /// A wildcard and a scheme: compared with the origin, or part by part for a custom scheme.
    Origin { whole: Glob, authority: Option<Glob>, path: Option<Glob> },
}

impl OriginPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`Error::Configuration`] if its wildcards cannot be compiled.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let shape = if !text.contains(['*', '?']) {
            Shape::Exact
        } else if let Some((_, rest)) = text.split_once("://") {
            let parts = Custom::parse(text, true).unwrap_or_default();
            let optional = |part: String| (!part.is_empty()).then(|| Glob::new(&part, &part)).transpose();
            Shape::Origin {
                whole: Glob::new(text, rest)?,
                authority: optional(parts.authority)?,
                path: optional(parts.path)?,
            }
        } else {
            Shape::Host(Glob::new(text, text)?)
        };
        Ok(Self { text: text.to_owned(), shape })
    }

    /// Whether this pattern makes Better Auth trust this URL.
    #[must_use]
    pub fn matches(&self, url: &str) -> bool {
        if url.starts_with('/') {
            return false;
        }
        let parsed = Url::parse(url).ok();
        if let Shape::Host(glob) = &self.shape {
            return parsed.is_some_and(|url| !host(&url).is_empty() && glob.admits(host(&url)));
        }
        let Some(parsed) = parsed else { return false };
        if !matches!(parsed.scheme(), "http" | "https") {
            return self.matches_custom_scheme(url);
        }
        let origin = parsed.origin().ascii_serialization();
        match &self.shape {
            Shape::Origin { whole, .. } => {
                whole.matches(&origin)
                    && whole.admits_address(origin.split_once("://").map_or("", |(_, host)| host))
            }
            _ => self.text == origin,
        }
    }

    fn matches_custom_scheme(&self, url: &str) -> bool {
        let (Some(given_url), Some(pattern_url)) =
            (Custom::parse(url, false), Custom::parse(&self.text, self.has_wildcard()))
        else {
            return false;
        };
        if given_url.scheme != pattern_url.scheme {
            return false;
        }
        if let Shape::Origin { authority, path, .. } = &self.shape {
            let given_path = if given_url.path.is_empty() { "/" } else { &given_url.path };
            return !given_url.authority.contains('@')
                && authority.as_ref().is_none_or(|glob| glob.admits(&given_url.authority))
                && path.as_ref().is_none_or(|glob| glob.matches(given_path));
        }
        (pattern_url.authority.is_empty() || given_url.authority == pattern_url.authority)
            && (pattern_url.path.is_empty()
                || given_url.path == pattern_url.path
                || given_url.path.strip_prefix(&pattern_url.path).is_some_and(|rest| rest.starts_with('/')))
    }

    /// The pattern as the operator wrote it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn has_wildcard(&self) -> bool {
        !matches!(self.shape, Shape::Exact)
    }

    /// Why no browser's `Origin` can match, if none can.
    pub(super) fn never_matches(&self) -> Option<String> {
        let is_http =
            ["http://", "https://"].iter().any(|scheme| self.text.to_ascii_lowercase().starts_with(scheme));
        if self.has_wildcard() {
            let rest = self.text.split_once("://").map_or(self.text.as_str(), |(_, rest)| rest);
            return (is_http && rest.contains('/'))
                .then(|| "an origin has no path, so leave out what follows the host".to_owned());
        }
        if self.text.eq_ignore_ascii_case("null") {
            return Some(
                "origin `null` is never trusted, because any page can send it from a sandboxed frame. Serve the page from \
                 an origin of its own, and list that one"
                    .to_owned(),
            );
        }
        if !self.text.contains("://") {
            return Some(format!("an origin has a scheme, as in https://{}", self.text));
        }
        let canonical = Url::parse(&self.text).ok().map(|url| url.origin().ascii_serialization());
        match canonical {
            _ if !is_http => None,
            Some(origin) if origin == self.text => None,
            Some(origin) => Some(format!("browsers send {origin:?}")),
            None => Some("it is not a URL".to_owned()),
        }
    }
}

/// `host[:port]`, without a default port: JavaScript's `URL.host`.
fn host(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
}

/// A wildcard pattern, in which `*` and `?` do not match `/`.
#[derive(Clone, Debug)]
struct Glob {
    regex: Regex,
    /// Whether the host has only digits, dots and wildcards. It is an address range, which must not
    /// match `192.168.attacker.com`.
    only_addresses: bool,
}

impl Glob {
    fn new(pattern: &str, authority: &str) -> Result<Self, Error> {
        let regex = Regex::new(&format!("^(?:{})$", translate(pattern))).map_err(|_| {
            Error::configuration(format!(
                "{SETTING} holds a pattern that is too long: {} bytes",
                pattern.len()
            ))
        })?;
        let host = authority.split(':').next().unwrap_or_default();
        let only_addresses = host.contains(|c: char| c.is_ascii_digit())
            && host.chars().all(|c| c.is_ascii_digit() || "*?.".contains(c));
        Ok(Self { regex, only_addresses })
    }

    fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    fn admits(&self, authority: &str) -> bool {
        self.matches(authority) && self.admits_address(authority)
    }

    fn admits_address(&self, authority: &str) -> bool {
        let host = authority.split(':').next().unwrap_or_default();
        !self.only_addresses || host.parse::<std::net::Ipv4Addr>().is_ok()
    }
}

/// Better Auth's `wildcardMatch` as a regular expression: `**` between slashes spans segments.
fn translate(pattern: &str) -> String {
    const NOT_SLASH: &str = r"[^/\\]";
    let segments: Vec<&str> = pattern.split('/').collect();
    let mut regex = String::new();
    for (at, segment) in segments.iter().enumerate() {
        if segment.is_empty() && at > 0 {
            continue;
        }
        let separator = match segments.get(at + 1) {
            None => r"[/\\]*?",
            Some(&"**") => "",
            Some(_) => r"[/\\]+?",
        };
        if *segment == "**" {
            if !separator.is_empty() {
                regex += if at == 0 { "" } else { separator };
                regex.extend(["(?:", NOT_SLASH, "*?", separator, ")*?"]);
            }
            continue;
        }
        let mut characters = segment.chars();
        while let Some(character) = characters.next() {
            match character {
                '*' => regex.extend([NOT_SLASH, "*?"]),
                '?' => regex += NOT_SLASH,
                '\\' => regex.extend(characters.next().map(|next| regex::escape(&next.to_string()))),
                plain => regex += &regex::escape(&plain.to_string()),
            }
        }
        regex += separator;
    }
    regex
}

/// A custom-scheme URL (`myapp://host/path`) in parts. Better Auth splits these itself, because
/// JavaScript engines parse them differently. This code splits them in the same manner.
#[derive(Default)]
struct Custom {
    scheme: String,
    authority: String,
    path: String,
}

impl Custom {
    fn parse(text: &str, is_wildcard: bool) -> Option<Self> {
        if text.contains(char::is_control) {
            return None;
        }
        let (scheme, mut rest) = text.split_once(':').filter(|(scheme, _)| !scheme.is_empty())?;
        let mut authority = "";
        if let Some(after) = rest.strip_prefix("//") {
            let ends: &[char] = if is_wildcard { &['/', '#'] } else { &['/', '?', '#'] };
            (authority, rest) = after.split_at(after.find(ends).unwrap_or(after.len()));
        }
        let ends: &[char] = if is_wildcard { &['#'] } else { &['?', '#'] };
        let path = &rest[..rest.find(ends).unwrap_or(rest.len())];
        Some(Self { scheme: scheme.to_lowercase(), authority: authority.to_lowercase(), path: resolve(path) })
    }
}

/// A path with decoded escapes and resolved dots, so that `/cb/../evil` is `/evil`.
fn resolve(path: &str) -> String {
    let decoded = uri_component::decode(path.into());
    let mut segments = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            ".." => drop(segments.pop()),
            "." | "" => {}
            name => segments.push(name),
        }
    }
    segments.iter().fold(String::new(), |path, segment| path + "/" + segment)
}
