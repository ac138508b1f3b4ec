//! Tokens as real issuers write them are accepted, until they end.

use std::collections::HashSet;

use auth_middleware::jwt::{Outcome, Rejection};
use serde_json::json;

use crate::issuer::{
    ISSUER, NOW, at, claims, header, moment, now, sign_es256, signed, signed_text, token, user_id, verifier,
    with,
};

#[test]
fn what_better_auth_writes_is_accepted() {
    let verifier = verifier();
    let Outcome::Verified(read) = verifier.verify(&token(), now()) else { panic!("it is refused") };
    assert_eq!(read.user_id(), "ada");
    assert_eq!(read.expires_at(), at(NOW + 890));
    assert_eq!(serde_json::Value::Object(read.claims().clone()), claims());
    assert_eq!(format!("{read:?}"), "UserToken(…)");
}

#[test]
fn other_good_forms_are_accepted() {
    let verifier = verifier();
    for (what, token) in [
        ("typ JWT", signed(&with(header(), json!({"typ": "JWT"})), &claims())),
        ("an unknown member of the header", signed(&with(header(), json!({"cty": "x", "n": 1})), &claims())),
        ("ES256", sign_es256(&json!({"alg": "ES256", "kid": "ec"}), &claims())),
        ("several audiences", signed(&header(), &with(claims(), json!({"aud": ["other", ISSUER]})))),
        ("no id", signed(&header(), &with(claims(), json!({"id": null})))),
        ("no iat", signed(&header(), &with(claims(), json!({"iat": null})))),
        ("nbf", signed(&header(), &with(claims(), json!({"nbf": NOW})))),
        ("a fraction of a second", signed(&header(), &with(claims(), json!({"exp": 1_790_000_000.5})))),
        ("an organization", signed(&header(), &with(claims(), json!({"o": {"id": "o1", "role": "owner"}})))),
        ("spaces", signed_text(" {\"alg\": \"EdDSA\", \"kid\": \"ed\"} ", &format!("\n{:#}", claims()))),
    ] {
        assert_eq!(user_id(&verifier.verify(&token, now())), Some("ada"), "{what}");
        assert_eq!(user_id(&verifier.verify(&token, now())), Some("ada"), "{what}, again");
    }
}

#[test]
fn a_token_that_was_seen_before_is_not_verified_again() {
    let (verifier, token) = (verifier(), token());
    let ask = || match verifier.verify(&token, now()) {
        Outcome::Verified(token) => token,
        other => panic!("{other:?}"),
    };
    assert!(std::ptr::eq(ask().claims(), ask().claims()));
}

#[test]
fn a_token_ends_15_seconds_after_its_exp_also_when_it_was_seen_before() {
    let (verifier, token) = (verifier(), token());
    let last = NOW + 890 + 14;
    let ask = |seconds| verifier.verify(&token, moment(seconds));
    assert_eq!(user_id(&ask(NOW)), Some("ada"));
    assert_eq!(user_id(&ask(last)), Some("ada"));
    assert_eq!(ask(last + 1), Outcome::Rejected(Rejection::Expired));
    assert_eq!(ask(last + 1), Outcome::Rejected(Rejection::Expired));
}

#[test]
fn each_rejection_says_something_else() {
    let all = [
        Rejection::Malformed,
        Rejection::Header,
        Rejection::Type,
        Rejection::Algorithm,
        Rejection::NoKeyId,
        Rejection::UnknownKey,
        Rejection::Signature,
        Rejection::Times,
        Rejection::Expired,
        Rejection::NotYetValid,
        Rejection::Issuer,
        Rejection::Audience,
        Rejection::Subject,
    ];
    let texts: HashSet<&str> = all.iter().map(|rejection| rejection.as_str()).collect();
    assert_eq!(texts.len(), all.len());
    assert!(Rejection::Expired.as_str().contains("exp") && Rejection::Audience.as_str().contains("aud"));
}

#[test]
fn clocks_may_differ_by_15_seconds() {
    let verifier = verifier();
    for name in ["nbf", "iat"] {
        let at = |time: i64| verifier.verify(&signed(&header(), &with(claims(), json!({name: time}))), now());
        assert_eq!(user_id(&at(NOW + 15)), Some("ada"), "{name}");
        assert_eq!(at(NOW + 16), Outcome::Rejected(Rejection::NotYetValid), "{name}");
    }
}

#[test]
fn a_header_may_have_1024_characters_and_no_more() {
    let verifier = verifier();
    let with_header_of = |bytes: usize| {
        let header = header().to_string();
        let spaces = " ".repeat(bytes - header.len());
        verifier.verify(&signed_text(&format!("{header}{spaces}"), &claims().to_string()), now())
    };
    // Four characters for each three bytes.
    assert_eq!(user_id(&with_header_of(768)), Some("ada"));
    assert_eq!(with_header_of(769), Outcome::Rejected(Rejection::Malformed));
}

#[test]
fn a_token_may_have_16_kib_and_no_more() {
    let verifier = verifier();
    // Some lengths are none of base64's, so the header is filled too.
    let of_length = |length: usize| {
        let token = |spaces: usize, filler: usize| {
            let header = format!("{}{}", header(), " ".repeat(spaces));
            signed_text(&header, &with(claims(), json!({"x": "x".repeat(filler)})).to_string())
        };
        let filler = (length - token(0, 0).len()) * 3 / 4;
        (0..4)
            .flat_map(|spaces| (0..8).map(move |fewer| (spaces, filler - fewer)))
            .map(|(spaces, filler)| token(spaces, filler))
            .find(|token| token.len() == length)
            .expect("some filler fits")
    };
    let longest = of_length(16 * 1024);
    assert_eq!(user_id(&verifier.verify(&longest, now())), Some("ada"));
    let too_long = of_length(16 * 1024 + 1);
    assert_eq!(verifier.verify(&too_long, now()), Outcome::Rejected(Rejection::Malformed));
    let longer = signed(&header(), &with(claims(), json!({"x": "x".repeat(12 * 1024)})));
    assert!(longer.len() > 16 * 1024);
    assert_eq!(verifier.verify(&longer, now()), Outcome::Rejected(Rejection::Malformed));
}
