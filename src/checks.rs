//! Which checks have succeeded, and so which settings are known to be right.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::refusal::Check;

/// After this many different expired credentials and no valid one, the clock is suspected.
const MOST_EXPIRED: usize = 5;

/// The checks that have succeeded at least once. Atomic and without a lock, since a process may fork at any time.
#[derive(Debug, Default)]
pub struct Checks {
    passed: AtomicU8,
    /// The hashes of the first expired credentials; 0 is an empty slot.
    expired: [AtomicU64; MOST_EXPIRED],
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
