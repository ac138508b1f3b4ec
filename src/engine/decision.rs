//! What the store's result means for a request, and for the settings.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::authenticator::Authenticator;
use crate::causes::is_recent;
use crate::checks::Checks;
use crate::identity::{Identity, Session};
use crate::refusal::{Cause, Check, Reason, Refusal};
use crate::store::LookupResult;

/// Clocks that are set by NTP differ by less.
const SECONDS_APART: i64 = 2;

/// Decides what was found for a session's token, or for a JWT's user. `database_ahead` is by how much the
/// database server's clock is ahead of ours, if that was measured.
pub(super) fn decide(
    checks: &Checks,
    is_session: bool,
    found: LookupResult,
    now: DateTime<Utc>,
    database_ahead: impl FnOnce() -> Option<TimeDelta>,
) -> Result<Arc<Identity>, Refusal> {
    let row = if is_session { Check::SessionRow } else { Check::UserRow };
    let mut expired_at = None;
    let expired = match &found {
        LookupResult::Found(identity) => {
            checks.pass(row);
            if let Some(created_at) = identity.session.as_ref().and_then(|session| session.created_at) {
                checks.session_is_ahead(created_at.timestamp() - now.timestamp());
            }
            let expired = identity.session.as_ref().filter(|session| session.expires_at < now);
            expired_at = expired.map(|session| session.expires_at);
            expired.map(hash_of_recent(now))
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
    let refusal = Refusal { expired_at, ..refusal };
    if let Some(seconds) = expired_at.and_then(|at| seconds_ahead(at, now, database_ahead()?)) {
        return Err(Refusal {
            cause: Some(Cause::ClockAhead),
            detail: Some(format!("{seconds} s")),
            ..refusal
        });
    }
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

/// By how many seconds our clock is ahead of the database server's, if a session has expired by ours only.
fn seconds_ahead(expired_at: DateTime<Utc>, now: DateTime<Utc>, database_ahead: TimeDelta) -> Option<i64> {
    let seconds = -database_ahead.num_seconds();
    let is_valid_there = now.checked_add_signed(database_ahead).is_some_and(|theirs| expired_at >= theirs);
    (is_valid_there && seconds >= SECONDS_APART).then_some(seconds)
}

/// Identifies an expired session, if it has expired a short time ago.
fn hash_of_recent(now: DateTime<Utc>) -> impl Fn(&Session) -> Option<u64> {
    move |session| {
        let sha256 = session.token.sha256();
        let hash = sha256.first_chunk().copied().map(u64::from_le_bytes);
        hash.filter(|_| is_recent(session.expires_at.timestamp(), now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_clock_is_suspected_only_if_the_session_is_valid_by_the_other() {
        let now = DateTime::UNIX_EPOCH;
        let ahead = |expired: i64, database_ahead: i64| {
            seconds_ahead(now - TimeDelta::seconds(expired), now, TimeDelta::seconds(database_ahead))
        };
        assert_eq!(ahead(60, -90), Some(90));
        assert_eq!(ahead(90, -90), Some(90));
        assert_eq!(ahead(91, -90), None);
        for database_ahead in [-1, 0, 1, 90] {
            assert_eq!(ahead(1, database_ahead), None, "{database_ahead}");
        }
    }
}
