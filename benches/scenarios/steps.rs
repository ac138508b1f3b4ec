//! The cost of each step of request inspection, from the headers to the verdict.
//!
//! `cargo bench --bench steps` measures an ordinary browser request, with cookies signed as Better Auth signs them.

#[path = "../../dev/rust/better_auth_cookies.rs"]
mod better_auth_cookies;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use auth_middleware::authenticator::{Authenticator, Verdict};
use auth_middleware::clock::Moment;
use auth_middleware::cookie_cache::CookieCache;
use auth_middleware::cookie_cache::keys::PublicKeys;
use auth_middleware::credentials::{Credentials, Kind, Request};
use auth_middleware::error::Error;
use auth_middleware::identity::Identity;
use auth_middleware::live_cache::LiveCache;
use auth_middleware::origin;
use auth_middleware::refusal::Reason;
use auth_middleware::settings::{RawSettings, Settings};
use auth_middleware::signature::{Keys, SessionToken};
use auth_middleware::store::{LookupKey, LookupResult};
use chrono::{DateTime, Utc};
use criterion::{BatchSize, Criterion};

use better_auth_cookies::{Form, SECRET, header, session_token};

const TOKEN: &str = "YpzT0Yk3nW5vXq7sR1uJ9aBc2dEf4gHi";
const SESSIONS: usize = 50_000;

type Headers<'a> = Vec<(&'a [u8], &'a [u8])>;

fn main() -> Result<(), Error> {
    let now = Utc::now();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();

    let settings = settings(None, None)?;
    let (names, keys) = (&settings.cookie_names, Keys::new(&settings.secrets.signing));
    let cookies = header(Form::Compact, TOKEN, &payload(), now);
    let headers = browser_headers(&cookies);
    let credentials = Credentials::read(headers.iter().copied(), names);
    assert!(credentials.session_cookie.is_some(), "the request has a session cookie");

    criterion.bench_function("credentials", |run| {
        run.iter(|| Credentials::read(black_box(&headers).iter().copied(), names));
    });
    let check = || origin::check(Kind::Handshake, black_box(&credentials), &settings.trusted_origins, names);
    assert!(check().is_ok(), "the origin is trusted");
    criterion.bench_function("origin", |run| run.iter(check));
    let verify = || keys.verify(&black_box(&credentials).session_cookie?.decode()?);
    assert!(verify().is_some(), "the signature is valid");
    criterion.bench_function("signature", |run| run.iter(verify));
    for form in Form::ALL {
        read_cookie_cache(&mut criterion, form, &keys, now)?;
    }

    let always = Authenticator::new(&settings, &PublicKeys::default());
    inspect(&mut criterion, "inspect_to_token", &always, &headers, now, |verdict| {
        matches!(verdict, Verdict::Lookup(_))
    });
    let live = Authenticator::new(&self::settings(Some("60"), None)?, &PublicKeys::default());
    inspect(&mut criterion, "inspect_to_seen_token", &live, &headers, now, |verdict| {
        matches!(verdict, Verdict::Lookup(_))
    });
    for form in Form::ALL {
        let cookies = header(form, TOKEN, &payload(), now);
        let cached =
            Authenticator::new(&self::settings(Some("cookie_cache"), Some(form))?, &PublicKeys::default());
        let name = format!("inspect_to_user_{}", form.name());
        inspect(&mut criterion, &name, &cached, &browser_headers(&cookies), now, |verdict| {
            matches!(verdict, Verdict::Known(_))
        });
    }
    let forged = cookies.replacen(TOKEN, &TOKEN.to_lowercase(), 1);
    inspect(
        &mut criterion,
        "inspect_forged",
        &always,
        &browser_headers(&forged),
        now,
        |verdict| matches!(verdict, Verdict::Refused(refusal) if refusal.reason == Reason::BadSignature),
    );
    Ok(())
}

/// Measures reading the identity from the `session_data` cookie.
fn read_cookie_cache(
    criterion: &mut Criterion,
    form: Form,
    keys: &Keys,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let settings = settings(Some("cookie_cache"), Some(form))?;
    let cookies = header(form, TOKEN, &payload(), now);
    let headers = browser_headers(&cookies);
    let credentials = Credentials::read(headers.iter().copied(), &settings.cookie_names);
    let token = credentials.session_cookie.and_then(|cookie| keys.verify(&cookie.decode()?));
    let options = settings.freshness.cookie_cache();
    // A new cache has not seen any cookie.
    let new = || options.map(|options| CookieCache::new(options, &settings, &PublicKeys::default()));
    let read = |cache: &Option<CookieCache>| {
        cache.as_ref()?.read(&black_box(&credentials).session_data.decode()?, token.as_ref()?, now)
    };
    let cache = new();
    let known = read(&cache);
    assert!(known.is_some(), "the cookie is valid");
    criterion.bench_function(&format!("cookie_cache_{}", form.name()), |run| {
        run.iter_batched_ref(new, |cache| read(cache), BatchSize::SmallInput);
    });
    if form == Form::Compact {
        criterion.bench_function("cookie_cache_seen", |run| run.iter(|| read(&cache)));
        read_live_cache(criterion, token.as_ref(), known)?;
    }
    Ok(())
}

/// Measures a hit in a live cache with many entries, including the clock reads of a request.
fn read_live_cache(
    criterion: &mut Criterion,
    token: Option<&SessionToken>,
    known: Option<Arc<Identity>>,
) -> Result<(), Error> {
    let settings = settings(Some("60"), None)?;
    let cache = settings.freshness.live_cache().map(|chosen| LiveCache::new(chosen).0);
    if let (Some(cache), Some(token), Some(identity)) = (&cache, token, known) {
        let keys = Keys::new(&settings.secrets.signing);
        let insert = |token: &SessionToken| {
            let result = LookupResult::Found(identity.clone());
            cache.insert(cache.sent(Moment::now().uptime), &[token.into()], &[result]);
        };
        (0..SESSIONS)
            .filter_map(|at| keys.verify(&session_token(&format!("{at:032}"))))
            .for_each(|other| insert(&other));
        insert(token);
    }
    let key = token.map(LookupKey::from);
    let get = || cache.as_ref()?.get(black_box(key.as_ref())?, Moment::now());
    assert!(get().is_some(), "the session is cached");
    criterion.bench_function("live_cache", |run| run.iter(get));
    Ok(())
}

/// Measures a complete inspection, and checks its verdict.
fn inspect(
    criterion: &mut Criterion,
    name: &str,
    authenticator: &Authenticator,
    headers: &Headers<'_>,
    now: DateTime<Utc>,
    is_expected: fn(&Verdict) -> bool,
) {
    let inspect = || {
        let request = Request::new(Kind::SafeHttp, black_box(headers).iter().copied());
        authenticator.inspect(request, now)
    };
    assert!(is_expected(&inspect()), "{name}: unexpected verdict");
    criterion.bench_function(name, |run| run.iter(inspect));
}

fn settings(freshness: Option<&str>, form: Option<Form>) -> Result<Settings, Error> {
    Settings::check(RawSettings {
        database_url: Some("postgresql://nobody@localhost/none".into()),
        secret: Some(SECRET.into()),
        base_url: Some("http://localhost:3000".into()),
        trusted_origins: vec!["https://*.example.com".into()],
        freshness: freshness.map(Into::into),
        cache_strategy: form.map(|form| form.name().into()),
        ..RawSettings::default()
    })
}

/// The headers that Chromium sends.
fn browser_headers(cookies: &str) -> Headers<'_> {
    let pairs: [(&str, &str); 13] = [
        ("host", "api.example.com"),
        ("connection", "keep-alive"),
        ("sec-ch-ua", r#""Chromium";v="142", "Not_A Brand";v="99""#),
        ("sec-ch-ua-mobile", "?0"),
        ("sec-ch-ua-platform", r#""Linux""#),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36"),
        ("accept", "application/json"),
        ("origin", "https://app.example.com"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-mode", "cors"),
        ("referer", "https://app.example.com/"),
        ("accept-language", "en-GB,en;q=0.9"),
        ("cookie", cookies),
    ];
    pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
}

/// The contents of Better Auth's cookie cache for one user, without additional fields.
fn payload() -> String {
    let [past, future] = ["2026-01-15T12:00:00.123Z", "2999-01-15T12:00:00.123Z"];
    format!(
        r#"{{"session":{{"id":"8sVJ","token":"{TOKEN}","userId":"Q2Xa","expiresAt":"{future}","createdAt":"{past}","updatedAt":"{past}","ipAddress":"127.0.0.1","userAgent":"Mozilla/5.0"}},"user":{{"id":"Q2Xa","name":"Ada","email":"ada@example.com","emailVerified":true,"image":null,"createdAt":"{past}","updatedAt":"{past}"}},"updatedAt":0,"version":"1"}}"#
    )
}
