//! The cookies of a pasted `Cookie` header, or a value alone.

use serde::Serialize;

use super::value::{Signers, ValueVerdict};
use crate::credentials::{RawCookie, cookies, unquote_value};
use crate::settings::{CookieNames, is_signed_beside};

/// The longest name that is shown. Longer names are hidden, not cut: a truncated token would not be recognised as a
/// secret.
const SHOWN_CHARACTERS: usize = 100;
/// Shown in place of text that is not a cookie's name.
const HIDDEN: &str = "…";

/// What was pasted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CookieReport {
    /// A header, or one `name=value`; otherwise the value alone.
    pub is_header: bool,
    /// The cookies in their order. The value alone is one without a name.
    pub cookies: Vec<SeenCookie>,
}

/// One cookie. Its value is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenCookie {
    /// Its name, as far as it can be shown.
    pub name: String,
    /// What the name says it is.
    pub role: Role,
    /// Its value stands in quotes.
    pub is_quoted: bool,
    /// What its value is, where the name says that it may be a session token, or the Better Auth server signed it.
    pub verdict: Option<ValueVerdict>,
}

/// What a cookie is by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The session cookie, by the settings.
    SessionToken,
    /// The session cookie's name with `__Secure-` where it has none by the settings, or without it.
    OtherSpelling,
    /// The cookie cache's cookie, or a chunk of it.
    SessionData,
    /// A `session_token` of another prefix.
    OtherPrefix,
    /// A `session_data` of another prefix.
    OtherData,
    /// The multi-session plugin's copy of a session cookie.
    MultiSession,
    /// Anything else.
    Other,
}

/// Reads what was pasted: a header with or without its name, or a value.
#[must_use]
pub fn read(text: &str, names: &CookieNames, signers: &Signers) -> CookieReport {
    let text = text.trim_end_matches(['\r', '\n']);
    let Some(header) = header(text) else {
        let value = text.trim();
        let role = Role::SessionToken;
        let is_quoted = value.starts_with('"');
        // As in a header.
        let verdict = Some(signers.judge(&RawCookie::new(unquote_value(value.as_bytes())).as_text()));
        return CookieReport {
            is_header: false,
            cookies: vec![SeenCookie { name: String::new(), role, is_quoted, verdict }],
        };
    };
    let seen = cookies(header.as_bytes()).map(|(name, value)| {
        let name = String::from_utf8_lossy(name);
        let role = role(&name, names);
        let is_shown = matches!(role, Role::SessionToken | Role::OtherSpelling) || is_name(&name);
        let name = if is_shown { &name } else { HIDDEN };
        let is_token =
            matches!(role, Role::SessionToken | Role::OtherSpelling | Role::OtherPrefix | Role::MultiSession);
        let value = value.trim_ascii();
        // As the authenticator reads it.
        let text = RawCookie::new(unquote_value(value)).as_text();
        SeenCookie {
            name: name.to_owned(),
            role,
            is_quoted: value.starts_with(b"\""),
            verdict: is_token.then(|| signers.judge(&text)).or_else(|| {
                let is_good = |verdict: &ValueVerdict| *verdict == ValueVerdict::Signed;
                let may_be_renamed = role == Role::Other && is_shown && !is_signed_beside(name);
                Some(signers.judge(&text)).filter(|verdict| may_be_renamed && is_good(verdict))
            }),
        }
    });
    CookieReport { is_header: true, cookies: seen.collect() }
}

/// The header's value; None if the text is a cookie's value alone, which may end in `=`.
fn header(text: &str) -> Option<&str> {
    for name in ["cookie:", "set-cookie:"] {
        if let Some(prefix) = text.get(..name.len())
            && prefix.eq_ignore_ascii_case(name)
        {
            return Some(text[name.len()..].trim());
        }
    }
    let trimmed = text.trim();
    if trimmed.contains(';') {
        return Some(trimmed);
    }
    let (name, value) = trimmed.split_once('=')?;
    let is_name = !name.is_empty() && !name.starts_with(['"', '\'']) && !name.contains('%');
    (is_name && !value.trim_start_matches('=').is_empty()).then_some(trimmed)
}

/// Whether it can be a cookie's name, and be shown.
fn is_name(name: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.$".contains(&byte);
    !name.is_empty() && name.len() <= SHOWN_CHARACTERS && name.bytes().all(is_of_name)
}

fn role(name: &str, names: &CookieNames) -> Role {
    let is_chunk_of = |base: &str| {
        name.strip_prefix(base).is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix('.').is_some_and(|number| number.parse::<u64>().is_ok())
        })
    };
    if name == names.session_token {
        return Role::SessionToken;
    }
    if name == names.other_spelling {
        return Role::OtherSpelling;
    }
    if is_chunk_of(&names.session_data) {
        return Role::SessionData;
    }
    if name.contains("session_token_multi-") {
        return Role::MultiSession;
    }
    if name.ends_with("session_token") {
        return Role::OtherPrefix;
    }
    let base = name.trim_end_matches(|character: char| character.is_ascii_digit()).trim_end_matches('.');
    if base.ends_with("session_data") { Role::OtherData } else { Role::Other }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{CookieOptions, Secret, Secrets};
    use crate::signature::Keys;

    const SECRET: &str = "0123456789abcdefghijklmnopqrstuv";

    fn report(text: &str) -> CookieReport {
        let secrets = Secrets { signing: vec![Secret::new(SECRET)], encrypting: vec![] };
        let options = CookieOptions { is_https: Some(true), ..CookieOptions::default() };
        let names = CookieNames::check(options).expect("they are good");
        read(text, &names, &Signers::new(&secrets, Vec::new()))
    }

    fn value() -> String {
        Keys::new(&[Secret::new(SECRET)]).sign("aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF").unwrap_or_default()
    }

    #[test]
    fn a_value_alone_is_told_from_a_header() {
        let value = value();
        for text in [value.clone(), format!("{value}\n"), value.replace('=', "%3D"), format!("\"{value}\"")] {
            let report = report(&text);
            assert!(!report.is_header, "{text}");
            assert_eq!(report.cookies.len(), 1);
        }
        for text in [
            format!("__Secure-better-auth.session_token={value}"),
            format!("a=b; __Secure-better-auth.session_token={value}"),
            format!("Cookie: __Secure-better-auth.session_token={value}"),
            format!("set-cookie: __Secure-better-auth.session_token={value}; Path=/; HttpOnly"),
        ] {
            let report = report(&text);
            assert!(report.is_header, "{text}");
            let cookie = report.cookies.iter().find(|cookie| cookie.role == Role::SessionToken);
            assert_eq!(
                cookie.and_then(|cookie| cookie.verdict.clone()),
                Some(ValueVerdict::Signed),
                "{text}"
            );
        }
    }

    #[test]
    fn names_tell_what_a_cookie_is() {
        for (name, role) in [
            ("__Secure-better-auth.session_token", Role::SessionToken),
            ("better-auth.session_token", Role::OtherSpelling),
            ("__Secure-better-auth.session_data", Role::SessionData),
            ("__Secure-better-auth.session_data.12", Role::SessionData),
            ("__Secure-shop.session_token", Role::OtherPrefix),
            ("shop.session_data.0", Role::OtherData),
            ("__Secure-better-auth.session_token_multi-abc", Role::MultiSession),
            ("theme", Role::Other),
        ] {
            assert_eq!(report(&format!("{name}=x; a=b")).cookies[0].role, role, "{name}");
        }
    }

    #[test]
    fn each_of_several_cookies_is_judged_and_quotes_are_noticed() {
        let name = "__Secure-better-auth.session_token";
        let report = report(&format!("{name}=old; {name}=\"{}\"", value()));
        let verdicts: Vec<_> = report.cookies.iter().map(|cookie| cookie.verdict.clone()).collect();
        assert_eq!(verdicts, [Some(ValueVerdict::Malformed), Some(ValueVerdict::Signed)]);
        assert!(report.cookies[1].is_quoted);
    }
}
