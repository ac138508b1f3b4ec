//! We find the same cookies as Better Auth in the same headers, and no token that it would not find.

use std::sync::LazyLock;

use auth_middleware::authenticator::{Authenticator, Verdict};
use auth_middleware::cookie_cache::keys::PublicKeys;
use auth_middleware::credentials::{Credentials, Kind, RawCookie, Request};
use auth_middleware::settings::{RawSettings, Settings};
use chrono::DateTime;

use super::better_auth_cookies::{SECRET, session_token};
use super::parse_cookies::{Cookie, better_auth, better_call};

/// Short names, so that random inputs contain them: `s` is the session token, `d` the session data.
static READER: LazyLock<(Settings, Authenticator)> = LazyLock::new(|| {
    let settings = Settings::check(RawSettings {
        database_url: Some("postgresql://nobody@localhost/none".into()),
        secret: Some(SECRET.into()),
        cookie_name: Some("s".into()),
        cache_cookie_name: Some("d".into()),
        freshness: Some("cookie_cache".into()),
        ..RawSettings::default()
    });
    match settings {
        Ok(settings) => {
            let authenticator = Authenticator::new(&settings, &PublicKeys::default());
            (settings, authenticator)
        }
        Err(error) => panic!("{error}"),
    }
});

/// Cookie headers, one per line.
pub(crate) fn on_bytes(data: &[u8]) {
    // The names in a real browser's cookies are replaced by the short ones.
    let text = String::from_utf8_lossy(data);
    if text.contains("better-auth.session_") {
        let short = text.replace("better-auth.session_token", "s").replace("better-auth.session_data", "d");
        return finds_what_better_auth_finds(&short.split('\n').map(str::as_bytes).collect::<Vec<_>>());
    }
    finds_what_better_auth_finds(&data.split(|&byte| byte == b'\n').collect::<Vec<_>>());
}

pub(crate) fn finds_what_better_auth_finds(headers: &[&[u8]]) {
    let (settings, authenticator) = &*READER;
    let written = headers.join(b"\n".as_slice()).escape_ascii().to_string();
    let pairs = || headers.iter().map(|value| (b"cookie".as_slice(), *value));
    let credentials = Credentials::read(pairs(), &settings.cookie_names);
    // Node joins Cookie headers and reads their bytes as Latin-1.
    let joined: Vec<char> = headers.join(b"; ".as_slice()).into_iter().map(char::from).collect();
    let cookies = better_call(&joined);
    let first = |name: &str| cookies.iter().find(|cookie| cookie.name == name && !cookie.value.is_empty());

    let token = first("s");
    let is_short = |cookie: &&Cookie| cookie.written.len() <= 1024;
    assert_eq!(
        credentials.session_cookie.map(|raw| raw.as_text().into_owned()),
        token.map(|cookie| cookie.written.clone()),
        "{written}"
    );
    assert_eq!(
        credentials.session_cookie.and_then(RawCookie::decode).as_deref(),
        token.filter(is_short).map(|cookie| cookie.value.as_str()),
        "{written}"
    );
    let has_other_spelling = cookies.iter().any(|cookie| cookie.name == "__Secure-s");
    assert_eq!(credentials.other_spelling, has_other_spelling, "{written}");
    if let Some(data) = first("d") {
        assert_eq!(credentials.session_data.decode().as_deref(), Some(data.value.as_str()), "{written}");
    } else if !joined.iter().any(|&c| is_rare_space(c)) {
        assert_eq!(
            credentials.session_data.decode(),
            joined_chunks(&better_auth(&joined)).map(Into::into),
            "{written}"
        );
    }

    let verified = token.filter(is_short).and_then(|cookie| verified(&cookie.value));
    match authenticator.inspect(Request::new(Kind::SafeHttp, pairs()), DateTime::UNIX_EPOCH) {
        Verdict::Lookup(token) => assert_eq!(Some(token.as_str()), verified),
        Verdict::Refused(_) => assert_eq!(verified, None),
        other => panic!("nobody signed this: {other:?}"),
    }
}

/// `getSignedCookie` of better-call's `context.mjs`, with our limits on tokens.
fn verified(value: &str) -> Option<&str> {
    let (token, _) = value.rsplit_once('.').filter(|(token, _)| !token.is_empty())?;
    let is_token = token.len() <= 256 && !token.contains(char::is_control);
    (is_token && session_token(token) == value).then_some(token)
}

/// Characters that only one of Better Auth's two parsers trims. We trim them for both, which can only join chunks that
/// Better Auth did not sign.
fn is_rare_space(c: char) -> bool {
    matches!(c, '\n'..='\r' | '\u{a0}')
}

/// `getChunkedCookie`.
fn joined_chunks(cookies: &[Cookie]) -> Option<String> {
    let index = |name: &str| {
        let digits = name.strip_prefix("d.")?;
        digits.parse::<u64>().ok().filter(|index| *index < 1 << 53 && index.to_string() == digits)
    };
    let mut chunks: Vec<(u64, &str)> =
        cookies.iter().filter_map(|cookie| Some((index(&cookie.name)?, cookie.value.as_str()))).collect();
    chunks.sort_unstable();
    let joined: String = chunks.into_iter().map(|(_, value)| value).collect();
    (!joined.is_empty()).then_some(joined)
}
