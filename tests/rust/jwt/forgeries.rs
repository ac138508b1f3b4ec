//! Forged, foreign and ambiguous tokens, none of which is accepted.

use auth_middleware::jwt::{Outcome, Rejection};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::issuer::{
    ED25519, ISSUER, NOW, P256, claims, document, encode, header, hex, now, sign_es256, sign_message, signed,
    signed_text, token, verifier, with,
};

#[test]
fn no_forgery_is_accepted() {
    let all = forgeries();
    assert!(all.len() >= 60, "{}", all.len());
    let verifier = verifier();
    for (what, token, why) in &all {
        let outcome = verifier.verify(token, now());
        assert_eq!(outcome, Outcome::Rejected(*why), "{what}: {token}");
    }
    // Neither is one that follows a good one, and the good one stays good.
    for (what, token, why) in &all {
        assert!(matches!(verifier.verify(&self::token(), now()), Outcome::Verified(_)), "after {what}");
        assert_eq!(verifier.verify(token, now()), Outcome::Rejected(*why), "{what}, again");
    }
}

#[test]
fn every_changed_character_counts() {
    let (verifier, good) = (verifier(), token());
    assert!(matches!(verifier.verify(&good, now()), Outcome::Verified(_)));
    for at in 0..good.len() {
        for other in ["A", "B", "_", "=", ".", " ", "%"] {
            let mut changed = good.clone();
            changed.replace_range(at..=at, other);
            let is_accepted = matches!(verifier.verify(&changed, now()), Outcome::Verified(_));
            assert_eq!(is_accepted, changed == good, "{other} at {at}: {changed}");
        }
        assert!(matches!(verifier.verify(&good[..at], now()), Outcome::Rejected(_)), "cut at {at}");
        assert!(matches!(verifier.verify(&good[at + 1..], now()), Outcome::Rejected(_)), "from {at}");
    }
}

type Forgery = (&'static str, String, Rejection);

fn forgeries() -> Vec<Forgery> {
    [algorithms(), headers(), encodings(), ambiguous_claims(), foreign_claims(), keys()].concat()
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string()), encode(claims.to_string()))
}

fn hmac(header: &Value, secret: &[u8]) -> String {
    let message = message(header, &claims());
    let mac = Hmac::<Sha256>::new_from_slice(secret).expect("every length").chain_update(&message);
    format!("{message}.{}", encode(mac.finalize().into_bytes()))
}

fn algorithms() -> Vec<Forgery> {
    let public = hex(ED25519[0].public);
    let document = document();
    let (ed, rsa) = (&document["keys"][0], &document["keys"][2]);
    let unsigned = |name: &str| format!("{}.", message(&alg(name), &claims()));
    let hs = |kid: &str| json!({"alg": "HS256", "kid": kid});
    let n = rsa["n"].as_str().unwrap_or_default();
    let point = [vec![4], hex(P256.public)].concat();
    let mut all = vec![
        ("none, unsigned", unsigned("none"), Rejection::Malformed),
        ("nOnE, unsigned", unsigned("nOnE"), Rejection::Malformed),
        ("EdDSA, unsigned", unsigned("EdDSA"), Rejection::Malformed),
        ("none with a signature", signed(&alg("none"), &claims()), Rejection::Algorithm),
        ("NONE with a signature", signed(&alg("NONE"), &claims()), Rejection::Algorithm),
        ("an empty alg", signed(&alg(""), &claims()), Rejection::Algorithm),
        ("eddsa", signed(&alg("eddsa"), &claims()), Rejection::Algorithm),
        ("Ed25519", signed(&alg("Ed25519"), &claims()), Rejection::Algorithm),
        ("alg with a NUL", signed(&alg("EdDSA\0"), &claims()), Rejection::Algorithm),
        ("no alg", signed(&with(header(), json!({"alg": null})), &claims()), Rejection::Algorithm),
        ("alg null", signed_text(r#"{"alg":null,"kid":"ed"}"#, &claims().to_string()), Rejection::Algorithm),
        ("alg a list", signed(&with(header(), json!({"alg": ["EdDSA"]})), &claims()), Rejection::Algorithm),
        ("HS256 with the raw public key", hmac(&hs("ed"), &public), Rejection::Algorithm),
        ("HS256 with x", hmac(&hs("ed"), ed["x"].to_string().as_bytes()), Rejection::Algorithm),
        ("HS256 with the JWK", hmac(&hs("ed"), ed.to_string().as_bytes()), Rejection::Algorithm),
        ("HS256 with the P-256 point", hmac(&hs("ec"), &point), Rejection::Algorithm),
        ("HS256 with the RSA modulus", hmac(&hs("rsa"), n.as_bytes()), Rejection::Algorithm),
        ("HS256 with an empty secret", hmac(&hs("ed"), b""), Rejection::Algorithm),
        ("EdDSA, made by HMAC", hmac(&header(), &public), Rejection::Signature),
        ("RS256 for an Ed25519 key", signed(&alg("RS256"), &claims()), Rejection::Signature),
        ("ES256 for an Ed25519 key", signed(&alg("ES256"), &claims()), Rejection::Signature),
        (
            "ES256 of zeros",
            {
                let header = json!({"alg": "ES256", "kid": "ec"});
                format!("{}.{}", message(&header, &claims()), encode([0; 64]))
            },
            Rejection::Signature,
        ),
        (
            "EdDSA of zeros",
            format!("{}.{}", message(&header(), &claims()), encode([0; 64])),
            Rejection::Signature,
        ),
        (
            "RS256 of zeros",
            {
                let header = json!({"alg": "RS256", "kid": "rsa"});
                format!("{}.{}", message(&header, &claims()), encode([0; 256]))
            },
            Rejection::Signature,
        ),
        (
            "PS256 of one byte",
            {
                let header = json!({"alg": "PS256", "kid": "rsa"});
                format!("{}.AQ", message(&header, &claims()))
            },
            Rejection::Signature,
        ),
    ];
    for name in ["RS384", "RS512", "PS384", "PS512", "ES384", "ES512", "ES256K", "HS384", "HS512", "dir"] {
        all.push((
            "an algorithm that is not on the list",
            signed(&alg(name), &claims()),
            Rejection::Algorithm,
        ));
    }
    all
}

fn alg(alg: &str) -> Value {
    with(header(), json!({"alg": alg}))
}

fn headers() -> Vec<Forgery> {
    let other = json!({"kty": "OKP", "crv": "Ed25519", "x": encode(hex(ED25519[1].public))});
    let by_other = |members: Value| sign_message(&message(&with(header(), members), &claims()), &ED25519[1]);
    let signed_with = |members: Value| signed(&with(header(), members), &claims());
    let text = |header: &str| signed_text(header, &claims().to_string());
    vec![
        ("jwk of the forger", by_other(json!({"jwk": other})), Rejection::Header),
        ("jku of the forger", by_other(json!({"jku": "https://evil.example/jwks"})), Rejection::Header),
        ("x5u", by_other(json!({"x5u": "https://evil.example/x.pem"})), Rejection::Header),
        ("x5c", by_other(json!({"x5c": ["MIIB"]})), Rejection::Header),
        ("jwk, well signed", signed_with(json!({"jwk": other})), Rejection::Header),
        ("jwk false", signed_with(json!({"jwk": false})), Rejection::Header),
        ("crit", signed_with(json!({"crit": ["exp"], "exp": 1})), Rejection::Header),
        ("crit, empty", signed_with(json!({"crit": []})), Rejection::Header),
        ("b64 false", signed_with(json!({"b64": false})), Rejection::Header),
        ("b64 true", signed_with(json!({"b64": true})), Rejection::Header),
        ("zip", signed_with(json!({"zip": "DEF"})), Rejection::Header),
        ("an access token", signed_with(json!({"typ": "at+jwt"})), Rejection::Type),
        ("an access token, in full", signed_with(json!({"typ": "application/at+jwt"})), Rejection::Type),
        ("the cookie cache's", signed_with(json!({"typ": "better-auth.session-cache+jwt"})), Rejection::Type),
        ("a logout token", signed_with(json!({"typ": "logout+jwt"})), Rejection::Type),
        ("an empty typ", signed_with(json!({"typ": ""})), Rejection::Type),
        ("typ a list", signed_with(json!({"typ": ["JWT"]})), Rejection::Type),
        ("typ null", text(r#"{"alg":"EdDSA","kid":"ed","typ":null}"#), Rejection::Type),
        ("typ false", signed_with(json!({"typ": false})), Rejection::Type),
        ("no kid", signed_with(json!({"kid": null})), Rejection::NoKeyId),
        ("an empty kid", signed_with(json!({"kid": ""})), Rejection::NoKeyId),
        ("kid a number", signed_with(json!({"kid": 0})), Rejection::NoKeyId),
        ("kid a list", signed_with(json!({"kid": ["ed"]})), Rejection::NoKeyId),
        ("two alg", text(r#"{"alg":"none","alg":"EdDSA","kid":"ed"}"#), Rejection::Malformed),
        ("two kid, one escaped", text(r#"{"alg":"EdDSA","kid":"ed","\u006bid":"ed"}"#), Rejection::Malformed),
        ("a list for a header", text(r#"["EdDSA","ed"]"#), Rejection::Malformed),
        ("no JSON for a header", text("EdDSA"), Rejection::Malformed),
        ("a header of 1 KiB", signed_with(json!({"x": "x".repeat(1024)})), Rejection::Malformed),
        (
            "an encrypted token's parts",
            format!("{}..a.b.c", encode(header().to_string())),
            Rejection::Malformed,
        ),
    ]
}

fn encodings() -> Vec<Forgery> {
    let good = token();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };
    // 64 bytes take 86 characters, the last of which has four unused bits.
    let (rest, last) = signature.split_at(signature.len() - 1);
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let index = alphabet.iter().position(|byte| last.as_bytes() == [*byte]).expect("base64url");
    let neighbour = char::from(alphabet[index + 1]);
    // Three spaces more, so that the text differs and needs padding.
    let json = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    let standard = STANDARD.encode([&json, b"   ".as_slice()].concat());
    vec![
        ("two parts", format!("{header}.{payload}"), Rejection::Malformed),
        ("four parts", format!("{good}.{signature}"), Rejection::Malformed),
        ("a dot before", format!(".{good}"), Rejection::Malformed),
        ("a dot after", format!("{good}."), Rejection::Malformed),
        ("nothing", String::new(), Rejection::Malformed),
        ("dots", "..".into(), Rejection::Malformed),
        ("no payload", format!("{header}..{signature}"), Rejection::Malformed),
        ("padding", format!("{good}=="), Rejection::Signature),
        ("unused bits", format!("{header}.{payload}.{rest}{neighbour}"), Rejection::Signature),
        ("half a byte more", format!("{good}AA"), Rejection::Signature),
        ("a line break", format!("{good}\n"), Rejection::Signature),
        ("a space", format!("{header}. {payload}.{signature}"), Rejection::Signature),
        ("standard base64", format!("{header}.{standard}.{signature}"), Rejection::Signature),
        (
            "padded payload, signed so",
            { sign_message(&format!("{header}.{standard}"), &ED25519[0]) },
            Rejection::Malformed,
        ),
        (
            "a comment in the payload",
            sign_message(&format!("{header}.{payload}!"), &ED25519[0]),
            Rejection::Malformed,
        ),
    ]
}

fn ambiguous_claims() -> Vec<Forgery> {
    let text = claims().to_string();
    let claims = |members: &str| {
        signed_text(&header().to_string(), &format!("{},{members}}}", &text[..text.len() - 1]))
    };
    let instead = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        signed_text(&header().to_string(), &text.replacen(from, to, 1))
    };
    let exp = format!("\"exp\":{}", NOW + 890);
    vec![
        ("two sub", claims(r#""sub":"bob""#), Rejection::Malformed),
        ("two sub, equal", claims(r#""sub":"ada""#), Rejection::Malformed),
        ("two exp", claims(r#""exp":9999999999"#), Rejection::Malformed),
        ("two members far within", claims(r#""x":[{"y":{"z":1,"z":1}}]"#), Rejection::Malformed),
        ("half a surrogate pair", instead("\"ada\"", r#""\ud83d""#), Rejection::Malformed),
        ("half a pair in a name", claims(r#""\udc00":1"#), Rejection::Malformed),
        ("NaN", instead(&exp, "\"exp\":NaN"), Rejection::Malformed),
        ("Infinity", instead(&exp, "\"exp\":Infinity"), Rejection::Malformed),
        ("1e400", instead(&exp, "\"exp\":1e400"), Rejection::Malformed),
        ("1e30", instead(&exp, "\"exp\":1e30"), Rejection::Malformed),
        ("2^63", instead(&exp, "\"exp\":9223372036854775808"), Rejection::Malformed),
        ("2^62", instead(&exp, "\"exp\":4611686018427387904"), Rejection::Times),
        ("a huge number elsewhere", claims("\"x\":[1e999]"), Rejection::Malformed),
        (
            "text after the end",
            signed_text(&header().to_string(), &format!("{text} {{}}")),
            Rejection::Malformed,
        ),
        ("a list", signed_text(&header().to_string(), &format!("[{text}]")), Rejection::Malformed),
        (
            "deep nesting",
            claims(&format!("\"x\":{}{}", "[".repeat(500), "]".repeat(500))),
            Rejection::Malformed,
        ),
        (
            "a byte order mark",
            signed_text(&header().to_string(), &format!("\u{feff}{text}")),
            Rejection::Malformed,
        ),
    ]
}

fn foreign_claims() -> Vec<Forgery> {
    let with_claims = |members: Value| signed(&header(), &with(claims(), members));
    let text = claims().to_string();
    let instead = |from: &str, to: &str| signed_text(&header().to_string(), &text.replacen(from, to, 1));
    vec![
        ("no exp", with_claims(json!({"exp": null})), Rejection::Times),
        ("exp a text", with_claims(json!({"exp": "9999999999"})), Rejection::Times),
        ("exp null", instead(&format!("\"exp\":{}", NOW + 890), "\"exp\":null"), Rejection::Times),
        ("nbf a text", with_claims(json!({"nbf": "0"})), Rejection::Times),
        ("iat true", with_claims(json!({"iat": true})), Rejection::Times),
        ("expired", with_claims(json!({"exp": NOW - 15})), Rejection::Expired),
        ("expired in 1970", with_claims(json!({"exp": 0})), Rejection::Expired),
        ("expired before 1970", with_claims(json!({"exp": -1})), Rejection::Expired),
        ("not yet valid", with_claims(json!({"nbf": NOW + 16})), Rejection::NotYetValid),
        ("issued tomorrow", with_claims(json!({"iat": NOW + 86_400})), Rejection::NotYetValid),
        ("no iss", with_claims(json!({"iss": null})), Rejection::Issuer),
        ("another iss", with_claims(json!({"iss": "https://evil.example"})), Rejection::Issuer),
        ("iss with a slash", with_claims(json!({"iss": format!("{ISSUER}/")})), Rejection::Issuer),
        ("iss in capitals", with_claims(json!({"iss": ISSUER.to_uppercase()})), Rejection::Issuer),
        ("iss of a look-alike", with_claims(json!({"iss": format!("{ISSUER}.evil")})), Rejection::Issuer),
        ("iss a list", with_claims(json!({"iss": [ISSUER]})), Rejection::Issuer),
        ("no aud", with_claims(json!({"aud": null})), Rejection::Audience),
        ("another aud", with_claims(json!({"aud": "https://other.example"})), Rejection::Audience),
        (
            "the cookie cache's aud",
            with_claims(json!({"aud": "better-auth:session-cache"})),
            Rejection::Audience,
        ),
        ("aud empty", with_claims(json!({"aud": []})), Rejection::Audience),
        ("other auds", with_claims(json!({"aud": ["a", "b"]})), Rejection::Audience),
        ("aud with a number", with_claims(json!({"aud": [ISSUER, 1]})), Rejection::Audience),
        ("aud in an object", with_claims(json!({"aud": {"0": ISSUER}})), Rejection::Audience),
        ("aud nested", with_claims(json!({"aud": [[ISSUER]]})), Rejection::Audience),
        ("no sub", with_claims(json!({"sub": null})), Rejection::Subject),
        ("an empty sub", with_claims(json!({"sub": "", "id": ""})), Rejection::Subject),
        ("sub a number", with_claims(json!({"sub": 1, "id": 1})), Rejection::Subject),
        ("sub a list", with_claims(json!({"sub": ["ada"]})), Rejection::Subject),
        ("sub with a NUL", with_claims(json!({"sub": "ada\0", "id": "ada\0"})), Rejection::Subject),
        ("another id", with_claims(json!({"id": "bob"})), Rejection::Subject),
        ("id a number", with_claims(json!({"id": 7})), Rejection::Subject),
        ("id null", instead("\"id\":\"ada\"", "\"id\":null"), Rejection::Subject),
    ]
}

fn keys() -> Vec<Forgery> {
    let of = |kid: &str| json!({"alg": "EdDSA", "kid": kid});
    vec![
        ("another key", sign_message(&message(&header(), &claims()), &ED25519[1]), Rejection::Signature),
        ("the wrong key of the issuer", signed(&of("ec"), &claims()), Rejection::Signature),
        ("an Ed25519 key under the RSA key's id", signed(&of("rsa"), &claims()), Rejection::Signature),
        (
            "ES256 under the Ed25519 key's id",
            { sign_es256(&json!({"alg": "ES256", "kid": "ed"}), &claims()) },
            Rejection::Signature,
        ),
        (
            "another's signature",
            {
                let good = token();
                let (message, _) = good.rsplit_once('.').expect("three parts");
                let bob = signed(&header(), &with(claims(), json!({"sub": "bob", "id": "bob"})));
                format!("{message}.{}", bob.rsplit('.').next().unwrap_or_default())
            },
            Rejection::Signature,
        ),
    ]
}
