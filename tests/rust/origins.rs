//! A pattern matches the same URLs as in the real better-auth package (`origins.json`).

use auth_middleware::settings::OriginPattern;
use serde_json::Value;

#[test]
fn every_recorded_pattern_matches_as_better_auth_does() {
    let recorded: Value = serde_json::from_str(include_str!("../vectors/origins.json")).unwrap_or_default();
    let rows = recorded["matching"].as_array().cloned().unwrap_or_default();
    assert!(!rows.is_empty());
    let mut wrong = Vec::new();
    for row in rows.iter().filter(|row| row["better_auth_version"] != "1.4.6") {
        let (pattern, url) =
            (row["pattern"].as_str().unwrap_or_default(), row["url"].as_str().unwrap_or_default());
        let ours = OriginPattern::parse(pattern).is_ok_and(|pattern| pattern.matches(url));
        if Some(ours) != row["trusted"].as_bool() {
            wrong.push(format!("{pattern} on {url}: we say {ours}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_url_without_a_host_has_no_host_that_matches() {
    let matches = |pattern, url| OriginPattern::parse(pattern).is_ok_and(|pattern| pattern.matches(url));
    assert!(matches("*", "myapp://host"));
    for url in ["myapp://", "mailto:ada@example.com", "data:,x", "file:///x"] {
        assert!(!matches("*", url), "{url}");
    }
}

#[test]
fn a_path_with_an_incomplete_escape_is_not_decoded() {
    let matches = |url| OriginPattern::parse("myapp://h/cb").is_ok_and(|pattern| pattern.matches(url));
    assert!(matches("myapp://h/x/%2e%2e/cb/y"));
    assert!(!matches("myapp://h/x/%2e%2e/cb/%zz"));
}
