//! Which checks have succeeded, and so which settings are known to be right.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};

use crate::refusal::Check;

/// After this many different expired credentials and no valid one, the clock is suspected.
const MOST_EXPIRED: usize = 5;

/// A session that was created so many seconds ahead of our clock shows that the clocks differ. Less is usual; more is
/// rather a column without a time zone, which the store reports.
const AHEAD_SECONDS: std::ops::Range<i64> = 60..840;
/// What follows was reported.
const REPORTED: i64 = -1;

/// The checks that have succeeded at least once. Atomic and without a lock, since a process may fork at any time.
#[derive(Debug, Default)]
pub struct Checks {
    passed: AtomicU8,
    /// The hashes of the first expired credentials; 0 is an empty slot.
    expired: [AtomicU64; MOST_EXPIRED],
    /// By how many seconds a session was ahead of our clock; 0 if none was.
    seconds_ahead: AtomicI64,
}

impl Checks {
    /// This check has succeeded. Once that is known, this only reads, so that threads share the cache line.
    pub fn pass(&self, check: Check) {
        if !self.has_passed(check) {
            self.passed.fetch_or(bits(check), Ordering::Relaxed);
        }
    }

    /// Whether it has succeeded before.
    #[must_use]
    pub fn has_passed(&self, check: Check) -> bool {
        let bits = bits(check);
        self.passed.load(Ordering::Relaxed) & bits == bits
    }

    /// A session was created so many seconds after now.
    pub fn session_is_ahead(&self, seconds: i64) {
        if AHEAD_SECONDS.contains(&seconds) {
            let _first_wins =
                self.seconds_ahead.compare_exchange(0, seconds, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// The message for the operator, if there is one that was not returned before.
    #[must_use]
    pub fn take_message(&self) -> Option<String> {
        let seconds = self.seconds_ahead.load(Ordering::Relaxed);
        let is_new = seconds > 0 && self.seconds_ahead.swap(REPORTED, Ordering::Relaxed) > 0;
        is_new.then(|| {
            format!(
                "a session was created {seconds} s in the future: the clocks of this machine and of the Better Auth server \
                 differ, so sessions end at the wrong time here. Set both by NTP"
            )
        })
    }

    /// A credential, known by its hash, had expired. Returns whether so many different ones had, and no valid one came,
    /// that the clock is suspected.
    #[must_use]
    pub fn has_seen_only_expired(&self, hash: u64) -> bool {
        if self.has_passed(Check::NotExpired) {
            return false;
        }
        let hash = hash.max(1);
        let is_kept = |slot: &AtomicU64| {
            let kept = slot.compare_exchange(0, hash, Ordering::Relaxed, Ordering::Relaxed);
            kept.is_ok() || kept == Err(hash)
        };
        match self.expired.iter().position(is_kept) {
            Some(at) => at + 1 == MOST_EXPIRED,
            None => true,
        }
    }
}

/// A success of a check implies that of others.
fn bits(check: Check) -> u8 {
    let bit = |check: Check| 1 << (check as u8);
    let credential = bit(Check::Credential);
    match check {
        Check::Cookie => bit(Check::Cookie) | bit(Check::Signature) | credential,
        Check::Signature => bit(Check::Signature) | credential,
        Check::Bearer => bit(Check::Bearer) | credential,
        Check::Jwt => bit(Check::Jwt) | bit(Check::Bearer) | credential,
        other => bit(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_implies_those_before_it_and_no_other() {
        let checks = Checks::default();
        checks.pass(Check::Signature);
        assert!(checks.has_passed(Check::Signature) && checks.has_passed(Check::Credential));
        for other in [Check::Cookie, Check::Bearer, Check::Jwt, Check::SessionRow, Check::NotExpired] {
            assert!(!checks.has_passed(other), "{other:?}");
        }
        checks.pass(Check::Cookie);
        assert!(checks.has_passed(Check::Cookie) && !checks.has_passed(Check::Bearer));
        checks.pass(Check::Jwt);
        assert!(checks.has_passed(Check::Bearer));
    }

    #[test]
    fn a_session_from_the_future_is_reported_once() {
        let checks = Checks::default();
        for usual in [-3600, 0, 59, 3600] {
            checks.session_is_ahead(usual);
            assert_eq!(checks.take_message(), None);
        }
        checks.session_is_ahead(300);
        checks.session_is_ahead(400);
        assert!(checks.take_message().is_some_and(|message| message.contains("300 s")));
        checks.session_is_ahead(500);
        assert_eq!(checks.take_message(), None);
    }

    #[test]
    fn the_clock_is_suspected_for_different_expired_credentials_only() {
        let checks = Checks::default();
        assert!((0..100).all(|_| !checks.has_seen_only_expired(7)));
        assert!((8..11).all(|hash| !checks.has_seen_only_expired(hash)));
        assert!(checks.has_seen_only_expired(11));
        assert!(checks.has_seen_only_expired(12));
        checks.pass(Check::NotExpired);
        assert!(!checks.has_seen_only_expired(13));
    }
}
