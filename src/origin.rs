//! 2 — May a page of this origin act for the user?
//!
//! Browsers attach cookies to requests from other sites' pages: to unsafe methods, unless `SameSite`
//! prevents it, and to WebSocket handshakes, which have no other protection. The rule is that of Go
//! 1.25's `http.CrossOriginProtection`, made stricter. `X-Forwarded-*` is never read, because any
//! client can send it.

use url::Url;

use crate::credentials::{Credentials, Header, Kind};
use crate::settings::{CookieNames, TrustedOrigins, is_this_machine};

/// How much of a hostile header is logged.
const MAX_LOGGED_CHARACTERS: usize = 120;
/// The longest `Origin` that is parsed as a URL: a host name has at most 253 characters.
const MAX_ORIGIN_BYTES: usize = 1024;

/// Refuses a request with the session cookie that a page of an untrusted origin sent.
///
/// # Errors
/// The origin, printable and truncated, if it is not trusted.
pub fn check(
    kind: Kind,
    credentials: &Credentials<'_>,
    trusted: &TrustedOrigins,
    names: &CookieNames,
) -> Result<(), String> {
    if kind == Kind::SafeHttp {
        return Ok(());
    }
    let origin = match credentials.origin {
        Header::Once(origin) if origin.len() <= MAX_ORIGIN_BYTES => std::str::from_utf8(origin).ok(),
        Header::Once(_) | Header::Absent | Header::Repeated => None,
    };
    if credentials.origin == Header::Repeated || credentials.sec_fetch_site == Header::Repeated {
        return Err(describe(credentials));
    }
    if origin.is_some_and(|origin| is_canonical(origin) && trusted.contains(origin)) {
        return Ok(());
    }
    if matches!(credentials.sec_fetch_site, Header::Once(b"same-origin" | b"none")) {
        return Ok(());
    }
    if origin.is_some_and(|origin| is_same_host(origin, credentials.host, names)) {
        return Ok(());
    }
    if credentials.origin == Header::Absent && credentials.sec_fetch_site == Header::Absent {
        return Ok(()); // Not a browser.
    }
    Err(describe(credentials))
}

/// For the log: two names of this machine, if the request or its page used another one than the base
/// URL. Cookies belong to a host, not to a port, so a cookie that Better Auth sets for `localhost` is
/// never sent to `127.0.0.1`.
#[must_use]
pub fn other_name_of_this_machine(credentials: &Credentials<'_>, trusted: &TrustedOrigins) -> Option<String> {
    let ours = host_name(trusted.base()?);
    if !is_this_machine(ours) {
        return None;
    }
    [credentials.host, credentials.origin]
        .into_iter()
        .filter_map(|header| match header {
            Header::Once(value) => std::str::from_utf8(value).ok().map(host_name),
            Header::Absent | Header::Repeated => None,
        })
        .find(|name| is_this_machine(name) && *name != ours)
        .map(|name| format!("{name} instead of {ours}"))
}

/// The host name in an origin or in `Host`, without scheme and port.
pub(crate) fn host_name(text: &str) -> &str {
    let authority = text.split_once("://").map_or(text, |(_, authority)| authority);
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    }
}

/// An `Origin` as browsers write it: nothing before the host, nothing after the port.
fn is_canonical(origin: &str) -> bool {
    match Url::parse(origin) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url.origin().ascii_serialization() == origin,
        Ok(_) => true,
        Err(_) => false,
    }
}

/// Whether the page is on the host that it sends the request to. A stranger on the network could have
/// written a page that was loaded over http, so a cookie that is sent only over https requires an
/// https page.
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

fn describe(credentials: &Credentials<'_>) -> String {
    let text = match credentials.origin {
        Header::Once(origin) => String::from_utf8_lossy(origin).into_owned(),
        Header::Repeated => "several Origin headers".to_owned(),
        Header::Absent => "no Origin header, Sec-Fetch-Site says another site".to_owned(),
    };
    text.chars()
        .take(MAX_LOGGED_CHARACTERS)
        .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{RawSettings, Settings};

    fn settings(base_url: &str) -> Settings {
        let settings = Settings::check(RawSettings {
            database_url: Some("postgresql://u@h/d".into()),
            secret: Some("0123456789abcdefghijklmnopqrstuv".into()),
            base_url: Some(base_url.into()),
            trusted_origins: vec!["https://*.ok.dev".into(), "capacitor://localhost".into()],
            ..RawSettings::default()
        });
        let Ok(settings) = settings else { panic!("settings refused") };
        settings
    }

    fn checked(base_url: &str, kind: Kind, headers: &[(&str, &str)]) -> Result<(), String> {
        let settings = settings(base_url);
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let credentials = Credentials::read(headers, &settings.cookie_names);
        check(kind, &credentials, &settings.trusted_origins, &settings.cookie_names)
    }

    fn is_ours(base_url: &str, kind: Kind, headers: &[(&str, &str)]) -> bool {
        checked(base_url, kind, headers).is_ok()
    }

    #[test]
    fn each_combination_of_headers_is_decided_by_the_rule() {
        let rows: [(&[(&str, &str)], bool); 30] = [
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
            (
                &[
                    ("origin", "https://a.test"),
                    ("origin", "https://b.test"),
                    ("sec-fetch-site", "same-origin"),
                ],
                false,
            ),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], false),
            (
                &[
                    ("origin", "https://auth.test"),
                    ("sec-fetch-site", "same-origin"),
                    ("sec-fetch-site", "none"),
                ],
                false,
            ),
            (&[("origin", "https://auth.test:444")], false),
            (&[("origin", "HTTPS://AUTH.TEST")], false),
            (&[("origin", "https://user@auth.test")], false),
            (&[("origin", "https://auth.test.evil.io")], false),
            (&[("origin", "https://auth.test/path")], false),
            (&[("origin", "https://user@a.ok.dev")], false),
            (&[("origin", "https://A.ok.dev")], false),
            (&[("origin", "https://API.test"), ("host", "API.test")], false),
            (&[("origin", "https://u@api.test"), ("host", "u@api.test")], false),
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
    fn the_refused_origin_is_returned_printable_and_truncated() {
        let refused = |headers: &[(&str, &str)]| {
            checked("https://auth.test", Kind::UnsafeHttp, headers).expect_err("it is refused")
        };
        assert_eq!(refused(&[("origin", "https://evil.io:8443")]), "https://evil.io:8443");
        assert_eq!(refused(&[("origin", "evil io\n\u{e9}\u{202e}")]), "evil io???");
        assert_eq!(refused(&[("origin", &"x".repeat(121))]), "x".repeat(120));
        assert_eq!(refused(&[("origin", "null"), ("origin", "null")]), "several Origin headers");
        let no_origin = "no Origin header, Sec-Fetch-Site says another site";
        assert_eq!(refused(&[("sec-fetch-site", "cross-site")]), no_origin);
    }

    #[test]
    fn an_origin_longer_than_a_host_name_is_refused() {
        let post = |origin: &str| is_ours("https://auth.test", Kind::UnsafeHttp, &[("origin", origin)]);
        assert!(post(&format!("https://{}a.ok.dev", "a.".repeat(400))));
        assert!(!post(&format!("https://{}a.ok.dev", "a.".repeat(600))));
    }

    #[test]
    fn an_http_page_of_the_same_host_and_port_may_send_a_cookie_that_is_not_secure() {
        let post = |headers: &[(&str, &str)]| is_ours("http://localhost:3000", Kind::UnsafeHttp, headers);
        assert!(post(&[("origin", "http://localhost:8000"), ("host", "localhost:8000")]));
        assert!(post(&[("origin", "http://api.test"), ("host", "api.test:80")]));
        assert!(!post(&[("origin", "http://localhost:5173"), ("host", "localhost:8000")]));
        assert!(!post(&[("origin", "http://api.test:443"), ("host", "api.test")]));
    }

    fn other_name(base_url: &str, headers: &[(&str, &str)]) -> Option<String> {
        let settings = settings(base_url);
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let credentials = Credentials::read(headers, &settings.cookie_names);
        other_name_of_this_machine(&credentials, &settings.trusted_origins)
    }

    #[test]
    fn another_name_of_this_machine_is_reported_for_the_request_and_for_its_page() {
        let names = |base_url, headers: &[(&str, &str)]| other_name(base_url, headers).unwrap_or_default();
        let localhost = "http://localhost:9404";
        for (host, name) in [
            ("127.0.0.1:9403", "127.0.0.1"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]:9403", "[::1]"),
            ("[::1]", "[::1]"),
            ("0.0.0.0:9403", "0.0.0.0"),
        ] {
            assert_eq!(names(localhost, &[("host", host)]), format!("{name} instead of localhost"));
        }
        let page = [("host", "localhost:9403"), ("origin", "http://127.0.0.1:5175")];
        assert_eq!(names(localhost, &page), "127.0.0.1 instead of localhost");
        let reversed = [("host", "localhost:9403")];
        assert_eq!(names("http://127.0.0.1:9404", &reversed), "localhost instead of 127.0.0.1");
    }

    #[test]
    fn one_name_and_public_names_are_not_reported() {
        let localhost = "http://localhost:9404";
        assert_eq!(other_name(localhost, &[]), None);
        let one_name = [("host", "localhost:9403"), ("origin", "http://localhost:5175")];
        assert_eq!(other_name(localhost, &one_name), None);
        let public = [("host", "evil.io"), ("origin", "https://127.0.0.1.evil.io")];
        assert_eq!(other_name(localhost, &public), None);
        assert_eq!(other_name(localhost, &[("host", "127.0.0.1"), ("host", "127.0.0.1")]), None);
        // A health check from the machine itself.
        assert_eq!(other_name("https://auth.test", &[("host", "127.0.0.1:9403")]), None);
    }
}
