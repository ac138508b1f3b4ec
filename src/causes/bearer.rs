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
        if !self.accepted.any_bearer() {
            let tokens = tokens(kind, headers);
            return tokens.first().map(|token| (self.not_listed(token), None));
        }
        let mut authorizations = headers.iter().filter(|(name, _)| *name == b"authorization");
        let is_alone = |value: &[u8]| {
            let text = std::str::from_utf8(value.trim_ascii()).unwrap_or_default();
            !text.contains(char::is_whitespace)
                && (text.contains('.') || self.verdict(text) == Some(ValueVerdict::BareToken))
        };
        authorizations.any(|(_, value)| is_alone(value)).then_some((Cause::NoBearerScheme, None))
    }

    fn cause_of_token(&self, token: &str) -> Cause {
        match self.verdict(token) {
            None => Cause::Malformed,
            Some(ValueVerdict::Jwt) if self.accepted.jwt => Cause::Malformed,
            Some(ValueVerdict::Jwt) => Cause::JwtNotListed,
            Some(verdict @ ValueVerdict::SessionData(_)) => of_verdict(&verdict),
            Some(_) if self.accepted.bearer.is_none() => Cause::BearerNotListed,
            Some(verdict) => of_verdict(&verdict),
        }
    }

    /// The setting that does not list this token's kind.
    fn not_listed(&self, token: &str) -> Cause {
        match self.verdict(token) {
            Some(ValueVerdict::Jwt) => Cause::JwtNotListed,
            Some(ValueVerdict::SessionData(_)) => Cause::SessionDataAsToken,
            Some(_) => Cause::BearerNotListed,
            None => Cause::Malformed,
        }
    }
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
