//! Whether an origin pattern trusts a page that is not the operator's.
//!
//! A wildcard is safe if only the operator can choose the names it matches: left of the operator's own domain, or in
//! a port. Anywhere else, a stranger can register a name, get an address or write an extension that the pattern
//! matches. A pattern that cannot be proved to be safe is refused.

use std::net::Ipv4Addr;

use super::cookie_names::CookieNames;
use super::is_this_machine;
use super::origin_pattern::OriginPattern;
use super::registrars::{Registrar, registrar};

const EXAMPLES: &str = "\"https://app.example.com\" or \"https://*.example.com\"";

/// A problem of a pattern. Each text continues "… holds (the pattern)".
pub(super) enum Finding {
    /// Strangers match it.
    Refuse(String),
    /// The operator may have meant it.
    Warn(String),
}

/// The first problem of a pattern, if it has one.
pub(super) fn find(pattern: &OriginPattern, cookie_names: &CookieNames) -> Option<Finding> {
    let text = pattern.text().to_lowercase();
    if let Some((scheme, rest)) = text.split_once(':')
        && is_of_extensions(scheme)
        && (rest.starts_with("//") || !pattern.has_wildcard())
    {
        return find_in_extension(pattern, scheme, rest);
    }
    let parts = Parts::of(&text);
    if parts.is_of_app() || !pattern.has_wildcard() {
        return None;
    }
    if let Some(slash) = parts.rest.find(['/', '\\']) {
        return parts.may_match_with_path(slash).then(|| Finding::Refuse(parts.path_problem(slash)));
    }
    if let Some(strangers) = parts.strangers(pattern) {
        return Some(Finding::Refuse(strangers));
    }
    if cookie_names.is_secure() && parts.matches_http() && !parts.is_on_this_machine() {
        let example = parts.example(pattern, "http");
        return Some(Finding::Refuse(format!(
            ", which trusts http pages{example} as well: anybody on the network can write such a page, and the session \
             cookie is for https only. Write \"https://{}\"",
            parts.rest
        )));
    }
    let domain = parts.domain().filter(|domain| registrar(domain) == Registrar::Customers)?;
    Some(Finding::Warn(format!(
        ": {domain} is shared, so everybody who deploys there is trusted. Name your own site, as in \
         \"https://my-app.{domain}\""
    )))
}

/// Whether a scheme is one of browser extensions. Extensions run in the browser that has the cookies, and anybody can
/// write one. In contrast, pages of an app's own scheme (`myapp://`) have only the app's cookies.
fn is_of_extensions(scheme: &str) -> bool {
    scheme == "extension" || scheme.ends_with("-extension")
}

fn find_in_extension(pattern: &OriginPattern, scheme: &str, rest: &str) -> Option<Finding> {
    let id = rest.strip_prefix("//").map(|rest| rest.split(['/', '#']).next().unwrap_or_default());
    let trusts_any = pattern.matches(&format!("{scheme}://attacker")) || id.is_some_and(is_glob);
    trusts_any.then(|| {
        Finding::Refuse(format!(
            ", which trusts every extension that a user installs: name your own, as in \"{scheme}://<its id>\""
        ))
    })
}

/// The parts of a pattern, in lower case.
struct Parts<'a> {
    /// None matches any scheme.
    scheme: Option<&'a str>,
    /// The text after the scheme.
    rest: &'a str,
    host: &'a str,
    /// The port with its colon. Empty if there is none.
    port: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        let address = if rest.starts_with('[') { rest.find(']').unwrap_or(rest.len()) } else { 0 };
        let port = rest[address..].find(':').map_or(rest.len(), |colon| address + colon);
        let (host, port) = rest.split_at(port);
        Self { scheme, rest, host, port }
    }

    /// Whether the scheme has no wildcard and is neither http nor https.
    fn is_of_app(&self) -> bool {
        let is_plain =
            |scheme: &str| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        self.scheme.is_some_and(|scheme| is_plain(scheme) && !matches!(scheme, "http" | "https"))
    }

    fn matches_http(&self) -> bool {
        self.scheme.is_none_or(|scheme| {
            OriginPattern::parse(&format!("{scheme}://*")).is_ok_and(|pattern| pattern.matches("http://h"))
        })
    }

    fn is_on_this_machine(&self) -> bool {
        is_this_machine(self.host) || self.host.ends_with(".localhost")
    }

    /// Whether a pattern with a path can match. An origin has no path, so all its segments must match nothing.
    fn may_match_with_path(&self, slash: usize) -> bool {
        let (host, path) = self.rest.split_at(slash);
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let between = &segments[..segments.len().saturating_sub(1)];
        host.bytes().all(|byte| byte == b'*')
            || self.rest.contains('\\')
            || segments.contains(&"**")
            || between.contains(&"")
    }

    fn path_problem(&self, slash: usize) -> String {
        let host = &self.rest[..slash];
        let spelling = if !self.rest.contains('\\') && host.contains(|c: char| c.is_alphanumeric()) {
            format!("write \"{}{host}\"", self.scheme_for(host))
        } else {
            format!("write it as in {EXAMPLES}")
        };
        format!(
            ", but an origin ends with its host or port, and what follows here may match strangers: {spelling}"
        )
    }

    /// For a host with a wildcard: the domain that contains every matching host.
    fn domain(&self) -> Option<&'a str> {
        let (_, tail) = self.at_last_wildcard()?;
        tail.split_once('.').map(|(_, domain)| domain.trim_start_matches('.'))
    }

    /// The host up to its last wildcard, and the text after it.
    fn at_last_wildcard(&self) -> Option<(&'a str, &'a str)> {
        let last = self.host.rfind(['*', '?'])?;
        Some(self.host.split_at(last + 1))
    }

    /// Which strangers the pattern trusts, and how to write it safely.
    fn strangers(&self, pattern: &OriginPattern) -> Option<String> {
        let (start, tail) = self.at_last_wildcard()?;
        let domain = self.domain().map(|domain| (domain, registrar(domain)));
        if let Some((_, Registrar::Owner | Registrar::Customers)) = domain {
            return None;
        }
        let example = self.example(pattern, "https");
        let Self { host, port, .. } = self;
        let scheme = self.scheme_for(host.trim_end_matches('*'));
        let any_start = start.bytes().all(|byte| b"*?.".contains(&byte));
        Some(match domain {
            _ if is_address_range(host) && host.trim_end_matches('*').parse::<Ipv4Addr>().is_err() => {
                format!(
                    ", which trusts whoever gets such an address on a network that a user joins{example}: list the \
                     addresses, as in \"{scheme}{}{}\"",
                    host.replace('*', "20").replace('?', "2"),
                    if is_glob(port) { ":3000" } else { port },
                )
            }
            _ if any_start && tail.bytes().all(|byte| byte == b'.') => {
                format!(", which trusts every site there is{example}: name yours, as in {EXAMPLES}")
            }
            Some((domain, _)) if any_start && tail.starts_with('.') => format!(
                ", which trusts every site under .{domain}{example}: name your domain, as in \
                 \"{scheme}*.example.{domain}{port}\""
            ),
            Some((domain, _)) if tail.starts_with('.') => format!(
                ", which also trusts strangers{example}: name your domain, as in \
                 \"{scheme}{start}.example.{domain}{port}\""
            ),
            _ => format!(
                ", which also trusts strangers{example}: write {}",
                self.spelling(start, tail, &scheme)
            ),
        })
    }

    /// A safe pattern for what the operator may have meant by one whose wildcard is not followed by a domain.
    fn spelling(&self, start: &str, tail: &str, scheme: &str) -> String {
        let port = self.port;
        match registrar(tail) {
            _ if tail.starts_with('-') => {}
            Registrar::Owner => return format!("\"{scheme}{start}.{tail}{port}\""),
            Registrar::Customers => return format!("\"{scheme}my-app.{tail}{port}\""),
            Registrar::Anybody => {}
        }
        let name = start.trim_end_matches('*');
        let is_safe = Parts { host: name, ..*self }
            .domain()
            .is_some_and(|domain| registrar(domain) == Registrar::Owner);
        let is_whole =
            (is_safe || !is_glob(name)) && name.ends_with(|c: char| c.is_alphanumeric() || c == ']');
        match (tail, port) {
            ("", "") if is_whole => {
                format!("\"{scheme}{name}\", or \"{scheme}{name}:*\" for its other ports")
            }
            ("", _) if is_whole => format!("\"{scheme}{name}{port}\""),
            _ => format!("the whole name, as in {EXAMPLES}"),
        }
    }

    fn scheme_for(&self, host: &str) -> String {
        match self.scheme {
            Some(scheme @ ("http" | "https")) => format!("{scheme}://"),
            _ if is_this_machine(host) => "http://".to_owned(),
            _ => "https://".to_owned(),
        }
    }

    /// ", such as …" with an origin of a stranger that the pattern matches. Empty if none is found.
    fn example(&self, pattern: &OriginPattern, scheme: &str) -> String {
        let mut host = String::new();
        for (at, character) in self.host.char_indices() {
            match character {
                '*' if is_address_range(self.host) => host += "66",
                '?' if is_address_range(self.host) => host += "6",
                '*' if self.host[at..].bytes().all(|byte| byte == b'*') => {
                    host += if host.is_empty() || host.ends_with('.') { "" } else { "." };
                    host += "attacker.example";
                    break;
                }
                '*' => host += "attacker",
                '?' => host.push('x'),
                other => host.push(other),
            }
        }
        let port = self.port.replace('*', "81").replace('?', "8");
        [scheme, "https", "http"]
            .into_iter()
            .map(|scheme| format!("{scheme}://{host}{port}"))
            .find(|origin| pattern.matches(origin))
            .map_or_else(String::new, |origin| format!(", such as {origin}"))
    }
}

fn is_glob(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Whether a host is a range of addresses. In Better Auth 1.7 such a pattern matches only addresses. In 1.4 it also
/// matches names: `http://192.168.1.attacker.example`.
fn is_address_range(host: &str) -> bool {
    host.contains(|c: char| c.is_ascii_digit())
        && host.bytes().all(|byte| byte.is_ascii_digit() || b"*?.".contains(&byte))
}
