//! Only what the issuer signed is accepted, and only what it says is believed.

use std::sync::LazyLock;

use auth_middleware::jwt::{Outcome, Verifier};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::jwt_issuer::{HEADER, ISSUER, claims, sign, signature, verifier, verify_by};

static VERIFIER: LazyLock<Verifier> = LazyLock::new(verifier);
static GOOD: LazyLock<String> = LazyLock::new(|| sign(HEADER, &claims("ada").to_string()));

/// The first byte chooses what the rest is: a token, a header that is signed with good claims, claims that are
/// signed under a good header, or an edit of a good token: where, how many characters go, and what comes instead.
pub(crate) fn on_bytes(data: &[u8]) {
    let [choice, rest @ ..] = data else { return };
    let text = String::from_utf8_lossy(rest);
    match choice % 4 {
        0 => accepts_only_what_was_signed(&text),
        1 => reads_only_what_it_says(&text, &claims("ada").to_string()),
        2 => reads_only_what_it_says(HEADER, &text),
        _ => {
            if let [high, low, cut, instead @ ..] = rest {
                let at = usize::from(u16::from_be_bytes([*high, *low]));
                accepts_no_edit(at, usize::from(*cut), &String::from_utf8_lossy(instead));
            }
        }
    }
}

pub(crate) fn accepts_no_edit(at: usize, cut: usize, instead: &str) {
    let mut token = GOOD.clone();
    let at = at % (token.len() + 1);
    token.replace_range(at..(at + cut).min(token.len()), instead);
    assert_eq!(matches!(verify(&token), Outcome::Verified(_)), token == *GOOD, "{token}");
}

pub(crate) fn accepts_only_what_was_signed(token: &str) {
    let Outcome::Verified(read) = verify(token) else { return };
    let (message, shown) = token.rsplit_once('.').unwrap_or_default();
    assert_eq!(shown, signature(message), "{token}");
    let payload = message.split('.').nth(1).unwrap_or_default();
    let payload = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    agrees(read.user_id(), &String::from_utf8_lossy(&payload));
}

pub(crate) fn reads_only_what_it_says(header: &str, claims: &str) {
    let token = sign(header, claims);
    if let Outcome::Verified(read) = verify(&token) {
        let header: Value = serde_json::from_str(header).unwrap_or_default();
        assert_eq!((&header["alg"], &header["kid"]), (&json!("EdDSA"), &json!("k")), "{token}");
        assert!(header.get("typ").is_none_or(|kind| kind == "JWT"), "{token}");
        agrees(read.user_id(), claims);
    }
}

pub(crate) fn accepts_what_better_auth_writes(user_id: &str, members: &Value) {
    let mut claims = claims(user_id);
    if let (Value::Object(all), Value::Object(members)) = (&mut claims, members.clone()) {
        all.extend(members.into_iter().map(|(name, value)| (format!("own {name}"), value)));
    }
    let token = sign(HEADER, &claims.to_string());
    if token.len() > 16 * 1024 || has_huge_number(&claims) {
        return assert!(matches!(verify(&token), Outcome::Rejected(_)));
    }
    for _ in 0..2 {
        match verify(&token) {
            Outcome::Verified(read) => assert_eq!(Value::Object(read.claims().clone()), claims),
            other => panic!("{other:?}: {claims}"),
        }
    }
}

/// One that no 64-bit integer holds.
fn has_huge_number(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_none_or(|number| number.abs() >= 2_f64.powi(63)),
        Value::Array(items) => items.iter().any(has_huge_number),
        Value::Object(members) => members.values().any(has_huge_number),
        _ => false,
    }
}

/// Another reader of JSON finds the same person in a text that we accepted.
fn agrees(user_id: &str, claims: &str) {
    let claims: Value = serde_json::from_str(claims).unwrap_or_default();
    assert_eq!(claims["sub"], user_id, "{claims}");
    assert_eq!(claims["iss"], ISSUER, "{claims}");
    assert!(
        claims["aud"] == ISSUER || claims["aud"].as_array().is_some_and(|all| all.contains(&json!(ISSUER)))
    );
    assert!(claims.get("id").is_none_or(|id| id == user_id), "{claims}");
    assert!(claims["exp"].as_f64().is_some_and(|exp| exp > 1_790_000_000.0 - 15.0), "{claims}");
}

fn verify(token: &str) -> Outcome {
    verify_by(&VERIFIER, token)
}
