//! Cookies with a verified signature. A browser sends the same cookie, byte for byte, for as long as the session is
//! valid, so the signature need not be computed again. This cache does not say whether the session is still valid.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use subtle::ConstantTimeEq as _;

use crate::bounded_cache::{BoundedCache, Eviction};
use crate::credentials::RawCookie;
use crate::signature::SessionToken;

/// When the cache is full, the oldest entry is evicted.
const MAX_COOKIES: usize = 10_000;
/// Better Auth's cookies have about 80 bytes. A longer one is verified each time, so the cache uses at most 6 MB.
const MAX_BYTES: usize = 256;
/// When the cache is full, it admits one of this many new cookies: with more active cookies than entries, replacing an
/// entry for each cookie would cost more than verifying it.
const ADMITTED_ONE_IN: usize = 16;

/// Entries by a hash with a random key. Only verified cookies are added, so a client cannot fill the cache with forged
/// ones.
#[derive(Clone)]
pub(crate) struct SignatureCache {
    hasher: RandomState,
    entries: Arc<Mutex<Entries>>,
}

struct Entries {
    by_hash: BoundedCache<u64, Entry>,
    rejected: usize,
}

struct Entry {
    cookie: Box<[u8]>,
    token: SessionToken,
}

impl Default for SignatureCache {
    fn default() -> Self {
        let entries =
            Entries { by_hash: BoundedCache::new(MAX_COOKIES, Eviction::OldestInserted), rejected: 0 };
        Self { hasher: RandomState::new(), entries: Arc::new(Mutex::new(entries)) }
    }
}

impl SignatureCache {
    /// The token of exactly this cookie, if its signature was verified before.
    pub(crate) fn get(&self, cookie: RawCookie<'_>) -> Option<SessionToken> {
        let bytes = cookie.as_bytes();
        let hash = self.hasher.hash_one(bytes);
        let mut entries = self.lock();
        let entry = entries.by_hash.get(&hash)?;
        // In constant time, because the bytes contain the signature.
        bool::from(entry.cookie.ct_eq(bytes)).then(|| entry.token.clone())
    }

    /// Adds a cookie with a verified signature.
    pub(crate) fn put(&self, cookie: RawCookie<'_>, token: &SessionToken) {
        let bytes = cookie.as_bytes();
        if bytes.len() > MAX_BYTES {
            return;
        }
        let hash = self.hasher.hash_one(bytes);
        let mut entries = self.lock();
        let Entries { by_hash, rejected } = &mut *entries;
        if by_hash.is_full() {
            *rejected = (*rejected + 1) % ADMITTED_ONE_IN;
            if *rejected != 0 {
                return;
            }
        }
        let _evicted = by_hash.insert(hash, Entry { cookie: bytes.into(), token: token.clone() });
    }

    /// No code panics while it holds the lock, so the entries of a poisoned one are consistent.
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
        keys.sign(text).and_then(|value| keys.verify(&value)).expect("the signature is valid")
    }

    /// Calls `with` with the cookie of a request that contains this value.
    fn with_cookie<T>(value: &str, with: impl FnOnce(RawCookie<'_>) -> T) -> T {
        let header = format!("s={value}");
        let headers = [(b"cookie".as_slice(), header.as_bytes())];
        with(
            Credentials::read(headers, &CookieNames::of("s"))
                .session_cookie
                .expect("the request has a cookie"),
        )
    }

    fn put(cache: &SignatureCache, value: &str) {
        with_cookie(value, |cookie| cache.put(cookie, &token(value)));
    }

    fn get(cache: &SignatureCache, value: &str) -> Option<SessionToken> {
        with_cookie(value, |cookie| cache.get(cookie))
    }

    #[test]
    fn only_the_identical_cookie_is_found() {
        let cache = SignatureCache::default();
        put(&cache, "abc.def");
        assert_eq!(get(&cache, "abc.def"), Some(token("abc.def")));
        for other in ["abc.deg", "abc.de", "abc.deff", "Abc.def", "abc%2Edef"] {
            assert_eq!(get(&cache, other), None, "{other}");
        }
    }

    #[test]
    fn a_cookie_with_the_hash_of_another_is_not_found() {
        let cache = SignatureCache::default();
        let entry = Entry { cookie: b"of another".as_slice().into(), token: token("another") };
        let _none = cache.lock().by_hash.insert(cache.hasher.hash_one(b"mine".as_slice()), entry);
        assert_eq!(get(&cache, "mine"), None);
    }

    #[test]
    fn a_full_cache_admits_few_cookies_and_evicts_the_oldest() {
        let cache = SignatureCache::default();
        let is_cached = |number: usize| get(&cache, &format!("number {number}")).is_some();
        let last = MAX_COOKIES + 2 * ADMITTED_ONE_IN;
        (0..last).for_each(|number| put(&cache, &format!("number {number}")));
        assert_eq!(cache.lock().by_hash.len(), MAX_COOKIES);
        assert_eq!((0..3).map(is_cached).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!((MAX_COOKIES..last).filter(|&number| is_cached(number)).count(), 2);
    }

    #[test]
    fn a_long_cookie_is_not_cached() {
        let cache = SignatureCache::default();
        with_cookie(&"x".repeat(MAX_BYTES + 1), |cookie| cache.put(cookie, &token("x")));
        assert_eq!(cache.lock().by_hash.len(), 0);
        with_cookie(&"x".repeat(MAX_BYTES), |cookie| cache.put(cookie, &token("x")));
        assert_eq!(cache.lock().by_hash.len(), 1);
    }

    #[test]
    fn debug_reveals_no_cookie() {
        let cache = SignatureCache::default();
        put(&cache, "secret");
        assert_eq!(format!("{cache:?}"), "SignatureCache(1)");
    }
}
