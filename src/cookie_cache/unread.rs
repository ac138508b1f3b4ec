//! Reports once that no `session_data` can be used, and the likeliest reason.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::claims;
use crate::settings::Strategy;

/// After this many without a usable one, a setting is probably wrong.
const FIRST: usize = 20;
/// How much of a version is shown.
const MAX_VERSION_CHARACTERS: usize = 40;
/// `{"session"` in base64: the beginning of Better Auth's own form.
const COMPACT: &str = "eyJzZXNzaW9u";

/// Why a snapshot cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It is protected in another way than the settings say.
    Strategy(Strategy),
    /// It has another version.
    Version(String),
    /// It has expired.
    Expired,
    /// None of our keys signed or encrypted it.
    Key,
    /// The table with the keys cannot be read. The text says why, and how to fix it.
    KeyTable(String),
    /// The table with the keys was not read yet.
    KeysUnread,
    /// It belongs to another session than the token beside it.
    OtherSession,
    /// It does not have Better Auth's form.
    Shape,
    /// The application declares a field that it does not contain, which is reported elsewhere.
    AbsentField,
}

/// What the settings say, for the message.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) strategy: Strategy,
    pub(super) version: String,
    pub(super) cookie_name: String,
}

/// Counts snapshots that cannot be read, until one was read or a message was returned.
#[derive(Debug)]
pub(super) struct Unread {
    expected: Expected,
    is_over: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    unread: Vec<Why>,
    absent: usize,
    message: Option<String>,
}

impl Unread {
    pub(super) fn new(expected: Expected) -> Self {
        Self { expected, is_over: AtomicBool::new(false), seen: Mutex::default() }
    }

    /// A snapshot was read: the settings are right.
    pub(super) fn was_read(&self) {
        if !self.is_over.load(Ordering::Relaxed) {
            self.is_over.store(true, Ordering::Relaxed);
        }
    }

    /// A snapshot could not be read. `why` is called only while it matters.
    pub(super) fn could_not_be_read(&self, why: impl FnOnce() -> Why) {
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        let why = why();
        if matches!(why, Why::AbsentField | Why::KeysUnread) {
            return;
        }
        self.count(|seen, expected| {
            seen.unread.push(why);
            seen.message(expected)
        });
    }

    /// A request with a good session token had no snapshot.
    pub(super) fn was_absent(&self) {
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        self.count(|seen, expected| {
            seen.absent += 1;
            seen.message(expected)
        });
    }

    /// The message for the operator, if there is one that was not returned before.
    pub(super) fn take_message(&self) -> Option<String> {
        if !self.is_over.load(Ordering::Acquire) {
            return None;
        }
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).message.take()
    }

    fn count(&self, count: impl FnOnce(&mut Seen, &Expected) -> Option<String>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        if let Some(message) = count(&mut seen, &self.expected) {
            seen.message = Some(message);
            self.is_over.store(true, Ordering::Release);
        }
    }
}

/// Why a snapshot could not be opened. `opens_in_the_past`: whether it could have been, earlier.
pub(super) fn why_closed(data: &str, expected: Strategy, opens_in_the_past: impl FnOnce() -> bool) -> Why {
    match strategy_of(data) {
        Some(found) if found != expected => Why::Strategy(found),
        Some(_) if opens_in_the_past() => Why::Expired,
        Some(_) => Why::Key,
        None => Why::Shape,
    }
}

/// A version that is not the settings'.
pub(super) fn other_version(version: &str) -> Why {
    Why::Version(version.chars().take(MAX_VERSION_CHARACTERS).collect())
}

/// How a snapshot is protected, by its form alone.
fn strategy_of(data: &str) -> Option<Strategy> {
    if data.starts_with(COMPACT) {
        return Some(Strategy::Compact);
    }
    let header = claims::header(data)?;
    match data.split('.').count() {
        5 => Some(Strategy::Jwe),
        3 if header.get("alg").and_then(Value::as_str)?.starts_with("HS") => Some(Strategy::Jwt),
        3 => Some(Strategy::Jwks),
        _ => None,
    }
}

impl Seen {
    /// The message after the first requests, absent and unread ones together: about what most of them had.
    fn message(&self, expected: &Expected) -> Option<String> {
        let unread = self.unread.len();
        match () {
            () if unread + self.absent < FIRST => None,
            () if unread >= self.absent => Some(of_unread(&self.unread, self.absent, expected)),
            () => Some(of_absent(&self.unread, expected)),
        }
    }
}

fn of_unread(unread: &[Why], absent: usize, expected: &Expected) -> String {
    let reason = likeliest(unread, expected);
    let name = &expected.cookie_name;
    let what = match absent {
        0 => format!("none of the first {FIRST} cookies {name} could be used. {reason}"),
        _ => format!(
            "of the first {FIRST} requests with a session, {absent} had no cookie {name}, and none of the others could be \
             used. {reason}"
        ),
    };
    format!("freshness \"cookie_cache\" has no effect, and every request queries the store: {what}")
}

fn likeliest(unread: &[Why], expected: &Expected) -> String {
    let count = |why: &Why| unread.iter().filter(|other| *other == why).count();
    let likeliest = unread.iter().max_by_key(|why| count(why)).unwrap_or(&Why::Shape);
    let strategy = expected.strategy.as_str();
    match likeliest {
        Why::Strategy(found) => {
            let found = found.as_str();
            format!(
                "these are {found}, and cache_strategy (AUTH_MIDDLEWARE_CACHE_STRATEGY) is {strategy}: set it to {found}"
            )
        }
        Why::Version(found) => format!(
            "these have version {found:?}, and cache_version (AUTH_MIDDLEWARE_CACHE_VERSION) is {:?}: set it to \
             session.cookieCache.version of the Better Auth server",
            expected.version
        ),
        Why::Expired => "these had expired on arrival: get-session renews them, so make the page call it, or raise \
             session.cookieCache.maxAge; check the clock of this machine too"
            .to_owned(),
        Why::Key if expected.strategy == Strategy::Jwks => {
            "these are not signed by any key in the jwks table, or their issuer is not the origin of BETTER_AUTH_URL: check \
             DATABASE_URL, jwks_table (AUTH_MIDDLEWARE_JWKS_TABLE) and BETTER_AUTH_URL"
                .to_owned()
        }
        Why::KeyTable(reason) => format!("the keys that verify these are unknown: {reason}"),
        Why::Key => "these are not protected by BETTER_AUTH_SECRET, although the session token beside them is signed with \
             it: they are changed or cut in transit, or a server with another secret sets them"
            .to_owned(),
        Why::OtherSession => "these belong to another session than the session token beside them: set \
             cache_cookie_name (AUTH_MIDDLEWARE_CACHE_COOKIE_NAME) to the cookie of the same Better Auth server"
            .to_owned(),
        Why::Shape | Why::AbsentField | Why::KeysUnread => {
            format!("these do not have the form of {strategy}: they are changed or cut in transit")
        }
    }
}

fn of_absent(unread: &[Why], expected: &Expected) -> String {
    let had = match unread.len() {
        0 => format!(
            "none of the first {FIRST} requests with a session had the cookie {}",
            expected.cookie_name
        ),
        few => format!(
            "of the first {FIRST} requests with a session, only {few} had a cookie {}, which could not be used ({})",
            expected.cookie_name,
            likeliest(unread, expected)
        ),
    };
    format!(
        "freshness \"cookie_cache\" has no effect, and every request queries the store: {had}. Enable session.cookieCache at the Better Auth server; if it is enabled, set \
         cache_cookie_name (AUTH_MIDDLEWARE_CACHE_COOKIE_NAME) to the name that it sets"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unread(strategy: Strategy) -> Unread {
        Unread::new(Expected { strategy, version: "1".into(), cookie_name: "b.session_data".into() })
    }

    #[test]
    fn the_likeliest_reason_is_reported_once_after_twenty() {
        let unread = unread(Strategy::Compact);
        for at in 0..FIRST {
            assert_eq!(unread.take_message(), None, "after {at}");
            let why = if at % 3 == 0 { Why::Shape } else { Why::Strategy(Strategy::Jwt) };
            unread.could_not_be_read(|| why);
        }
        let message = unread.take_message().unwrap_or_default();
        assert!(message.contains("these are jwt") && message.contains("is compact"), "{message}");
        (0..100).for_each(|_| unread.could_not_be_read(|| Why::Key));
        assert_eq!(unread.take_message(), None);
    }

    #[test]
    fn one_that_was_read_ends_it() {
        let unread = unread(Strategy::Jwe);
        (1..FIRST).for_each(|_| unread.could_not_be_read(|| Why::Expired));
        unread.was_read();
        (0..100).for_each(|_| unread.could_not_be_read(|| Why::Expired));
        (0..100).for_each(|_| unread.was_absent());
        assert_eq!(unread.take_message(), None);
    }

    #[test]
    fn a_cookie_that_never_comes_is_reported_also_beside_a_few_that_cannot_be_read() {
        let absent = unread(Strategy::Jwt);
        (0..100).for_each(|_| absent.was_absent());
        assert!(absent.take_message().is_some_and(|message| message.contains("session.cookieCache")));
        let mixed = unread(Strategy::Jwt);
        mixed.could_not_be_read(|| Why::Key);
        (2..FIRST).for_each(|_| mixed.was_absent());
        assert_eq!(mixed.take_message(), None);
        mixed.was_absent();
        let message = mixed.take_message().unwrap_or_default();
        assert!(message.contains("only 1 had") && message.contains("session.cookieCache"), "{message}");
        (0..100).for_each(|_| mixed.was_absent());
        assert_eq!(mixed.take_message(), None);
        let unread = self::unread(Strategy::Jwt);
        (0..5).for_each(|_| unread.was_absent());
        (5..FIRST).for_each(|_| unread.could_not_be_read(|| Why::Key));
        let message = unread.take_message().unwrap_or_default();
        assert!(message.contains("5 had no cookie") && message.contains("BETTER_AUTH_SECRET"), "{message}");
    }
}
