use std::sync::Arc;

use super::*;
use crate::authenticator::{Authenticator, Verdict};
use crate::cookie_cache::keys::PublicKeys;
use crate::credentials::{Kind, Request};
use crate::settings::{RawSettings, Settings};

const SECRET: &str = "0123456789abcdefghijklmnopqrstuv";
const ORIGIN: &str = "http://localhost:3000";

fn payload() -> String {
    let time = "2026-01-15T12:00:00.123Z";
    json!({
        "session": {
            "id": "s", "userId": "ada", "token": "t", "expiresAt": "2096-01-15T12:00:00.000Z", "ipAddress": null,
            "userAgent": null, "createdAt": time, "updatedAt": time,
        },
        "user": {
            "id": "ada", "name": "Ada", "email": "ada@example.com", "emailVerified": true, "image": null,
            "createdAt": time, "updatedAt": time,
        },
        "updatedAt": 1_768_478_400_123_i64, "version": "1",
    })
    .to_string()
}

fn signer() -> Signer {
    Signer::new(SECRET, &[7; 32]).unwrap_or_else(|error| panic!("{error}"))
}

/// Whom the cookies of a signer identify, without a store.
fn identified(word: &str, strategy: Strategy, max_age: TimeDelta) -> Option<String> {
    let settings = Settings::check(RawSettings {
        database_url: Some("postgresql://app@localhost/app".into()),
        secret: Some(SECRET.into()),
        base_url: Some(ORIGIN.into()),
        freshness: Some("cookie_cache".into()),
        cache_strategy: Some(word.into()),
        ..RawSettings::default()
    });
    let settings = settings.unwrap_or_else(|error| panic!("{error}"));
    let (signer, keys, now) = (signer(), PublicKeys::default(), Utc::now());
    keys.replace(&signer.key_rows(), now);
    let snapshot = Snapshot { payload: &payload(), issued_at: now, max_age, issuer: ORIGIN };
    let data = signer.snapshot(strategy, snapshot).unwrap_or_else(|error| panic!("{error}"));
    let token = signer.session_token("t").unwrap_or_default();
    let cookies = format!("better-auth.session_token={token}; better-auth.session_data={data}");
    let headers = [(b"cookie".as_slice(), cookies.as_bytes())];
    match Authenticator::new(&settings, &keys).inspect(Request::new(Kind::SafeHttp, headers), now) {
        Verdict::Known(identity) => Some(Arc::unwrap_or_clone(identity).user.id),
        Verdict::Lookup(_) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_form_of_the_cookie_cache_is_accepted_as_its_own_form_only_and_until_it_expires() {
    let forms = [
        ("compact", Strategy::Compact),
        ("jwt", Strategy::Jwt),
        ("jwe", Strategy::Jwe),
        ("jwks", Strategy::Jwks),
    ];
    let minute = TimeDelta::minutes(1);
    for (word, expected) in forms {
        for (_, strategy) in forms {
            let found = identified(word, strategy, minute);
            assert_eq!(found.is_some(), strategy == expected, "{strategy:?} where {word} is configured");
        }
        assert_eq!(identified(word, expected, -minute), None, "{word}");
    }
}

#[test]
fn its_debug_shows_no_secret() {
    assert_eq!(format!("{:?}", signer()), "Signer(…)");
}
