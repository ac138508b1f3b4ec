//! Why this value is not a token that Better Auth signed with our secret.

use super::Causes;
use crate::diagnosis::ValueVerdict;
use crate::refusal::{Cause, Reason, Refusal};

/// Longer values are not examined.
pub(super) const MAX_BYTES: usize = 8 * 1024;
/// Values that JavaScript writes for a variable without a value.
const PLACEHOLDERS: [&str; 5] = ["undefined", "null", "[object Object]", "NaN", "false"];

impl Causes {
    /// Why this value, as it came, is refused.
    #[must_use]
    pub fn bad_signature(&self, raw: &str) -> Refusal {
        let (cause, detail) = match self.verdict(raw) {
            Some(ValueVerdict::SignedBy(whose)) => (Cause::KnownSecret, Some(whose)),
            Some(verdict) => (of_verdict(&verdict), None),
            None => (Cause::Malformed, None),
        };
        Refusal::caused_by(Reason::BadSignature, cause, detail)
    }

    /// What a value is; None if it is too long to be examined, or a placeholder.
    pub(super) fn verdict(&self, raw: &str) -> Option<ValueVerdict> {
        let is_worth_it = raw.len() <= MAX_BYTES && !PLACEHOLDERS.contains(&raw);
        is_worth_it.then(|| self.signers.judge(raw))
    }
}

/// What a value that is not accepted shows.
pub(super) fn of_verdict(verdict: &ValueVerdict) -> Cause {
    match verdict {
        ValueVerdict::BareToken => Cause::BareToken,
        ValueVerdict::EncodedTwice => Cause::EncodedTwice,
        ValueVerdict::Base64Url | ValueVerdict::Unpadded | ValueVerdict::PlusIsSpace => {
            Cause::SignatureEncoding
        }
        ValueVerdict::SessionData(_) => Cause::SessionDataAsToken,
        ValueVerdict::Jwt => Cause::JwtAsCookie,
        ValueVerdict::SignedByOldVersion => Cause::FormerSecret,
        ValueVerdict::OtherSecret => Cause::OtherSecret,
        ValueVerdict::SignedBy(_) => Cause::KnownSecret,
        ValueVerdict::Signed
        | ValueVerdict::SignedByPrevious
        | ValueVerdict::SignedOther
        | ValueVerdict::Empty
        | ValueVerdict::Quoted
        | ValueVerdict::Truncated
        | ValueVerdict::Malformed => Cause::Malformed,
    }
}
