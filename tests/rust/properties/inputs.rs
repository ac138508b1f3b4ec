//! Random inputs, made of meaningful pieces.

use chrono::TimeDelta;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

use crate::properties::better_auth_cookies::{Form, encode_uri_component, session_token};
use crate::properties::person::Person;

pub(crate) fn form() -> impl Strategy<Value = Form> {
    select(Form::ALL.as_slice())
}

/// A Cookie header of almost valid pairs and of other text.
pub(crate) fn header() -> impl Strategy<Value = Vec<u8>> {
    let names: &[&str] = &[
        "s",
        "s",
        "s",
        "d",
        "d",
        "d.0",
        "d.1",
        "d.2",
        "d.10",
        "d.01",
        "d.",
        "d.100",
        "d.9007199254740992",
        "S",
        "d0",
        "__Secure-s",
        "theme",
        "",
    ];
    let quote = || prop_oneof![3 => Just(b"".as_slice()), 1 => Just(b"\"".as_slice())];
    let value = prop_oneof![
        4 => vec(cookie_piece(), 0..4).prop_map(|pieces| pieces.concat()),
        1 => token().prop_map(|token| encode_uri_component(&session_token(&token)).into_bytes()),
        1 => token().prop_map(|token| session_token(&token).into_bytes()),
    ];
    let some_space: &[&[u8]] = &[b" ", b"\t", b"\xa0", b"\x0b"];
    let spaces = || prop_oneof![3 => Just(b"".as_slice()), 1 => select(some_space)];
    let name = (spaces(), select(names), spaces());
    let pair = (name, (spaces(), quote(), value, quote(), spaces())).prop_map(|(name, value)| {
        [name.0, name.1.as_bytes(), name.2, b"=", value.0, value.1, &value.2, value.3, value.4, b";"].concat()
    });
    vec(prop_oneof![6 => pair, 1 => cookie_piece()], 0..6).prop_map(|pairs| pairs.concat())
}

fn cookie_piece() -> impl Strategy<Value = Vec<u8>> {
    let pieces: &[&[u8]] = &[
        b";",
        b"=",
        b"\"",
        b"%",
        b" ",
        b"\t",
        b"\xa0",
        b"s",
        b"s=",
        b"%2B",
        b"%2",
        b"%c3%bc",
        b"%ff",
        b"%e0%80%80",
        b"%ed%a0%80",
        b"%F0%9F%98%80",
        b"a",
        b",",
        b"\\",
        b"/",
    ];
    prop_oneof![3 => select(pieces).prop_map(<[u8]>::to_vec), 1 => vec(any::<u8>(), 0..4)]
}

/// Better Auth's tokens have letters and digits. A plugin's could be any text that is valid in a cookie.
fn token() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-zA-Z0-9]{32}", 1 => "[a-zA-Z0-9.]{1,256}", 1 => "\\PC{1,60}"]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[A-Za-z0-9 ]{0,20}",
        3 => vec(any::<char>(), 0..30).prop_map(String::from_iter),
        1 => "[\"\\\\/\u{0}-\u{1f}\u{7f}\u{2028}\u{feff}ßİςΣ😀%;,{}\\[\\]: ]{0,20}",
        1 => "\\PC{500,4000}",
    ]
}

/// Whatever JSON can hold of what JavaScript can.
pub(crate) fn json() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i32>().prop_map(f64::from),
        any::<f64>(),
        any::<i64>().prop_map(|number| f64::from_bits(number.cast_unsigned())),
        (-1e22..1e22).prop_map(f64::trunc),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        text().prop_map(Value::from),
        number.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            // JavaScript serializes numeric keys first.
            btree_map("_\\PC{0,8}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

pub(crate) fn person() -> impl Strategy<Value = Person> {
    let texts =
        ([text(), text()], text(), text(), option::of(text()), [option::of(text()), option::of(text())]);
    let own = ([option::of(json()), option::of(json())], [option::of(json())]);
    (token(), texts, any::<bool>(), 0_i64..40_000_000_000, own).prop_map(
        |(
            token,
            (ids, name, email, image, client),
            is_email_verified,
            valid_for,
            (user_own, session_own),
        )| Person {
            token,
            ids,
            name,
            email,
            image,
            is_email_verified,
            client,
            valid_for: TimeDelta::milliseconds(valid_for),
            user_own,
            session_own,
        },
    )
}

/// A person's snapshot with one value replaced by another.
pub(crate) fn misshapen_payload() -> impl Strategy<Value = String> {
    let members: &[_] = &[
        "/session",
        "/user",
        "/updatedAt",
        "/version",
        "/session/token",
        "/session/id",
        "/session/userId",
        "/session/expiresAt",
        "/session/createdAt",
        "/session/ipAddress",
        "/user/id",
        "/user/email",
        "/user/name",
        "/user/emailVerified",
        "/user/image",
        "/user/updatedAt",
        "/user/role",
    ];
    let date = "2026-0[0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,12})?Z?";
    let other = prop_oneof![json(), date.prop_map(Value::from), Just(Value::from("1"))];
    (person(), select(members), other).prop_map(|(person, member, other)| {
        let mut payload: Value = serde_json::from_str(&person.payload("1")).unwrap_or_default();
        if let Some(value) = payload.pointer_mut(member) {
            *value = other;
        }
        payload.to_string()
    })
}

pub(crate) fn data_piece() -> impl Strategy<Value = String> {
    let pieces: &[_] = &[
        "eyJhbGciOiJIUzI1NiJ9",
        "eyJhbGciOiJub25lIn0",
        "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2Q0JDLUhTNTEyIn0",
        ".",
        "..",
        "eyJzZXNzaW9uIjp7fSwiZXhwaXJlc0F0IjoxLCJzaWduYXR1cmUiOiJhIn0",
        "e30",
        "=",
        "-",
        "_",
        "+",
        "/",
        "%",
        "\"",
        "A",
    ];
    prop_oneof![select(pieces).prop_map(String::from), "[A-Za-z0-9_-]{0,80}", "\\PC{0,8}"]
}

/// What a JWT's header and claims are made of, and its parts.
pub(crate) fn jwt_piece() -> impl Strategy<Value = String> {
    let members: &[_] = &[
        r#""alg":"EdDSA","#,
        r#""alg":"none","#,
        r#""kid":"k","#,
        r#""typ":"JWT","#,
        r#""typ":"at+jwt","#,
        r#""crit":[],"#,
        r#""sub":"ada","#,
        r#""\u0073ub":"bob","#,
        r#""id":"ada","#,
        r#""iss":"https://auth.example.com","#,
        r#""aud":["https://auth.example.com","x"],"#,
        r#""exp":1790000900,"#,
        r#""exp":1e400,"#,
        r#""iat":1790000000"#,
        r#""x":1"#,
        r#""\ud800":1,"#,
        "{",
        "}",
        "[",
        ",",
        ".",
        "eyJhbGciOiJFZERTQSIsImtpZCI6ImsifQ",
        "e30",
        "=",
        " ",
    ];
    prop_oneof![4 => select(members).prop_map(String::from), 1 => "[A-Za-z0-9_-]{0,20}", 1 => "\\PC{0,4}"]
}

pub(crate) fn pattern_piece() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => select(["*", "**", "?", "/", "\\", "://", "*.", ":*", "[", "(", "|", "^", "$", ""].as_slice())
            .prop_map(String::from),
        3 => url_piece(),
    ]
}

pub(crate) fn url_piece() -> impl Strategy<Value = String> {
    let pieces: &[_] = &[
        "http://",
        "https://",
        "HTTPS://",
        "myapp://",
        "exp:",
        "mailto:",
        "blob:",
        "data:",
        "file://",
        "/",
        "//",
        ":",
        ".",
        "..",
        "@",
        "#",
        "?",
        "a",
        "b.c",
        "example.com",
        "192.168.",
        "1",
        "10.0.0.1",
        "localhost",
        ":443",
        ":3000",
        "%2e%2e",
        "%2F",
        "%zz",
        "%",
        "[::1]",
        "ü",
        "xn--",
        "-",
        "/cb",
        "\u{7}",
        "\t",
        " ",
    ];
    prop_oneof![5 => select(pieces).prop_map(String::from), 1 => "\\PC{0,3}"]
}

pub(crate) fn url() -> impl Strategy<Value = String> {
    prop_oneof![
        "https?://([a-c1]{1,3}\\.){0,2}[a-c0-9]{1,3}(:[0-9]{1,4})?",
        "https?://[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}(:80)?",
        "[a-cA-C]{1,4}://([a-cB:.]{0,4})@?(/([a-c.]{0,3}|%2[eEfF]|\\.\\.)){0,4}([?#][a-c/]{0,3})?",
    ]
}

/// The position of a wildcard in a URL, and the number of characters that it replaces.
pub(crate) fn hole() -> impl Strategy<Value = (Index, usize, &'static str)> {
    let wildcards = ["*", "*", "*", "?", "?", "**", "*.", "/**", "/**/", "\\"];
    (any::<Index>(), 0_usize..8, select(wildcards.to_vec()))
}
