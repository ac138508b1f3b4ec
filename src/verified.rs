//! Cookies whose signature was good. A browser shows the same one, byte for byte, for as long as its session goes on:
//! nothing in its signature needs to be worked out again. Whether the session still goes on is for others to say.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use subtle::ConstantTimeEq as _;

use crate::credentials::RawCookie;
use crate::signature::SessionToken;

/// Of those that were verified last.
const MAX_COOKIES: usize = 10_000;
/// Better Auth's have some 80. A longer one is verified each time: together they take 5 MB at most.
const MAX_BYTES: usize = 256;

/// By a hash whose key nobody knows. Only good cookies come in, so nobody can fill it with bad ones.
#[derive(Clone)]
pub(crate) struct Verified {
    hasher: RandomState,
    entries: Arc<Mutex<LruCache<u64, Entry>>>,
}

struct Entry {
    cookie: Box<[u8]>,
    token: SessionToken,
}

impl Default for Verified {
    fn default() -> Self {
        Self { hasher: RandomState::new(), entries: Arc::new(Mutex::new(LruCache::unbounded())) }
    }
}

impl Verified {
    /// The token of this very cookie, where its signature was good before.
    pub(crate) fn get(&self, cookie: RawCookie<'_>) -> Option<SessionToken> {
        let bytes = cookie.as_bytes();
        let hash = self.hasher.hash_one(bytes);
        let entries = self.lock();
        let entry = entries.peek(&hash)?;
        // In constant time, as a signature is compared.
        bool::from(entry.cookie.ct_eq(bytes)).then(|| entry.token.clone())
    }

    /// Remembers a cookie whose signature was good.
    pub(crate) fn put(&self, cookie: RawCookie<'_>, token: &SessionToken) {
        let bytes = cookie.as_bytes();
        if bytes.len() > MAX_BYTES {
            return;
        }
        let entry = Entry { cookie: bytes.into(), token: token.clone() };
        let mut entries = self.lock();
        entries.put(self.hasher.hash_one(bytes), entry);
        if entries.len() > MAX_COOKIES {
            entries.pop_lru();
        }
    }

    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, LruCache<u64, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verified({})", self.lock().len())
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

    fn put(verified: &Verified, value: &str) {
        shown(value, |cookie| verified.put(cookie, &token(value)));
    }

    fn get(verified: &Verified, value: &str) -> Option<SessionToken> {
        shown(value, |cookie| verified.get(cookie))
    }

    #[test]
    fn only_the_very_same_cookie_is_known() {
        let verified = Verified::default();
        put(&verified, "abc.def");
        assert_eq!(get(&verified, "abc.def"), Some(token("abc.def")));
        for other in ["abc.deg", "abc.de", "abc.deff", "Abc.def", "abc%2Edef"] {
            assert_eq!(get(&verified, other), None, "{other}");
        }
    }

    #[test]
    fn two_cookies_with_one_hash_are_told_apart() {
        let verified = Verified::default();
        let entry = Entry { cookie: b"of another".as_slice().into(), token: token("another") };
        verified.lock().put(verified.hasher.hash_one(b"mine".as_slice()), entry);
        assert_eq!(get(&verified, "mine"), None);
    }

    #[test]
    fn the_first_is_forgotten_where_there_are_too_many() {
        let verified = Verified::default();
        (0..=MAX_COOKIES).for_each(|number| put(&verified, &format!("number {number}")));
        assert_eq!(get(&verified, "number 0"), None);
        assert!(get(&verified, "number 1").is_some());
        assert_eq!(verified.lock().len(), MAX_COOKIES);
    }

    #[test]
    fn a_long_one_is_not_kept() {
        let verified = Verified::default();
        shown(&"x".repeat(MAX_BYTES + 1), |cookie| verified.put(cookie, &token("x")));
        assert_eq!(verified.lock().len(), 0);
    }

    #[test]
    fn nothing_is_shown_in_debug() {
        let verified = Verified::default();
        put(&verified, "secret");
        assert_eq!(format!("{verified:?}"), "Verified(1)");
    }
}
