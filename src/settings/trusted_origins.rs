//! Which origins may act for a user: the base URL's own, and those that match a configured pattern.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use url::Url;

use super::cookie_names::CookieNames;
use super::given;
use super::origin_pattern::OriginPattern;
use super::strangers::{self, Finding};
use crate::error::Error;

pub(super) const SETTING: &str = "trusted_origins (BETTER_AUTH_TRUSTED_ORIGINS, FRONTEND_URL)";

/// The origins that may act for a user.
#[derive(Clone, Debug, Default)]
pub struct TrustedOrigins {
    base: Option<String>,
    patterns: Vec<OriginPattern>,
}

impl TrustedOrigins {
    /// Checks each pattern. Also returns the warnings: patterns that trust more than they seem to, or that can
    /// never match a browser's `Origin`.
    pub(super) fn check(
        base_url: Option<&Url>,
        patterns: &[String],
        cookie_names: &CookieNames,
    ) -> Result<(Self, Vec<String>), Error> {
        let mut checked = Vec::new();
        let mut warnings = Vec::new();
        let patterns = listed(patterns)?;
        for text in patterns.iter().filter_map(|text| given(Some(text))) {
            let pattern = OriginPattern::parse(text)?;
            let never = match without_user(text) {
                Cow::Borrowed(_) => pattern.never_matches(),
                Cow::Owned(_) => {
                    Some("an origin contains no user or password: remove what is before the @".to_owned())
                }
            };
            let text = without_user(text);
            match strangers::find(&pattern, cookie_names) {
                Some(Finding::Refuse(what)) => {
                    return Err(Error::configuration(format!("{SETTING} holds {text:?}{what}")));
                }
                Some(Finding::Warn(what)) => warnings.push(format!("{SETTING} holds {text:?}{what}")),
                None => {}
            }
            if let Some(reason) = never {
                warnings.push(format!("{SETTING} holds {text:?}, which can never match: {reason}"));
            }
            checked.push(pattern);
        }
        let base = base_url.map(|url| url.origin().ascii_serialization());
        Ok((Self { base, patterns: checked }, warnings))
    }

    /// The base URL's own origin.
    #[must_use]
    pub fn base(&self) -> Option<&str> {
        self.base.as_deref()
    }

    /// Whether any origin but the base URL's is listed.
    #[must_use]
    pub fn has_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// Whether the value of an `Origin` header is trusted.
    #[must_use]
    pub fn contains(&self, origin: &str) -> bool {
        self.base.as_deref() == Some(origin) || self.patterns.iter().any(|pattern| pattern.matches(origin))
    }
}

/// For messages: without a user and a password, which no origin has.
fn without_user(pattern: &str) -> Cow<'_, str> {
    match pattern.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, host)) => Cow::Owned(format!("{scheme}://…@{host}")),
        None => pattern
            .rsplit_once('@')
            .map_or(Cow::Borrowed(pattern), |(_, host)| Cow::Owned(format!("…@{host}"))),
    }
}

/// The patterns of a JSON list, if the setting is one. Like Better Auth's own form, it was already split at its commas.
fn listed(patterns: &[String]) -> Result<Cow<'_, [String]>, Error> {
    let joined = patterns.join(",");
    let text = joined.trim();
    if !text.starts_with('[') || is_ipv6_host(patterns.first().map_or("", |first| first.trim())) {
        return Ok(Cow::Borrowed(patterns));
    }
    serde_json::from_str(text).map(Cow::Owned).map_err(|_| {
        Error::configuration(format!(
            "{SETTING} begins with \"[\" and is not a JSON list of texts: write [\"https://app.example.com\"], or \
             origins with commas between them"
        ))
    })
}

/// Whether a pattern begins with an address in brackets, wildcards included, as in `[::1]:*`.
fn is_ipv6_host(pattern: &str) -> bool {
    let Some((inside, _)) = pattern.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return false;
    };
    let is_pattern = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.' | '*' | '?');
    inside.parse::<Ipv6Addr>().is_ok() || (inside.contains(':') && inside.chars().all(is_pattern))
}

/// Whether a base URL is https; None if none is set.
///
/// # Errors
/// [`Error::Configuration`] if it is not a URL.
pub fn is_https(base_url: Option<&str>) -> Result<Option<bool>, Error> {
    Ok(check_base_url(base_url)?.map(|url| url.scheme() == "https"))
}

/// The base URL, if one is set.
pub(super) fn check_base_url(text: Option<&str>) -> Result<Option<Url>, Error> {
    let Some(text) = given(text) else { return Ok(None) };
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.map(Some).ok_or_else(|| {
        Error::configuration(
            "BETTER_AUTH_URL is not an http or https URL: set the Better Auth server's base URL, as in \
             https://auth.example.com",
        )
    })
}

/// Whether a host name always means the local machine.
pub(crate) fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    // Servers that listen on all interfaces print 0.0.0.0, and people open that address.
    host == "localhost" || address.is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}
