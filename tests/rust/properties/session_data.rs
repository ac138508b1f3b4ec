//! We read every `session_data` cookie that Better Auth writes, and refuse it if one bit was changed.

use std::sync::LazyLock;

use auth_middleware::authenticator::{Authenticator, Verdict};
use auth_middleware::cookie_cache::keys::PublicKeys;
use auth_middleware::credentials::{Kind, Request};
use auth_middleware::identity::Identity;
use auth_middleware::settings::{RawSettings, Settings};
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::better_auth_cookies::{
    DATA_COOKIE, Form, SECRET, TOKEN_COOKIE, chunks, encode_uri_component, header, join, session_data,
    session_token,
};
use super::parse_cookies::better_call;
use super::person::{NOW, Person};

static READERS: LazyLock<[Authenticator; 3]> = LazyLock::new(|| Form::ALL.map(reader));

/// An authenticator that trusts cookies of this form and of version "1".
pub(crate) fn reader(form: Form) -> Authenticator {
    let settings = Settings::check(RawSettings {
        database_url: Some("postgresql://nobody@localhost/none".into()),
        secret: Some(SECRET.into()),
        base_url: Some("http://localhost:3000".into()),
        freshness: Some("cookie_cache".into()),
        cache_strategy: Some(form.name().into()),
        user_fields: Person::user_fields(),
        session_fields: Person::session_fields(),
        ..RawSettings::default()
    });
    match settings {
        Ok(settings) => Authenticator::new(&settings, &PublicKeys::default()),
        Err(error) => panic!("{error}"),
    }
}

/// The first byte chooses the form and the meaning of the rest: a cookie's value, the JSON of a snapshot, or two
/// bytes that choose a bit, followed by the lines of a person.
pub(crate) fn on_bytes(data: &[u8]) {
    let [choice, rest @ ..] = data else { return };
    let form = Form::ALL[usize::from(choice % 3)];
    match (choice / 3 % 3, rest) {
        (0, rest) => refuses_unsigned_data(form, rest),
        (1, rest) => identifies_only_the_user_of_the_snapshot(form, &String::from_utf8_lossy(rest)),
        (_, [high, low, rest @ ..]) => {
            let person = Person::from_lines(&String::from_utf8_lossy(rest));
            reads_what_better_auth_writes(form, &person);
            refuses_one_changed_bit(form, &person, usize::from(u16::from_be_bytes([*high, *low])));
        }
        _ => {}
    }
}

pub(crate) fn reads_what_better_auth_writes(form: Form, person: &Person) {
    let verdict = inspect(form, &header(form, &person.token, &person.payload("1"), NOW), NOW);
    if person.has_a_text_like_a_date() {
        return assert!(matches!(verdict, Verdict::Known(_) | Verdict::Lookup(_)));
    }
    if person.lacks_a_declared_field() {
        return assert!(matches!(verdict, Verdict::Lookup(_)), "{form:?}: {verdict:?}");
    }
    assert_eq!(known(&verdict), Some(&person.identity()), "{form:?}");
}

/// A cookie with the token of another session, with another version, or after its expiry.
pub(crate) fn queries_the_store_if_the_cookie_is_not_valid(form: Form, person: &Person, another: &Person) {
    let payload = person.payload("1");
    let assert_lookup = |header: &str, token: &str, now: DateTime<Utc>| match inspect(form, header, now) {
        Verdict::Lookup(looked_up) => assert_eq!(looked_up.as_str(), token),
        other => panic!("{form:?}: {other:?}"),
    };
    if another.token != person.token {
        assert_lookup(&header(form, &another.token, &payload, NOW), &another.token, NOW);
    }
    assert_lookup(&header(form, &person.token, &person.payload("2"), NOW), &person.token, NOW);
    // After the cookie's expiry by more than any tolerance, and after the session's expiry.
    let written = header(form, &person.token, &payload, NOW);
    assert_lookup(&written, &person.token, NOW + TimeDelta::seconds(316));
    let later = NOW + person.valid_for + TimeDelta::milliseconds(1);
    assert_lookup(&header(form, &person.token, &payload, later), &person.token, later);
}

/// Changes one bit of the session token, with and without percent-encoding, or of the data.
pub(crate) fn refuses_one_changed_bit(form: Form, person: &Person, bit: usize) {
    let token = session_token(&person.token);
    let data = session_data(form, &person.payload("1"), NOW);
    for written in [encode_uri_component(&token), token.clone()] {
        let changed = flip(written.as_bytes(), bit);
        let header =
            [TOKEN_COOKIE.as_bytes(), b"=", &changed, b"; ", join(&chunks(&data)).as_bytes()].concat();
        let is_same = cookie(&header, TOKEN_COOKIE) == token;
        match inspect(form, &header, NOW) {
            // The bit changed the case of an escape's letter: `%2b` for `%2B`.
            Verdict::Known(_) | Verdict::Lookup(_) => assert!(is_same, "{form:?}: {}", header.escape_ascii()),
            Verdict::Refused(_) => assert!(!is_same),
            other => panic!("{form:?}: {other:?}"),
        }
    }

    // The two unused bits of the signature's last character. Better Auth ignores them, and we refuse them.
    let (before, last) = token[..token.len() - 1].split_at(token.len() - 2);
    let digits: Vec<char> = STANDARD.as_str().chars().collect();
    let digit = digits.iter().position(|&digit| last.starts_with(digit)).unwrap_or_default();
    let changed = format!("{before}{}=", digits[digit ^ (bit % 3 + 1)]);
    let header = format!("{TOKEN_COOKIE}={changed}; {}", join(&chunks(&data)));
    assert!(matches!(inspect(form, &header, NOW), Verdict::Refused(_)), "{form:?}: {header}");

    let mut pairs = chunks(&data);
    let at = bit % pairs.len();
    let changed = flip(pairs[at].1.as_bytes(), bit / pairs.len());
    let (name, rest) = (pairs[at].0.clone(), pairs.split_off(at));
    pairs.insert(0, (TOKEN_COOKIE.to_owned(), encode_uri_component(&token)));
    let header = [
        join(&pairs).as_bytes(),
        format!("; {name}=").as_bytes(),
        &changed,
        b"; ",
        join(&rest[1..]).as_bytes(),
    ]
    .concat();
    let verdict = inspect(form, &header, NOW);
    // The unused bits of the last base64 character. Better Auth also ignores them in this form.
    let is_same = form == Form::Compact
        && pairs.len() + rest.len() == 2
        && decode(cookie(&header, DATA_COOKIE).as_bytes()) == decode(data.as_bytes());
    match &verdict {
        Verdict::Known(identity) => {
            assert!(is_same && **identity == person.identity(), "{form:?}: {}", header.escape_ascii());
        }
        Verdict::Lookup(asked) => assert_eq!(asked.as_str(), person.token),
        _ => panic!("{form:?}: {verdict:?}"),
    }

    // A bit of the decoded bytes.
    let segments: Vec<&str> = data.split('.').collect();
    let at = bit % segments.len();
    if let Some(bytes) = decode(segments[at].as_bytes()).filter(|bytes| !bytes.is_empty()) {
        let changed = URL_SAFE_NO_PAD.encode(flip(&bytes, bit / segments.len()));
        let changed = [&segments[..at], &[changed.as_str()], &segments[at + 1..]].concat().join(".");
        assert_lookup(form, &person.token, &changed);
    }
}

pub(crate) fn refuses_unsigned_data(form: Form, data: &[u8]) {
    let token = "YpzT0Yk3nW5vXq7sR1uJ9aBc2dEf4gHi";
    let signed = format!("{TOKEN_COOKIE}={}; {DATA_COOKIE}=", session_token(token));
    match inspect(form, &[signed.as_bytes(), data].concat(), NOW) {
        Verdict::Lookup(looked_up) => assert_eq!(looked_up.as_str(), token),
        other => panic!("{form:?}: {other:?}"),
    }
}

/// A snapshot of any shape with a valid signature, sent with its own token.
pub(crate) fn identifies_only_the_user_of_the_snapshot(form: Form, payload: &str) {
    let Ok(snapshot) = serde_json::from_str::<Value>(payload) else { return };
    let text = |path| snapshot.pointer(path).and_then(Value::as_str);
    let token = text("/session/token").filter(|token| {
        !token.is_empty() && token.len() <= 200 && !token.contains(char::is_control) && snapshot.is_object()
    });
    let token = token.unwrap_or("YpzT0Yk3nW5vXq7sR1uJ9aBc2dEf4gHi");
    let verdict = inspect(form, &header(form, token, payload.trim(), NOW), NOW);
    let Some(Identity { session: Some(session), user }) = known(&verdict) else { return };
    assert_eq!((session.token.as_str(), text("/session/token")), (token, Some(token)));
    assert_eq!(Some(session.id.as_str()), text("/session/id"));
    assert_eq!(Some(session.user_id.as_str()), text("/session/userId"));
    assert_eq!(Some(user.id.as_str()), text("/user/id"));
    assert_eq!(user.name.as_deref(), text("/user/name"));
    assert_eq!(user.email.clone(), text("/user/email").map(str::to_lowercase));
    assert!(matches!(text("/version"), None | Some("" | "1")));
    assert!(session.expires_at >= NOW);
}

fn assert_lookup(form: Form, token: &str, data: &str) {
    let pairs = [(TOKEN_COOKIE.to_owned(), encode_uri_component(&session_token(token)))];
    let header = join(&[pairs.as_slice(), &chunks(data)].concat());
    let verdict = inspect(form, &header, NOW);
    assert!(matches!(&verdict, Verdict::Lookup(asked) if asked.as_str() == token), "{form:?}: {verdict:?}");
}

fn inspect(form: Form, header: &(impl AsRef<[u8]> + ?Sized), now: DateTime<Utc>) -> Verdict {
    let headers = [(b"cookie".as_slice(), header.as_ref())];
    READERS[form as usize].inspect(Request::new(Kind::SafeHttp, headers), now)
}

fn known(verdict: &Verdict) -> Option<&Identity> {
    match verdict {
        Verdict::Known(identity) => Some(identity),
        _ => None,
    }
}

/// The cookie that Better Auth finds in this header.
fn cookie(header: &[u8], name: &str) -> String {
    let header: Vec<char> = header.iter().copied().map(char::from).collect();
    let found = better_call(&header).into_iter().find(|cookie| cookie.name == name);
    found.map(|cookie| cookie.value).unwrap_or_default()
}

fn flip(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[bit / 8 % bytes.len()] ^= 1 << (bit % 8);
    flipped
}

/// Base64url with any unused last bits.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true).with_encode_padding(false);
    let config = config.with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&URL_SAFE, config).decode(text).ok()
}
