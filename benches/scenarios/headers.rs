//! The cost of the most expensive headers, compared with ordinary ones of the same size.
//!
//! `cargo bench --bench headers` fills 64 KiB, the limit of common servers, with each shape, together with a valid
//! session token, and measures [`Authenticator::inspect`]. The last column compares with a quarter of the size: 4 is
//! linear, 16 would be quadratic.

#[path = "../../dev/rust/better_auth_cookies.rs"]
mod better_auth_cookies;

use std::hint::black_box;
use std::time::{Duration, Instant};

use auth_middleware::authenticator::Authenticator;
use auth_middleware::cookie_cache::keys::PublicKeys;
use auth_middleware::credentials::{Kind, Request};
use auth_middleware::error::Error;
use auth_middleware::settings::{RawSettings, Settings};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};

use better_auth_cookies::{DATA_COOKIE, Form, SECRET, TOKEN_COOKIE, header, session_token};

const SIZE: usize = 64 * 1024;
const TOKEN: &str = "YpzT0Yk3nW5vXq7sR1uJ9aBc2dEf4gHi";
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(10);

/// Makes a header of about this many bytes.
type Shape = fn(Form, usize, DateTime<Utc>) -> String;

const COOKIE_SHAPES: [(&str, Shape); 9] = [
    ("only ;", |_, size, _| signed(&";".repeat(size))),
    ("only =", |_, size, _| signed(&"=".repeat(size))),
    ("only spaces", |_, size, _| signed(&" ".repeat(size))),
    ("only \"", |_, size, _| signed(&"\"".repeat(size))),
    ("only a=;", |_, size, _| signed(&"a=;".repeat(size / 3))),
    ("names without =", |_, size, _| signed(&"a;".repeat(size / 2))),
    ("many session tokens", |_, size, _| {
        let one = format!("{TOKEN_COOKIE}={}; ", session_token(TOKEN));
        one.repeat(size / one.len())
    }),
    ("many session data", |_, size, _| {
        let one = format!("{DATA_COOKIE}=a; ");
        signed(&one.repeat(size / one.len()))
    }),
    ("many chunks, last first", |_, size, _| {
        let one = |index| format!("{DATA_COOKIE}.{index}=a;");
        signed(&(0..size / one(1000).len()).rev().map(one).collect::<String>())
    }),
];

const SESSION_DATA_SHAPES: [(&str, Shape); 12] = [
    ("valid", |form, size, now| header(form, TOKEN, &payload(json(size)), now)),
    ("valid, with one character changed", |form, size, now| {
        let mut header = header(form, TOKEN, &payload(json(size)), now);
        header.replace_range(header.len() - 3..header.len() - 2, "_");
        header
    }),
    ("only %", |_, size, _| data(&"%".repeat(size))),
    ("only %41", |_, size, _| data(&"%41".repeat(size / 3))),
    ("%41, and a truncated escape", |_, size, _| data(&("%41".repeat(size / 3) + "%"))),
    ("only dots", |_, size, _| data(&".".repeat(size))),
    ("nested lists", |form, size, _| unsigned(form, &"[".repeat(json(size)))),
    ("a long number", |form, size, _| unsigned(form, &"1".repeat(json(size)))),
    ("a long fraction", |form, size, _| unsigned(form, &format!("0.{}1", "0".repeat(json(size))))),
    ("only escapes", |form, size, _| unsigned(form, &format!("\"{}\"", "\\u0000".repeat(json(size) / 6)))),
    ("only spaces", |form, size, _| unsigned(form, &format!("{}0", " ".repeat(json(size))))),
    ("many members", |form, size, _| {
        let members: Vec<String> = (0..json(size) / 10).map(|at| format!("\"{at:05}\":0")).collect();
        unsigned(form, &format!("{{{}}}", members.join(",")))
    }),
];

/// Values of the `Origin` header.
const ORIGIN_SHAPES: [(&str, Shape); 4] = [
    ("a long label", |_, size, _| format!("https://{}", "a".repeat(size))),
    ("many labels", |_, size, _| format!("https://{}a", "a.".repeat(size / 2))),
    ("punycode", |_, size, _| format!("https://xn--{}", "a9".repeat(size / 2))),
    ("a custom scheme", |_, size, _| format!("myapp://{}", "/..%2f".repeat(size / 6))),
];

fn main() -> Result<(), Error> {
    let now = Utc::now();
    let authenticators =
        [authenticator(Form::Compact)?, authenticator(Form::Jwt)?, authenticator(Form::Jwe)?];
    let cookie = |form: Form, text: &str| {
        time(&authenticators[form as usize], Kind::SafeHttp, &[(b"cookie", text.as_bytes())], now)
    };
    let ordinary_time = cookie(Form::Compact, &ordinary(SIZE));
    println!("{:<44} {:>9} {:>11} {:>9}", "64 KiB of", "µs", "× ordinary", "× 16 KiB");
    let show = |name: &str, full: Duration, quarter: Duration| {
        let ratio = |other: Duration| full.as_secs_f64() / other.as_secs_f64();
        let micros = full.as_secs_f64() * 1e6;
        println!("{name:<44} {micros:>9.1} {:>11.2} {:>9.1}", ratio(ordinary_time), ratio(quarter));
    };
    show("ordinary cookies", ordinary_time, cookie(Form::Compact, &ordinary(SIZE / 4)));
    for (name, shape) in COOKIE_SHAPES {
        let measure = |size| cookie(Form::Compact, &shape(Form::Compact, size, now));
        show(name, measure(SIZE), measure(SIZE / 4));
    }
    for form in Form::ALL {
        for (name, shape) in SESSION_DATA_SHAPES {
            let measure = |size| cookie(form, &shape(form, size, now));
            show(&format!("session_data, {}: {name}", form.name()), measure(SIZE), measure(SIZE / 4));
        }
    }
    for (name, shape) in ORIGIN_SHAPES {
        let measure = |size| {
            let (token, origin) = (signed(""), shape(Form::Compact, size, now));
            let headers = [(b"cookie".as_slice(), token.as_bytes()), (b"origin", origin.as_bytes())];
            time(&authenticators[0], Kind::Handshake, &headers, now)
        };
        show(&format!("Origin: {name}"), measure(SIZE), measure(SIZE / 4));
    }
    Ok(())
}

fn authenticator(form: Form) -> Result<Authenticator, Error> {
    let settings = Settings::check(RawSettings {
        database_url: Some("postgresql://nobody@localhost/none".into()),
        secret: Some(SECRET.into()),
        base_url: Some("http://localhost:3000".into()),
        trusted_origins: ["https://*.example.com", "*.example.org", "myapp://**/cb"]
            .map(String::from)
            .to_vec(),
        freshness: Some("cookie_cache".into()),
        cache_strategy: Some(form.name().into()),
        ..RawSettings::default()
    })?;
    Ok(Authenticator::new(&settings, &PublicKeys::default()))
}

/// The median time of several rounds.
fn time(
    authenticator: &Authenticator,
    kind: Kind,
    headers: &[(&[u8], &[u8])],
    now: DateTime<Utc>,
) -> Duration {
    let round = || {
        let start = Instant::now();
        let mut times = 0;
        while start.elapsed() < ROUND {
            black_box(authenticator.inspect(Request::new(kind, black_box(headers).iter().copied()), now));
            times += 1;
        }
        start.elapsed() / times
    };
    let mut rounds: Vec<Duration> = (0..ROUNDS).map(|_| round()).collect();
    rounds.sort_unstable();
    rounds[ROUNDS / 2]
}

fn signed(rest: &str) -> String {
    format!("{TOKEN_COOKIE}={}; {rest}", session_token(TOKEN))
}

fn data(value: &str) -> String {
    signed(&format!("{DATA_COOKIE}={value}"))
}

/// The length of JSON text that fits into this many bytes of base64.
fn json(size: usize) -> usize {
    size * 7 / 10
}

/// The cookies of a browser that has many of them for one host.
fn ordinary(size: usize) -> String {
    let one = |at| format!("_ga_{at}=GS1.1.1768478400.{at}.1.1768478401.60.0.0; theme=dark%20blue; ");
    signed(&(0..size / one(100).len()).map(one).collect::<String>())
}

/// The contents of a `session_data` cookie with a field of this length.
fn payload(size: usize) -> String {
    let [past, future] = ["2026-01-15T12:00:00.123Z", "2999-01-15T12:00:00.123Z"];
    let biography = "Ada ".repeat(size / 4);
    format!(
        r#"{{"session":{{"id":"1","token":"{TOKEN}","userId":"2","expiresAt":"{future}","createdAt":"{past}","updatedAt":"{past}"}},"user":{{"id":"2","name":"Ada","email":"ada@example.com","emailVerified":true,"createdAt":"{past}","updatedAt":"{past}","biography":"{biography}"}},"updatedAt":0,"version":"1"}}"#
    )
}

/// An unsigned cookie with this JSON in a part that is parsed before the signature is verified: in the session itself,
/// or in a JWT's header.
fn unsigned(form: Form, json: &str) -> String {
    let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
    data(&match form {
        Form::Compact => {
            encode(format!(r#"{{"session":{{"a":{json}}},"expiresAt":9999999999999,"signature":"aaaa"}}"#))
        }
        Form::Jwt => format!("{}.e30.aaaa", encode(format!(r#"{{"alg":"HS256","a":{json}}}"#))),
        Form::Jwe => {
            format!(
                "{}..aaaa.aaaa.aaaa",
                encode(format!(r#"{{"alg":"dir","enc":"A256CBC-HS512","a":{json}}}"#))
            )
        }
    })
}
