//! 2 — May a page from there speak for this user?
//!
//! Browsers attach cookies to requests that other sites' pages make: to unsafe methods, unless
//! `SameSite` stops them, and to WebSocket handshakes, where nothing else does. The rule is that
//! of Go 1.25's `http.CrossOriginProtection`, made stricter. `X-Forwarded-*` is never read: any
//! client can send it.

use url::Url;

use crate::credentials::{Credentials, Header, Kind};
use crate::settings::{CookieNames, TrustedOrigins};

/// How much of a hostile header an operator's log shows.
const SHOWN_CHARACTERS: usize = 120;

/// Refuses a request with our cookie whose sender is a page that is not ours.
///
/// # Errors
/// The origin, printable and bounded, when the page is not ours.
pub fn check(
    kind: Kind,
    shown: &Credentials<'_>,
    trusted: &TrustedOrigins,
    names: &CookieNames,
) -> Result<(), String> {
    if kind == Kind::SafeHttp {
        return Ok(());
    }
    let origin = match shown.origin {
        Header::Once(origin) => std::str::from_utf8(origin).ok(),
        Header::Absent | Header::Repeated => None,
    };
    if shown.origin == Header::Repeated || shown.sec_fetch_site == Header::Repeated {
        return Err(describe(shown));
    }
    if origin.is_some_and(|origin| is_canonical(origin) && trusted.contains(origin)) {
        return Ok(());
    }
    if matches!(shown.sec_fetch_site, Header::Once(b"same-origin" | b"none")) {
        return Ok(());
    }
    if origin.is_some_and(|origin| is_same_host(origin, shown.host, names)) {
        return Ok(());
    }
    if shown.origin == Header::Absent && shown.sec_fetch_site == Header::Absent {
        return Ok(()); // Not a browser.
    }
    Err(describe(shown))
}

/// An `Origin` as browsers write it: nothing before the host, nothing after the port.
fn is_canonical(origin: &str) -> bool {
    match Url::parse(origin) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url.origin().ascii_serialization() == origin,
        Ok(_) => true,
        Err(_) => false,
    }
}

/// The page came from the host that it calls. Over http a neighbour on the wire could have
/// written it, so where our cookie is for https only, so must be the page.
fn is_same_host(origin: &str, host: Header<'_>, names: &CookieNames) -> bool {
    let Header::Once(host) = host else { return false };
    let (Some((scheme, rest)), Ok(host)) = (origin.split_once("://"), std::str::from_utf8(host)) else {
        return false;
    };
    let default_port = match scheme {
        "https" => ":443",
        "http" if !names.is_secure() => ":80",
        _ => return false,
    };
    is_canonical(origin) && rest == host.strip_suffix(default_port).unwrap_or(host)
}

fn describe(shown: &Credentials<'_>) -> String {
    let text = match shown.origin {
        Header::Once(origin) => String::from_utf8_lossy(origin).into_owned(),
        Header::Repeated => "several Origin headers".to_owned(),
        Header::Absent => "no Origin header, Sec-Fetch-Site says another site".to_owned(),
    };
    text.chars()
        .take(SHOWN_CHARACTERS)
        .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{RawSettings, Settings};

    fn is_ours(base_url: &str, kind: Kind, headers: &[(&str, &str)]) -> bool {
        let settings = Settings::check(RawSettings {
            database_url: Some("postgresql://u@h/d".into()),
            secret: Some("0123456789abcdefghijklmnopqrstuv".into()),
            base_url: Some(base_url.into()),
            trusted_origins: vec!["https://*.ok.dev".into(), "capacitor://localhost".into()],
            ..RawSettings::default()
        });
        let Ok(settings) = settings else { panic!("settings refused") };
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let shown = Credentials::read(headers, &settings.cookie_names);
        check(kind, &shown, &settings.trusted_origins, &settings.cookie_names).is_ok()
    }

    #[test]
    fn decides_each_row_of_the_rule() {
        let rows: [(&[(&str, &str)], bool); 24] = [
            (&[], true),
            (&[("origin", "https://auth.test")], true),
            (&[("origin", "https://a.ok.dev")], true),
            (&[("origin", "capacitor://localhost")], true),
            (&[("origin", "https://evil.io")], false),
            (&[("origin", "https://evil.io"), ("sec-fetch-site", "same-site")], false),
            (&[("origin", "null")], false),
            (&[("origin", "")], false),
            (&[("origin", "null"), ("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("origin", "https://auth.test"), ("origin", "https://auth.test")], false),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], false),
            (&[("origin", "https://auth.test:444")], false),
            (&[("origin", "HTTPS://AUTH.TEST")], false),
            (&[("origin", "https://user@auth.test")], false),
            (&[("origin", "https://auth.test.evil.io")], false),
            (&[("origin", "https://auth.test/path")], false),
            (&[("origin", "https://api.test"), ("host", "api.test")], true),
            (&[("origin", "https://api.test"), ("host", "api.test:443")], true),
            (&[("origin", "http://api.test"), ("host", "api.test")], false),
            (&[("origin", "https://api.test"), ("host", "api.test"), ("host", "evil.io")], false),
            (&[("origin", "https://evil.io"), ("host", "api.test"), ("x-forwarded-host", "evil.io")], false),
        ];
        for (headers, ours) in rows {
            for kind in [Kind::UnsafeHttp, Kind::Handshake] {
                assert_eq!(is_ours("https://auth.test", kind, headers), ours, "{headers:?}");
            }
            assert!(is_ours("https://auth.test", Kind::SafeHttp, headers), "{headers:?}");
        }
    }

    #[test]
    fn a_plain_cookie_may_come_from_a_plain_page_of_the_same_host_and_port() {
        let post = |headers: &[(&str, &str)]| is_ours("http://localhost:3000", Kind::UnsafeHttp, headers);
        assert!(post(&[("origin", "http://localhost:8000"), ("host", "localhost:8000")]));
        assert!(post(&[("origin", "http://api.test"), ("host", "api.test:80")]));
        assert!(!post(&[("origin", "http://localhost:5173"), ("host", "localhost:8000")]));
        assert!(!post(&[("origin", "http://api.test:443"), ("host", "api.test")]));
    }
}
