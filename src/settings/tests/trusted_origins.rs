//! Which trusted-origin patterns are refused, accepted with a warning, or accepted.

use super::*;

#[test]
fn a_pattern_that_matches_every_site_is_refused() {
    for pattern in [
        "*",
        "**",
        "http://*",
        "https://*",
        "*://*",
        "*.*",
        "*:*",
        "https://*:*",
        "*.invalid",
        "https://??*",
        "https://*:3000",
        "*:5173",
        "https://*.*.*",
    ] {
        let message = refused(RawSettings { trusted_origins: vec![pattern.into()], ..raw() });
        assert!(message.contains("every site"), "{pattern}: {message}");
    }
}

/// Each pattern, with the stranger and the safe pattern in its message.
#[test]
fn a_pattern_that_matches_strangers_is_refused_with_an_example_and_a_safe_pattern() {
    let any = r#""https://*.example.com""#;
    let address = "http://192.168.1.66";
    let extension = "every extension";
    let cases: [(&str, &str, &str); 55] = [
        ("http://localhost*", "http://localhost.attacker.example", r#""http://localhost:*""#),
        ("http://localhost*:3000", "http://localhost.attacker.example:3000", r#""http://localhost:3000""#),
        ("localhost*", "https://localhost.attacker.example", r#""http://localhost:*""#),
        ("http://localhost.*", "http://localhost.attacker.example", any),
        ("http://127.0.0.1*", "http://127.0.0.166", r#""http://127.0.0.1:*""#),
        ("http://192.168.1.*", address, r#""http://192.168.1.20""#),
        ("http://192.168.1.*:5173", "http://192.168.1.66:5173", r#""http://192.168.1.20:5173""#),
        ("http://192.168.1.*:*", "http://192.168.1.66:81", r#""http://192.168.1.20:3000""#),
        ("192.168.*.*", "https://192.168.66.66", r#""https://192.168.20.20""#),
        ("http://10.0.0.?:81", "http://10.0.0.6:81", r#""http://10.0.0.2:81""#),
        ("http://[::1]*", "strangers", r#""http://[::1]:*""#),
        ("http://[fe80::*]:3000", "strangers", any),
        (
            "https://app.example.com*",
            "https://app.example.com.attacker.example",
            r#""https://app.example.com""#,
        ),
        ("https://app.example.com*:8443", ".attacker.example:8443", r#""https://app.example.com:8443""#),
        ("HTTPS://APP.example.com*", "strangers", r#""https://app.example.com""#),
        ("app.example.com*", "https://app.example.com.attacker.example", r#""https://app.example.com""#),
        ("https://app.*", "https://app.attacker.example", any),
        ("https://app-*", "https://app-.attacker.example", any),
        ("https://app.*.com", "https://app.attacker.com", r#""https://app.*.example.com""#),
        ("https://*.example.com*", "attacker.example", r#""https://*.example.com""#),
        ("*my-extension:3000", "https://attackermy-extension:3000", any),
        ("https://example.c?", "https://example.cx", any),
        ("https://example.*", "https://example.attacker.example", any),
        ("https://*example.com", "https://attackerexample.com", r#""https://*.example.com""#),
        ("*example.com:8443", "https://attackerexample.com:8443", r#""https://*.example.com:8443""#),
        (
            "https://preview*example.com",
            "https://previewattackerexample.com",
            r#""https://preview*.example.com""#,
        ),
        ("https://?example.co.uk", "https://xexample.co.uk", r#""https://?.example.co.uk""#),
        ("https://*-example.com", "https://attacker-example.com", any),
        ("https://*vercel.app", "https://attackervercel.app", r#""https://my-app.vercel.app""#),
        ("https://*.com", "https://attacker.com", r#""https://*.example.com""#),
        ("https://*.com.", "https://attacker.com.", r#""https://*.example.com.""#),
        ("https://*.COM", "every site under .com", r#""https://*.example.com""#),
        ("*.com", "https://attacker.com", r#""https://*.example.com""#),
        ("https://**.co.uk", "https://attackerattacker.co.uk", r#""https://*.example.co.uk""#),
        ("https://*.com:8443", "https://attacker.com:8443", r#""https://*.example.com:8443""#),
        ("https://preview-*.co.uk", "https://preview-attacker.co.uk", r#""https://preview-*.example.co.uk""#),
        ("https://*.kawasaki.jp", "https://attacker.kawasaki.jp", r#""https://*.example.kawasaki.jp""#),
        ("https://*.дети", "under .дети", r#""https://*.example.дети""#),
        (r"http\s://*.com", "https://attacker.com", any),
        ("http?://*.com", "https://attacker.com", r#""https://*.example.com""#),
        ("*://*example.com", "https://attackerexample.com", r#""https://*.example.com""#),
        ("https://*..com", "https://attacker..com", r#""https://*.example.com""#),
        ("https://*.local", "https://attacker.local", r#""https://*.example.local""#),
        ("https://*.example.com/**", "strangers", r#""https://*.example.com""#),
        ("https://**/*.com", "strangers", any),
        ("https://*/*.com", "strangers", any),
        ("https:///*.com", "strangers", any),
        ("**/*.com", "strangers", any),
        (r"https://*.example\.com", "strangers", any),
        ("chrome-extension://", extension, r#""chrome-extension://<its id>""#),
        ("chrome-extension:", extension, r#""chrome-extension://<its id>""#),
        ("Chrome-Extension://*", extension, r#""chrome-extension://<its id>""#),
        ("moz-extension://????????-*", extension, r#""moz-extension://<its id>""#),
        ("safari-web-extension:///**", extension, r#""safari-web-extension://<its id>""#),
        ("ms-browser-extension://", extension, r#""ms-browser-extension://<its id>""#),
    ];
    for (pattern, stranger, spelling) in cases {
        let message = refused(RawSettings { trusted_origins: vec![pattern.into()], ..raw() });
        assert!(message.contains("BETTER_AUTH_TRUSTED_ORIGINS"), "{pattern}: {message}");
        assert!(message.contains(stranger), "{pattern} is said to trust no {stranger}: {message}");
        assert!(message.contains(spelling), "{pattern} has another spelling than {spelling}: {message}");
    }
}

#[test]
fn a_pattern_that_matches_http_pages_is_refused_for_a_secure_cookie() {
    let with = |pattern: &str, base_url: &str| {
        let base_url = Some(base_url.into());
        Settings::check(RawSettings { trusted_origins: vec![pattern.into()], base_url, ..raw() })
    };
    for (pattern, page, spelling) in [
        ("*.example.com", "http://attacker.example.com", r#""https://*.example.com""#),
        ("*.example.com:8443", "http://attacker.example.com:8443", r#""https://*.example.com:8443""#),
        ("app.example.com:*", "http://app.example.com:81", r#""https://app.example.com:*""#),
        ("http://*.example.com", "http://attacker.example.com", r#""https://*.example.com""#),
        ("http*://app.example.com", "http://app.example.com", r#""https://app.example.com""#),
        ("*://*.example.com", "http://attacker.example.com", r#""https://*.example.com""#),
        ("http://10.0.0.5:*", "http://10.0.0.5:81", r#""https://10.0.0.5:*""#),
    ] {
        let Err(Error::Configuration(message)) = with(pattern, "https://auth.example.com") else {
            panic!("{pattern} was accepted")
        };
        assert!(message.contains(page) && message.contains(spelling), "{pattern}: {message}");
        assert!(with(pattern, "http://localhost:3000").is_ok_and(|settings| settings.warnings.is_empty()));
    }
    for pattern in [
        "http://localhost:*",
        "localhost:*",
        "http://localhost:5173",
        "http://*.localhost:3000",
        "http://127.0.0.1:*",
        "http://[::1]:*",
        "http?://app.example.com",
        // The pattern matches exactly one page, so the operator intended it.
        "http://app.example.com",
        "https://*.example.com",
    ] {
        let settings = with(pattern, "https://auth.example.com");
        assert!(settings.is_ok_and(|settings| settings.warnings.is_empty()), "{pattern}");
    }
}

#[test]
fn patterns_that_match_only_the_operators_own_pages_are_accepted() {
    for pattern in [
        "http://localhost:*",
        "http://localhost:3*",
        "http://[::1]:*",
        "https://*.example.com",
        "https://*.*.example.com",
        "https://**.example.com",
        "https://?.example.co.uk",
        "https://preview-*.example.com",
        "https://preview*.example.com",
        "https://*-team.example.com:8443",
        "https://app.example.com:*",
        "https://*.example.com.",
        "https://*.city.kawasaki.jp",
        "https://*.my-app.vercel.app",
        "https://my-app.vercel.app:*",
        "https://*.my-bucket.s3.amazonaws.com",
        "https://*.corp.internal",
        "https://*.internal",
        "https://*.test",
        "myapp://",
        "myapp://*",
        "exp://",
        "exp://192.168.*.*:*/**",
        "capacitor://localhost",
        "tauri://localhost",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "my-extension.example.com:*",
        "my-extension:*",
    ] {
        let settings = Settings::check(RawSettings { trusted_origins: vec![pattern.into()], ..raw() });
        match settings {
            Ok(settings) => assert!(settings.warnings.is_empty(), "{pattern}: {:?}", settings.warnings),
            Err(error) => panic!("{pattern}: {error}"),
        }
    }
}

#[test]
fn a_wildcard_under_a_shared_suffix_is_a_warning() {
    for (pattern, suffix) in [
        ("https://*.vercel.app", "vercel.app"),
        ("https://my-app-*.vercel.app", "vercel.app"),
        ("https://*-my-team.vercel.app", "vercel.app"),
        ("*.netlify.app", "netlify.app"),
        ("https://deploy-preview-*--my-app.netlify.app", "netlify.app"),
        ("https://*.pages.dev:8443", "pages.dev"),
        ("http://*.github.io", "github.io"),
        ("https://?.herokuapp.com", "herokuapp.com"),
        ("https://*.s3.amazonaws.com", "s3.amazonaws.com"),
        ("https://*.up.railway.app", "up.railway.app"),
    ] {
        let raw = RawSettings { trusted_origins: vec![pattern.into()], ..raw() };
        let Ok(settings) = Settings::check(raw) else { panic!("{pattern} was refused") };
        let [warning] = &settings.warnings[..] else { panic!("{pattern}: {:?}", settings.warnings) };
        let message = format!("{suffix} is shared, so everybody who deploys there is trusted");
        assert!(warning.contains(pattern) && warning.contains(&message), "{warning}");
    }
}

#[test]
fn a_pattern_that_can_never_match_is_a_warning() {
    let patterns = [
        "https://app.example.com/",
        "https://app.example.com:443",
        "https://App.example.com",
        "app.example.com",
        "https://*.x.com/",
    ];
    let raw = RawSettings { trusted_origins: patterns.map(String::from).to_vec(), ..raw() };
    let Ok(settings) = Settings::check(raw) else { panic!("refused") };
    assert_eq!(settings.warnings.len(), patterns.len(), "{:?}", settings.warnings);
    let sound = [
        "https://app.example.com",
        "https://*.x.com",
        "*.x.com",
        "myapp://",
        "chrome-extension://abc",
        "http://localhost:*",
    ];
    let raw = RawSettings { trusted_origins: sound.map(String::from).to_vec(), ..self::raw() };
    assert!(Settings::check(raw).is_ok_and(|settings| settings.warnings.is_empty()));
}

#[test]
fn no_message_shows_a_password() {
    for pattern in
        ["https://u:hunter2@app.example.com", "u:hunter2@app.example.com", "https://u:hunter2@*.vercel.app"]
    {
        let raw = RawSettings { trusted_origins: vec![pattern.to_owned()], ..raw() };
        let said = match Settings::check(raw) {
            Ok(settings) => settings.warnings.join("; "),
            Err(error) => error.to_string(),
        };
        assert!(!said.is_empty() && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn null_is_never_trusted_and_the_warning_says_why() {
    for listed in ["null", "NULL", " null ", "[\"null\"]"] {
        let raw = RawSettings { trusted_origins: vec![listed.into()], ..raw() };
        let Ok(settings) = Settings::check(raw) else { panic!("refused") };
        let [warning] = &settings.warnings[..] else { panic!("{listed}: {:?}", settings.warnings) };
        assert!(warning.contains("`null` is never trusted, because any page can send it"), "{warning}");
    }
}

#[test]
fn a_json_list_is_read() {
    let (app, admin) = ("https://app.example.com", "https://admin.example.com");
    let lists = [
        format!("[\"{app}\",\"{admin}\"]"),
        format!(" [ \"{app}\" , \"{admin}\" ] "),
        format!("[\n  \"{app}\",\n  \"{admin}\"\n]"),
        format!("[\"https:\\/\\/app.example.com\", \"{admin}\"]"),
    ];
    for list in lists {
        // As the environment's variable arrives, and as one text of a list.
        let split: Vec<String> = list.split(',').map(String::from).collect();
        for trusted_origins in [split, vec![list.clone()]] {
            let Ok(settings) = Settings::check(RawSettings { trusted_origins, ..raw() }) else {
                panic!("{list} was refused")
            };
            assert!(settings.warnings.is_empty(), "{list}: {:?}", settings.warnings);
            for origin in [app, admin] {
                assert!(settings.trusted_origins.contains(origin), "{list} without {origin}");
            }
            assert!(!settings.trusted_origins.contains("https://other.example.com"));
        }
    }
    let raw_with = |trusted_origins: &str| RawSettings {
        trusted_origins: trusted_origins.split(',').map(String::from).collect(),
        ..raw()
    };
    assert!(Settings::check(raw_with("[]")).is_ok_and(|settings| settings.warnings.is_empty()));
    for wrong in ["['https://a.example.com']", "[https://a.example.com]", "[\"https://a.example.com\"", "[1]"]
    {
        let message = refused(raw_with(wrong));
        assert!(
            message.contains("BETTER_AUTH_TRUSTED_ORIGINS") && message.contains("not a JSON list"),
            "{message}"
        );
    }
    let message = refused(raw_with("[\"https://*\"]"));
    assert!(message.contains("every site"), "{message}");
    for host in ["[::1]:*", "[::1]:*,https://app.example.com"] {
        let Ok(settings) = Settings::check(raw_with(host)) else { panic!("{host} was refused") };
        assert!(settings.trusted_origins.contains("http://[::1]:3000"), "{host}");
    }
}
