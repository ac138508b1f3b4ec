//! Why this `Authorization` header, or this WebSocket protocol, is not an accepted credential.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::signature::of_verdict;
use super::{Causes, Finding, Headers, is_handshake};
use crate::credentials::{BEARER_PROTOCOL, Kind, Request};
use crate::diagnosis::ValueVerdict;
use crate::refusal::{Cause, Reason, Refusal};

impl Causes {
    /// The refusal of a request none of whose bearer tokens is accepted.
    pub fn unusable_token<'a>(
        &self,
        request: Request<impl IntoIterator<Item = (&'a [u8], &'a [u8])>>,
    ) -> Refusal {
        let kind = request.kind;
        let headers: Vec<_> = request.into_headers().into_iter().collect();
        let tokens = tokens(kind, &headers);
        let authorizations = headers.iter().filter(|(name, _)| *name == b"authorization").count();
        let cause = match &tokens[..] {
            [token] if authorizations <= 1 => self.cause_of_token(token),
            _ => Cause::SeveralTokens,
        };
        Refusal::caused_by(Reason::BadToken, cause, None)
    }

    /// A bearer token where none is accepted, or a token without its scheme.
    pub(super) fn in_authorization(&self, kind: Kind, headers: &Headers<'_>) -> Option<Finding> {
        let mut authorizations = headers.iter().filter(|(name, _)| *name == b"authorization");
        if self.accepted.any_bearer() {
            let lacks_scheme = authorizations.any(|(_, value)| self.lacks_scheme(value));
            return lacks_scheme.then_some((Cause::NoBearerScheme, None));
        }
        if let Some(token) = tokens(kind, headers).first() {
            return self.not_listed(token).map(|cause| (cause, None));
        }
        // Where no bearer token is accepted, the header may be for another reader.
        let is_ours = |value: &[u8]| {
            let text = text(value);
            let is_bearer = is_misspelt_bearer(text).then(|| text.get(7..)).flatten();
            let after_scheme = || text.split_once(char::is_whitespace).map(|(_, rest)| rest);
            self.is_ours(is_bearer.or_else(after_scheme).unwrap_or(text).trim())
        };
        authorizations.any(|(_, value)| is_ours(value)).then_some((Cause::NoBearerScheme, None))
    }

    /// Whether an `Authorization` header contains a token of ours, and not in the form `Bearer <token>`.
    fn lacks_scheme(&self, value: &[u8]) -> bool {
        let text = text(value);
        if is_misspelt_bearer(text) {
            return true;
        }
        match text.split_once(char::is_whitespace) {
            Some((_, token)) => self.is_ours(token.trim()),
            None => text.contains('.') || self.verdict(text) == Some(ValueVerdict::BareToken),
        }
    }

    /// Whether this is a JWT or a token that is signed with our secret, perhaps changed in transit. A bare token is not
    /// told from another system's.
    fn is_ours(&self, token: &str) -> bool {
        let verdict = self.verdict(token);
        verdict.is_some_and(|verdict| match verdict {
            ValueVerdict::Empty
            | ValueVerdict::Malformed
            | ValueVerdict::Truncated
            | ValueVerdict::BareToken
            | ValueVerdict::SessionData(_) => false,
            // Its form alone is ours: two parts, of which the second is a signature.
            ValueVerdict::OtherSecret => token.matches('.').count() == 1,
            _ => true,
        })
    }

    fn cause_of_token(&self, token: &str) -> Cause {
        if has_scheme(token) {
            return Cause::NoBearerScheme;
        }
        match self.verdict(token) {
            None => Cause::Malformed,
            Some(ValueVerdict::Jwt) if self.accepted.jwt => Cause::Malformed,
            Some(ValueVerdict::Jwt) => Cause::JwtNotListed,
            Some(verdict @ ValueVerdict::SessionData(_)) => of_verdict(&verdict),
            Some(_) if self.accepted.bearer.is_none() => Cause::BearerNotListed,
            Some(verdict) => of_verdict(&verdict),
        }
    }

    /// The setting that does not list this token's kind; None if the token is another reader's, such as an API key.
    fn not_listed(&self, token: &str) -> Option<Cause> {
        if has_scheme(token) {
            return Some(Cause::NoBearerScheme);
        }
        let Some(verdict) = self.verdict(token) else { return Some(Cause::Malformed) };
        match verdict {
            ValueVerdict::Jwt => Some(Cause::JwtNotListed),
            ValueVerdict::SessionData(_) => Some(Cause::SessionDataAsToken),
            ValueVerdict::BareToken => Some(Cause::BearerNotListed),
            _ => self.is_ours(token).then_some(Cause::BearerNotListed),
        }
    }
}

fn text(value: &[u8]) -> &str {
    std::str::from_utf8(value.trim_ascii()).unwrap_or_default()
}

/// `Bearer:x`, `Bearer: x` or `Bearer=x`.
fn is_misspelt_bearer(text: &str) -> bool {
    let is_bearer = |start: &str| start.eq_ignore_ascii_case("bearer");
    let (start, rest) = (text.get(..6), text.get(6..).unwrap_or_default());
    start.is_some_and(is_bearer) && rest.starts_with([':', '=', ',', '"', '\''])
}

/// Whether a token begins with a scheme, as in `Bearer Bearer x`.
fn has_scheme(token: &str) -> bool {
    let Some((first, rest)) = token.split_once(char::is_whitespace) else { return is_misspelt_bearer(token) };
    let name = first.trim_end_matches(':');
    !rest.trim().is_empty()
        && !name.is_empty()
        && name.len() <= 12
        && name.bytes().all(|b| b.is_ascii_alphabetic())
}

/// Every bearer token of the request, in its header or among its protocols.
fn tokens(kind: Kind, headers: &Headers<'_>) -> Vec<String> {
    let mut tokens = Vec::new();
    for (name, value) in headers {
        match *name {
            b"authorization" => {
                let value = value.trim_ascii();
                let end = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
                let (scheme, token) = value.split_at(end);
                if scheme.eq_ignore_ascii_case(b"bearer") {
                    tokens.push(String::from_utf8_lossy(token.trim_ascii()).into_owned());
                }
            }
            b"sec-websocket-protocol" if is_handshake(kind) => {
                for protocol in value.split(|&byte| byte == b',') {
                    if let Some(encoded) = protocol.trim_ascii().strip_prefix(BEARER_PROTOCOL.as_bytes()) {
                        let decoded = URL_SAFE_NO_PAD.decode(encoded).unwrap_or_default();
                        tokens.push(String::from_utf8_lossy(&decoded).into_owned());
                    }
                }
            }
            _ => {}
        }
    }
    tokens
}
