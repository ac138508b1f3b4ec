//! Why this request has no accepted credential.

use std::net::IpAddr;

use super::printable::printable;
use super::{Causes, Finding, Headers};
use crate::credentials::{Credentials, Header, RawCookie, Request, cookies};
use crate::origin;
use crate::refusal::{Cause, Reason, Refusal};
use crate::settings::{TrustedOrigins, is_signed_beside, is_this_machine};

/// How many cookies of other names are verified.
const MAX_VERIFIED: usize = 16;
/// The longest name of a cookie that is logged.
const MAX_NAME_BYTES: usize = 100;
/// The session cookie's and the cookie cache's names, whatever the prefix.
const SUFFIXES: [&str; 2] = ["session_token", "session_data"];
/// Names within a network, which no browser uses.
const INTERNAL: [&str; 4] = [".local", ".internal", ".svc", ".lan"];

impl Causes {
    /// The refusal of a request without a credential.
    pub fn missing<'a>(
        &self,
        request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])>>,
        shown: &Credentials<'a>,
        origins: &TrustedOrigins,
    ) -> Refusal {
        let kind = request.kind;
        let headers: Vec<_> = request.into_headers().into_iter().collect();
        let reason = match () {
            () if !self.accepted.cookie => Reason::NoToken,
            () if shown.other_spelling => Reason::WrongCookieName,
            () => Reason::NoCookie,
        };
        let finding = self
            .in_cookies(shown, &headers)
            .or_else(|| self.in_authorization(kind, &headers))
            .or_else(|| self.in_host(shown, origins))
            .or_else(|| self.of_page(shown, &headers, origins));
        match finding {
            Some((cause, detail)) => Refusal::caused_by(reason, cause, detail),
            None => reason.into(),
        }
    }

    fn in_cookies(&self, shown: &Credentials<'_>, headers: &Headers<'_>) -> Option<Finding> {
        if !self.accepted.cookie {
            return shown.session_cookie.is_some().then_some((Cause::CookieNotListed, None));
        }
        if shown.other_spelling {
            return Some((Cause::OtherSpelling, Some(self.names.other_spelling.clone())));
        }
        let headers = headers.iter().filter(|(name, _)| *name == b"cookie");
        let pairs: Vec<(&[u8], &[u8])> = headers.flat_map(|(_, value)| cookies(value)).collect();
        self.renamed(&pairs).or_else(|| self.of_other_prefix(&pairs)).or_else(|| {
            let is_alone = shown.session_data.is_any();
            is_alone.then(|| (Cause::SessionDataAlone, Some(self.names.session_data.clone())))
        })
    }

    /// A cookie that Better Auth signed, under a name that is neither ours nor one of its other cookies'.
    fn renamed(&self, pairs: &[(&[u8], &[u8])]) -> Option<Finding> {
        let with_signature = pairs.iter().filter(|(_, value)| value.len() > 44 && value.contains(&b'.'));
        for (name, value) in with_signature.take(MAX_VERIFIED) {
            let Some(name) = cookie_name(name) else { continue };
            let Some(token) = RawCookie::of_header(value).decode().and_then(|text| self.keys.verify(&text))
            else {
                continue;
            };
            // `dont_remember` is "true", and the cookies of the plugin for several sessions have the token in their name.
            let is_of_session = token.as_str().len() >= 16 && !name.contains("_multi-");
            if is_of_session
                && !is_signed_beside(name)
                && !name.to_ascii_lowercase().contains(&token.as_str().to_ascii_lowercase())
            {
                return Some((Cause::RenamedCookie, Some(name.to_owned())));
            }
        }
        None
    }

    fn of_other_prefix(&self, pairs: &[(&[u8], &[u8])]) -> Option<Finding> {
        let is_ours = |name: &str| {
            name.strip_prefix(self.names.session_data.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                || name == self.names.session_token
        };
        let names = pairs.iter().filter_map(|(name, _)| cookie_name(name));
        let mut others = names.filter(|name| {
            let chunk = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('.');
            !is_ours(name) && SUFFIXES.iter().any(|suffix| chunk.ends_with(suffix))
        });
        others.next().map(|name| (Cause::OtherPrefix, Some(name.to_owned())))
    }

    /// A page's request with CORS, without any cookie, where no settings are made for pages of other origins.
    fn of_page(
        &self,
        shown: &Credentials<'_>,
        headers: &Headers<'_>,
        origins: &TrustedOrigins,
    ) -> Option<Finding> {
        let Header::Once(origin) = shown.origin else { return None };
        let origin = std::str::from_utf8(origin).ok()?;
        let is_foreign = matches!(shown.sec_fetch_site, Header::Once(b"cross-site" | b"same-site"));
        let has = |name: &[u8], value: Option<&[u8]>| {
            headers.iter().any(|header| header.0 == name && value.is_none_or(|value| header.1 == value))
        };
        let is_cors = is_foreign && has(b"sec-fetch-mode", Some(b"cors"));
        let is_set_up = origins.has_patterns() || origins.contains(origin) || origin == "null";
        let has_credential = has(b"cookie", None) || has(b"authorization", None);
        (self.accepted.cookie && is_cors && !is_set_up && !has_credential)
            .then(|| (Cause::NoCookieOfPage, Some(printable(origin))))
    }

    fn in_host(&self, shown: &Credentials<'_>, origins: &TrustedOrigins) -> Option<Finding> {
        if !self.accepted.cookie {
            return None;
        }
        if let Some(names) = origin::other_name_of_this_machine(shown, origins) {
            return Some((Cause::OtherMachineName, Some(names)));
        }
        let base = self.base_host.as_deref()?;
        let Header::Once(host) = shown.host else { return None };
        let host = origin::host_name(std::str::from_utf8(host).ok()?).to_ascii_lowercase();
        let is_below = host.strip_suffix(base).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        let is_browser = shown.origin != Header::Absent || shown.sec_fetch_site != Header::Absent;
        (!is_below && is_public(&host, is_browser)).then(|| (Cause::OtherHost, Some(printable(&host))))
    }
}

/// A name that may be logged.
fn cookie_name(name: &[u8]) -> Option<&str> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.$".contains(byte);
    let is_short = (1..=MAX_NAME_BYTES).contains(&name.len());
    (is_short && name.iter().all(is_token)).then(|| std::str::from_utf8(name).ok()).flatten()
}

/// Whether a browser may use this name. Health checks, and proxies that replace the name, use addresses and names within
/// a network; those count if a page sent the request.
fn is_public(host: &str, is_browser: bool) -> bool {
    let is_valid = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte));
    let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() || is_this_machine(host);
    let is_internal = INTERNAL.iter().any(|suffix| host.ends_with(suffix));
    if is_address || is_internal {
        return is_valid && is_browser;
    }
    is_valid && host.len() <= 253 && host.contains('.') && !host.starts_with('.')
}
