//! A trusted-origin pattern that is accepted without a warning trusts no page that a stranger can serve.

use auth_middleware::settings::{RawSettings, Settings};
use proptest::prelude::Strategy;
use proptest::sample::select;
use url::{Host, Url};

/// Top-level domains in which nobody can register a name.
const UNREGISTRABLE: [&str; 3] = [".localhost", ".test", ".internal"];

/// Replaces the pattern's wildcards by `fills`, in which `attacker` is a name chosen by a stranger.
pub(crate) fn trusts_no_stranger(pattern: &str, fills: &[&str]) {
    let settings = Settings::check(RawSettings {
        database_url: Some("postgresql://u@h/d".into()),
        secret: Some("0123456789abcdefghijklmnopqrstuv".into()),
        base_url: Some("https://auth.example.com".into()),
        trusted_origins: vec![pattern.into()],
        ..RawSettings::default()
    });
    let Ok(settings) = settings else { return };
    if !settings.warnings.is_empty() {
        return;
    }
    let mut fills = fills.iter().cycle();
    let mut text = String::new();
    for character in pattern.chars() {
        match (character, fills.next()) {
            ('*', Some(fill)) => text += fill,
            ('?', Some(fill)) => text.extend(fill.chars().next()),
            ('\\', _) => {}
            _ => text.push(character),
        }
    }
    for text in [text.clone(), format!("https://{text}"), format!("http://{text}")] {
        let Ok(url) = Url::parse(&text) else { continue };
        let origin = url.origin().ascii_serialization();
        if let Some(Host::Domain(host)) = url.host()
            && settings.trusted_origins.contains(&origin)
        {
            let owned = psl::Psl::domain(&psl::List, host.as_bytes())
                .map_or(host.as_bytes(), |domain| domain.trim().as_bytes());
            let owned = String::from_utf8_lossy(owned).into_owned();
            let can_be_registered = !UNREGISTRABLE.iter().any(|domain| host.ends_with(domain));
            assert!(!(can_be_registered && owned.contains("attacker")), "{pattern:?} trusts {origin}");
            let is_local = host == "localhost" || host.ends_with(".localhost");
            let is_literal = pattern.starts_with("http://") && !pattern.contains(['*', '?']);
            assert!(url.scheme() == "https" || is_local || is_literal, "{pattern:?} trusts {origin}");
        }
    }
}

/// A piece of a trusted-origin pattern.
pub(crate) fn pattern_piece() -> impl Strategy<Value = &'static str> {
    let pieces = [
        "https://",
        "https://",
        "http://",
        "http",
        "s",
        "://",
        ":",
        "/",
        "//",
        "\\",
        "*",
        "*",
        "*",
        "**",
        "?",
        ".",
        "-",
        "app",
        "localhost",
        "127.0.0.1",
        "192.168.",
        "[::1]",
        "example.com",
        ".example.com",
        ".com",
        ".co.uk",
        ".test",
        ".internal",
        ".kawasaki.jp",
        ".app",
        ":3000",
        ":*",
        "@",
        "EXAMPLE",
    ];
    select(pieces.to_vec())
}

/// A text that a stranger can choose for a wildcard.
pub(crate) fn fill() -> impl Strategy<Value = &'static str> {
    select(vec![
        "attacker",
        "attacker.com",
        ".attacker.com",
        "x.attacker",
        "/attacker",
        "attacker.",
        ":81",
        "h",
        "s",
        "",
    ])
}
