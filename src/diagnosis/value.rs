//! What a cookie's value is, and which secret signed it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::settings::{Secret, Secrets};
use crate::signature::Keys;
use crate::{credentials, uri_component};

/// The secret that Better Auth uses outside production where none is set.
const PUBLIC_DEFAULT: &str = "better-auth-secret-12345678901234567890";
/// 32 bytes in padded base64.
const SIGNATURE_CHARACTERS: usize = 44;

/// What a cookie's value is. Only the first three are accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "code", content = "detail", rename_all = "snake_case")]
pub enum ValueVerdict {
    /// Signed with the current secret.
    Signed,
    /// Signed with a secret of `previous_secrets`.
    SignedByPrevious,
    /// Well signed, and the text is no session token of Better Auth's: its other signed cookies (`dont_remember`).
    SignedOther,
    /// Signed with an older entry of `BETTER_AUTH_SECRETS`, which no longer verifies signatures.
    SignedByOldVersion,
    /// Signed with another secret that was tried: the text says which one.
    SignedBy(String),
    /// Nothing.
    Empty,
    /// Percent-encoded twice.
    EncodedTwice,
    /// Its signature is in base64url.
    Base64Url,
    /// Its signature lacks the padding.
    Unpadded,
    /// In it, `+` has become a space.
    PlusIsSpace,
    /// It is in quotes, or white space or a line end is around it.
    Quoted,
    /// A session token alone, as it stands in the database.
    BareToken,
    /// The cookie cache's cookie; the text is its form.
    SessionData(&'static str),
    /// A JWT.
    Jwt,
    /// It has the form of a signed token, and none of the secrets signed it.
    OtherSecret,
    /// Its signature is too short.
    Truncated,
    /// Anything else.
    Malformed,
}

/// The secrets that are tried.
pub struct Signers {
    current: Keys,
    previous: Keys,
    old: Keys,
    others: Vec<(String, Keys)>,
}

impl Signers {
    /// Those of the settings; `others` have descriptions. Also tries spellings of the current secret that another reader
    /// of a `.env` file may have, and Better Auth's public default.
    #[must_use]
    pub fn new(secrets: &Secrets, others: Vec<(String, String)>) -> Self {
        let of = |secret: &str| Keys::new(&[Secret::new(secret)]);
        let (current, previous) = secrets.signing.split_at(secrets.signing.len().min(1));
        let old: Vec<Secret> =
            secrets.encrypting.iter().filter(|secret| !secrets.signing.contains(secret)).cloned().collect();
        let mut tried = vec![("Better Auth's public default".to_owned(), of(PUBLIC_DEFAULT))];
        if let Some(text) = current.first().and_then(|secret| std::str::from_utf8(secret.as_bytes()).ok()) {
            let variants = [
                ("our secret in double quotes", format!("\"{text}\"")),
                ("our secret in single quotes", format!("'{text}'")),
                ("our secret with a line end after it", format!("{text}\n")),
                ("our secret with a carriage return after it", format!("{text}\r")),
                ("our secret with a space after it", format!("{text} ")),
                ("our secret with a space before it", format!(" {text}")),
            ];
            tried.extend(variants.map(|(what, secret)| (what.to_owned(), of(&secret))));
        }
        tried.extend(others.into_iter().map(|(what, secret)| {
            let keys = of(&secret);
            (what, keys)
        }));
        Self {
            current: Keys::new(current),
            previous: Keys::new(previous),
            old: Keys::new(&old),
            others: tried,
        }
    }

    /// What this value is. It is percent-encoded or not, without the quotes that a cookie may have.
    #[must_use]
    pub fn judge(&self, value: &str) -> ValueVerdict {
        if value.trim().is_empty() {
            return ValueVerdict::Empty;
        }
        // As the authenticator decodes it; a value that is too long is not a signed token.
        if let Some(decoded) = credentials::decode(Cow::Borrowed(value))
            && let Some(verdict) = self.signed(&decoded)
        {
            return verdict;
        }
        let decoded = uri_component::decode(Cow::Borrowed(value)).into_owned();
        self.signed_otherwise(&decoded).unwrap_or_else(|| unsigned(&decoded))
    }

    fn signed(&self, decoded: &str) -> Option<ValueVerdict> {
        if let Some(token) = self.current.verify(decoded) {
            return Some(match token.as_str() {
                "true" | "false" => ValueVerdict::SignedOther,
                _ => ValueVerdict::Signed,
            });
        }
        self.previous.verify(decoded).map(|_| ValueVerdict::SignedByPrevious)
    }

    /// Whether it is a value of ours in another spelling, or of a secret that is not accepted.
    fn signed_otherwise(&self, decoded: &str) -> Option<ValueVerdict> {
        let is_ours = |text: &str| self.signed(text).is_some();
        let bare = decoded.trim().trim_matches(['"', '\'', '`']);
        if bare != decoded && is_ours(&uri_component::decode(Cow::Borrowed(bare))) {
            return Some(ValueVerdict::Quoted);
        }
        let again = uri_component::decode(Cow::Borrowed(decoded));
        if again != decoded && is_ours(&again) {
            return Some(ValueVerdict::EncodedTwice);
        }
        if decoded.contains(' ') && is_ours(&decoded.replace(' ', "+")) {
            return Some(ValueVerdict::PlusIsSpace);
        }
        if let Some((token, signature)) = decoded.rsplit_once('.') {
            let standard = signature.replace('-', "+").replace('_', "/");
            if is_ours(&format!("{token}.{}=", standard.trim_end_matches('='))) {
                let is_url = standard != signature;
                return Some(if is_url { ValueVerdict::Base64Url } else { ValueVerdict::Unpadded });
            }
        }
        if self.old.verify(decoded).is_some() {
            return Some(ValueVerdict::SignedByOldVersion);
        }
        let other = self.others.iter().find(|(_, keys)| keys.verify(decoded).is_some());
        other.map(|(what, _)| ValueVerdict::SignedBy(what.clone()))
    }
}

/// What a value is that nobody known signed.
fn unsigned(decoded: &str) -> ValueVerdict {
    if let Some(kind) = session_data(decoded) {
        return ValueVerdict::SessionData(kind);
    }
    let parts: Vec<&str> = decoded.split('.').collect();
    if parts.len() == 3 && json(parts[0]).is_some_and(|header| header.contains_key("alg")) {
        return ValueVerdict::Jwt;
    }
    let is_alphanumeric = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let Some((token, signature)) = decoded.rsplit_once('.') else {
        let is_token = (16..=64).contains(&decoded.len()) && is_alphanumeric(decoded);
        return if is_token { ValueVerdict::BareToken } else { ValueVerdict::Malformed };
    };
    let is_base64 = signature.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte));
    // Not, for example, "Bearer …", or a line of a file of cookies.
    let is_token =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"':;,".contains(&byte));
    match signature.len() {
        _ if token.is_empty() || !is_token(token) || !is_base64 => ValueVerdict::Malformed,
        // Without its padding too.
        SIGNATURE_CHARACTERS | 43 => ValueVerdict::OtherSecret,
        0..SIGNATURE_CHARACTERS => ValueVerdict::Truncated,
        _ => ValueVerdict::Malformed,
    }
}

/// The form of the cookie cache's cookie, if it is one.
fn session_data(decoded: &str) -> Option<&'static str> {
    if json(decoded).is_some_and(|fields| fields.contains_key("session") && fields.contains_key("signature"))
    {
        return Some("compact");
    }
    let parts: Vec<&str> = decoded.split('.').collect();
    let header = json(parts[0])?;
    match parts.len() {
        5 if header.contains_key("enc") => Some("jwe"),
        3 if header.get("typ").is_some_and(|typ| typ == "better-auth.session-cache+jwt") => Some("jwks"),
        3 if json(parts[1]).is_some_and(|claims| claims.contains_key("session")) => Some("jwt"),
        _ => None,
    }
}

/// A JSON object in base64url.
pub(super) fn json(part: &str) -> Option<Map<String, Json>> {
    let bytes = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?;
    match serde_json::from_slice(&bytes).ok()? {
        Json::Object(fields) => Some(fields),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    use super::*;

    const SECRET: &str = "0123456789abcdefghijklmnopqrstuv";
    const TOKEN: &str = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF";

    fn signed(secret: &str, token: &str) -> String {
        Keys::new(&[Secret::new(secret)]).sign(token).unwrap_or_default()
    }

    fn encoded(text: &str) -> String {
        utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
    }

    fn judge(value: &str) -> ValueVerdict {
        let secret = |text: &str| Secret::new(text);
        let previous = "previous previous previous previous";
        let secrets = Secrets {
            signing: vec![secret(SECRET), secret(previous)],
            encrypting: vec![secret(SECRET), secret("old version old version old version"), secret(previous)],
        };
        let others = vec![("AUTH_SECRET".to_owned(), "the value of AUTH_SECRET, the other".to_owned())];
        Signers::new(&secrets, others).judge(value)
    }

    #[test]
    fn what_the_authenticator_accepts_is_signed() {
        let good = signed(SECRET, TOKEN);
        for value in [good.clone(), encoded(&good)] {
            assert_eq!(judge(&value), ValueVerdict::Signed);
        }
        let previous = signed("previous previous previous previous", TOKEN);
        assert_eq!(judge(&previous), ValueVerdict::SignedByPrevious);
        assert_eq!(judge(&signed(SECRET, "true")), ValueVerdict::SignedOther);
    }

    #[test]
    fn other_spellings_of_a_good_value_are_recognised() {
        // A signature with each of the characters that other spellings change.
        let token = (0..1000)
            .map(|number| format!("token{number}"))
            .find(|token| {
                let value = signed(SECRET, token);
                value.contains('+') && value.contains('/')
            })
            .unwrap_or_default();
        let good = signed(SECRET, &token);
        let url = good.replace('+', "-").replace('/', "_");
        assert_eq!(judge(&url), ValueVerdict::Base64Url);
        assert_eq!(judge(url.trim_end_matches('=')), ValueVerdict::Base64Url);
        assert_eq!(judge(good.trim_end_matches('=')), ValueVerdict::Unpadded);
        assert_eq!(judge(&good.replace('+', " ")), ValueVerdict::PlusIsSpace);
        assert_eq!(judge(&encoded(&encoded(&good))), ValueVerdict::EncodedTwice);
        for quoted in [format!("\"{good}\""), format!("'{}'", encoded(&good)), format!("{good}\n")] {
            assert_eq!(judge(&quoted), ValueVerdict::Quoted, "{quoted:?}");
        }
    }

    #[test]
    fn the_secret_that_signed_is_named() {
        let by = |secret: &str| judge(&encoded(&signed(secret, TOKEN)));
        assert_eq!(by("old version old version old version"), ValueVerdict::SignedByOldVersion);
        assert_eq!(by("the value of AUTH_SECRET, the other"), ValueVerdict::SignedBy("AUTH_SECRET".into()));
        for (secret, part) in [
            (PUBLIC_DEFAULT.to_owned(), "public default"),
            (format!("\"{SECRET}\""), "double quotes"),
            (format!("'{SECRET}'"), "single quotes"),
            (format!("{SECRET}\n"), "line end"),
            (format!("{SECRET}\r"), "carriage return"),
            (format!("{SECRET} "), "space after"),
        ] {
            let ValueVerdict::SignedBy(what) = by(&secret) else { panic!("{part}: not recognised") };
            assert!(what.contains(part), "{what}");
        }
        assert_eq!(by("nobody knows this secret at all, nobody"), ValueVerdict::OtherSecret);
    }

    #[test]
    fn what_is_no_signed_token_is_called_by_its_name() {
        let data = URL_SAFE_NO_PAD.encode(r#"{"session":{},"expiresAt":1,"signature":"x"}"#);
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let three = |header: &str, claims: &str| format!("{}.{}.c2ln", part(header), part(claims));
        for (value, verdict) in [
            (String::new(), ValueVerdict::Empty),
            (" ".into(), ValueVerdict::Empty),
            (TOKEN.into(), ValueVerdict::BareToken),
            (data, ValueVerdict::SessionData("compact")),
            (three(r#"{"alg":"HS256"}"#, r#"{"session":{},"user":{}}"#), ValueVerdict::SessionData("jwt")),
            (
                three(r#"{"alg":"EdDSA","typ":"better-auth.session-cache+jwt"}"#, "{}"),
                ValueVerdict::SessionData("jwks"),
            ),
            (
                format!("{}...x.y", part(r#"{"alg":"dir","enc":"A256CBC-HS512"}"#)),
                ValueVerdict::SessionData("jwe"),
            ),
            (three(r#"{"alg":"EdDSA","kid":"1"}"#, r#"{"sub":"1"}"#), ValueVerdict::Jwt),
            (signed(SECRET, TOKEN)[..60].to_owned(), ValueVerdict::Truncated),
            ("what is this?".into(), ValueVerdict::Malformed),
            (format!("{TOKEN}."), ValueVerdict::Truncated),
            (".".into(), ValueVerdict::Malformed),
            ("x".repeat(5000), ValueVerdict::Malformed),
        ] {
            assert_eq!(judge(&value), verdict, "{value}");
        }
    }
}
