//! Tokens that were verified before. A client shows the same one, byte for byte, until it fetches a
//! new one: its signature need not be worked out again, only whether it still holds.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::UserToken;
use super::public_key::PublicKey;

/// What the cached tokens and their claims take at most.
const MAX_BYTES: usize = 48 << 20;
/// What an entry takes beside its text and claims: among others, the user that is made of the claims.
const OVERHEAD: usize = 1024;
/// Enough of a signature's base64 to be unique.
const HASHED_BYTES: usize = 48;

/// Keyed by a hash of the signature's last bytes, with a random key. Only valid tokens are inserted. The oldest entry is
/// evicted first: reading then changes nothing, which is cheaper.
pub(super) struct TokenCache {
    hasher: RandomState,
    entries: Mutex<Entries>,
}

struct Entries {
    by_hash: LruCache<u64, Entry>,
    bytes: usize,
}

struct Entry {
    text: Box<str>,
    token: UserToken,
    /// The key that verified it: when the set has another one, or none, the token is verified anew.
    key: Arc<PublicKey>,
    bytes: usize,
}

/// A token that was found, and by which key it was verified.
pub(super) struct Remembered {
    pub(super) token: UserToken,
    pub(super) key: Arc<PublicKey>,
}

impl Default for TokenCache {
    fn default() -> Self {
        let entries = Entries { by_hash: LruCache::unbounded(), bytes: 0 };
        Self { hasher: RandomState::new(), entries: Mutex::new(entries) }
    }
}

impl TokenCache {
    /// This very token, where it was good before.
    pub(super) fn get(&self, text: &str) -> Option<Remembered> {
        let hash = self.hash(text);
        let entries = self.lock();
        let Entry { text: known, token, key, .. } = entries.by_hash.peek(&hash)?;
        // Not in constant time: a token that gets here already ends in 36 bytes of the signature, and the time tells at
        // most how many of the blocks before them are equal.
        (**known == *text).then(|| Remembered { token: token.clone(), key: Arc::clone(key) })
    }

    /// Remembers a token that is good.
    pub(super) fn put(&self, text: &str, token: &UserToken, key: &Arc<PublicKey>) {
        let bytes = OVERHEAD + text.len() + token.bytes();
        let entry = Entry { text: text.into(), token: token.clone(), key: Arc::clone(key), bytes };
        let hash = self.hash(text);
        let mut entries = self.lock();
        entries.bytes += bytes;
        if let Some(replaced) = entries.by_hash.put(hash, entry) {
            entries.bytes -= replaced.bytes;
        }
        while entries.bytes > MAX_BYTES
            && let Some((_, oldest)) = entries.by_hash.pop_lru()
        {
            entries.bytes -= oldest.bytes;
        }
    }

    /// Evicts a token that no longer holds.
    pub(super) fn remove(&self, text: &str) {
        let hash = self.hash(text);
        let mut entries = self.lock();
        if let Some(removed) = entries.by_hash.pop(&hash) {
            entries.bytes -= removed.bytes;
        }
    }

    /// Of its last bytes, which are the signature's.
    fn hash(&self, text: &str) -> u64 {
        let bytes = text.as_bytes();
        self.hasher.hash_one(&bytes[bytes.len().saturating_sub(HASHED_BYTES)..])
    }

    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenCache({})", self.lock().by_hash.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;
    use crate::jwt::public_key::tests::ed25519;

    fn put(cache: &TokenCache, text: &str) {
        cache.put(text, &UserToken::new("ada".into(), Map::new(), 0.0), &Arc::new(ed25519()));
    }

    #[test]
    fn only_the_very_same_token_is_known() {
        let cache = TokenCache::default();
        put(&cache, "a.b.c");
        put(&cache, "a.b.c");
        assert_eq!(cache.lock().bytes, OVERHEAD + 5);
        assert!(cache.get("a.b.c").is_some_and(|known| known.token.user_id() == "ada"));
        for other in ["a.b.d", "a.b.cc", "a.b.", "A.b.c"] {
            assert!(cache.get(other).is_none(), "{other}");
        }
        cache.remove("a.b.c");
        assert!(cache.get("a.b.c").is_none());
        assert_eq!(cache.lock().bytes, 0);
    }

    #[test]
    fn two_tokens_with_one_hash_are_told_apart() {
        let cache = TokenCache::default();
        put(&cache, "of another");
        let (_, entry) = cache.lock().by_hash.pop_lru().expect("it was put");
        cache.lock().by_hash.put(cache.hash("mine"), entry);
        assert!(cache.get("mine").is_none());
    }

    #[test]
    fn its_size_is_bounded_and_the_oldest_goes_first() {
        let cache = TokenCache::default();
        let token = |number: usize| format!("{}{number:05}", "x".repeat(15 * 1024 - 5));
        let room = MAX_BYTES / (16 * 1024);
        (0..room).for_each(|number| put(&cache, &token(number)));
        assert!(cache.get(&token(0)).is_some());
        put(&cache, &token(room));
        put(&cache, &token(room));
        assert_eq!(cache.lock().bytes, MAX_BYTES);
        assert!(cache.get(&token(1)).is_some() && cache.get(&token(room)).is_some());
        assert!(cache.get(&token(0)).is_none());
    }

    #[test]
    fn the_claims_count() {
        let cache = TokenCache::default();
        let numbers: Vec<u32> = (0..1000).collect();
        let claims = Map::from_iter([("numbers".to_owned(), numbers.into())]);
        cache.put("a.b.c", &UserToken::new("ada".into(), claims, 0.0), &Arc::new(ed25519()));
        assert!(cache.lock().bytes > OVERHEAD + 1000 * size_of::<Value>());
    }

    #[test]
    fn no_token_is_shown_in_debug() {
        let cache = TokenCache::default();
        put(&cache, "secret");
        assert_eq!(format!("{cache:?}"), "TokenCache(1)");
    }
}
