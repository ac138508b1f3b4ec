//! What the store's result means for a request, and for the settings.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::authenticator::Authenticator;
use crate::causes::is_recent;
use crate::checks::Checks;
use crate::identity::{Identity, Session};
use crate::refusal::{Cause, Check, Reason, Refusal};
use crate::store::LookupResult;

/// Decides what was found for a session's token, or for a JWT's user.
pub(super) fn decide(
    checks: &Checks,
    is_session: bool,
    found: LookupResult,
    now: DateTime<Utc>,
) -> Result<Arc<Identity>, Refusal> {
    let row = if is_session { Check::SessionRow } else { Check::UserRow };
    let expired = match &found {
        LookupResult::Found(identity) => {
            checks.pass(row);
            if let Some(created_at) = identity.session.as_ref().and_then(|session| session.created_at) {
                checks.session_is_ahead(created_at.timestamp() - now.timestamp());
            }
            identity.session.as_ref().filter(|session| session.expires_at < now).map(hash_of_recent(now))
        }
        _ => None,
    };
    let decided = Authenticator::decide(found, now);
    let refusal = match decided {
        Ok(identity) => {
            checks.pass(Check::NotExpired);
            return Ok(identity);
        }
        Err(refusal) => refusal,
    };
    let cause = match refusal.reason {
        Reason::UnknownSession => Some(Cause::NoSessionRow),
        Reason::UnknownUser if !is_session => Some(Cause::NoUserRow),
        Reason::Expired => {
            let is_suspicious = |hash| checks.has_seen_only_expired(hash);
            expired.flatten().is_some_and(is_suspicious).then_some(Cause::AllExpired)
        }
        _ => None,
    };
    Err(Refusal { cause, ..refusal })
}

/// Identifies an expired session, if it has expired a short time ago.
fn hash_of_recent(now: DateTime<Utc>) -> impl Fn(&Session) -> Option<u64> {
    move |session| {
        let sha256 = session.token.sha256();
        let hash = sha256.first_chunk().copied().map(u64::from_le_bytes);
        hash.filter(|_| is_recent(session.expires_at.timestamp(), now))
    }
}
