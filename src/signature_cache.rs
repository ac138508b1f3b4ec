//! Cookies whose signature was good. A browser shows the same one, byte for byte, for as long as its session goes on:
//! nothing in its signature needs to be worked out again. Whether the session still goes on is for others to say.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use subtle::ConstantTimeEq as _;

use crate::bounded_cache::{BoundedCache, Eviction};
use crate::credentials::RawCookie;
use crate::signature::SessionToken;

/// So many; the first that came is the first to go.
const MAX_COOKIES: usize = 10_000;
/// Better Auth's have some 80. A longer one is verified each time: together they take 6 MB at most.
const MAX_BYTES: usize = 256;
/// Where it is full, one new cookie in so many comes in: among more than it has room for, to exchange them would cost
/// more than to verify them.
const ADMITTED_ONE_IN: usize = 16;

/// By a hash whose key nobody knows. Only good cookies come in, so nobody can fill it with bad ones.
#[derive(Clone)]
pub(crate) struct SignatureCache {
    hasher: RandomState,
    entries: Arc<Mutex<Entries>>,
}

struct Entries {
    by_hash: BoundedCache<u64, Entry>,
    turned_away: usize,
}

struct Entry {
    cookie: Box<[u8]>,
    token: SessionToken,
}

impl Default for SignatureCache {
    fn default() -> Self {
        let entries =
            Entries { by_hash: BoundedCache::new(MAX_COOKIES, Eviction::OldestInserted), turned_away: 0 };
        Self { hasher: RandomState::new(), entries: Arc::new(Mutex::new(entries)) }
    }
}

impl SignatureCache {
    /// The token of this very cookie, where its signature was good before.
    pub(crate) fn get(&self, cookie: RawCookie<'_>) -> Option<SessionToken> {
        let bytes = cookie.as_bytes();
        let hash = self.hasher.hash_one(bytes);
        let mut entries = self.lock();
        let entry = entries.by_hash.get(&hash)?;
        // In constant time, as a signature is compared.
        bool::from(entry.cookie.ct_eq(bytes)).then(|| entry.token.clone())
    }

    /// Remembers a cookie whose signature was good.
    pub(crate) fn put(&self, cookie: RawCookie<'_>, token: &SessionToken) {
        let bytes = cookie.as_bytes();
        if bytes.len() > MAX_BYTES {
            return;
        }
        let hash = self.hasher.hash_one(bytes);
        let mut entries = self.lock();
        let Entries { by_hash, turned_away } = &mut *entries;
        if by_hash.is_full() {
            *turned_away = (*turned_away + 1) % ADMITTED_ONE_IN;
            if *turned_away != 0 {
                return;
            }
        }
        let _evicted = by_hash.insert(hash, Entry { cookie: bytes.into(), token: token.clone() });
    }

    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SignatureCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignatureCache({})", self.lock().by_hash.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Credentials;
    use crate::settings::{CookieNames, Secret};
    use crate::signature::Keys;

    fn token(text: &str) -> SessionToken {
        let keys = Keys::new(&[Secret::new("0123456789abcdefghijklmnopqrstuv")]);
        keys.sign(text).and_then(|value| keys.verify(&value)).expect("it is signed")
    }

    /// Does with the cookie what a request that shows it does.
    fn shown<T>(value: &str, with: impl FnOnce(RawCookie<'_>) -> T) -> T {
        let header = format!("s={value}");
        let headers = [(b"cookie".as_slice(), header.as_bytes())];
        with(Credentials::read(headers, &CookieNames::of("s")).session_cookie.expect("it is shown"))
    }

    fn put(verified: &SignatureCache, value: &str) {
        shown(value, |cookie| verified.put(cookie, &token(value)));
    }

    fn get(verified: &SignatureCache, value: &str) -> Option<SessionToken> {
        shown(value, |cookie| verified.get(cookie))
    }

    #[test]
    fn only_the_very_same_cookie_is_known() {
        let verified = SignatureCache::default();
        put(&verified, "abc.def");
        assert_eq!(get(&verified, "abc.def"), Some(token("abc.def")));
        for other in ["abc.deg", "abc.de", "abc.deff", "Abc.def", "abc%2Edef"] {
            assert_eq!(get(&verified, other), None, "{other}");
        }
    }

    #[test]
    fn two_cookies_with_one_hash_are_told_apart() {
        let verified = SignatureCache::default();
        let entry = Entry { cookie: b"of another".as_slice().into(), token: token("another") };
        let _none = verified.lock().by_hash.insert(verified.hasher.hash_one(b"mine".as_slice()), entry);
        assert_eq!(get(&verified, "mine"), None);
    }

    #[test]
    fn where_it_is_full_few_come_in_and_the_first_go() {
        let verified = SignatureCache::default();
        let known = |number: usize| get(&verified, &format!("number {number}")).is_some();
        let last = MAX_COOKIES + 2 * ADMITTED_ONE_IN;
        (0..last).for_each(|number| put(&verified, &format!("number {number}")));
        assert_eq!(verified.lock().by_hash.len(), MAX_COOKIES);
        assert_eq!((0..3).map(known).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!((MAX_COOKIES..last).filter(|&number| known(number)).count(), 2);
    }

    #[test]
    fn a_long_one_is_not_kept() {
        let verified = SignatureCache::default();
        shown(&"x".repeat(MAX_BYTES + 1), |cookie| verified.put(cookie, &token("x")));
        assert_eq!(verified.lock().by_hash.len(), 0);
    }

    #[test]
    fn nothing_is_shown_in_debug() {
        let verified = SignatureCache::default();
        put(&verified, "secret");
        assert_eq!(format!("{verified:?}"), "SignatureCache(1)");
    }
}
