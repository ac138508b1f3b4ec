//! The changes in a store's notifications. Sessions and users are identified by hashes, which are useless to anybody
//! who reads a notification.

use sha2::{Digest as _, Sha256};

use super::LookupKey;

/// The SHA-256 of a session's token, or what stands for it where a user is looked up by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey([u8; 32]);

/// The SHA-256 of a user's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserKey([u8; 32]);

/// A session or a user that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// One session.
    Session(SessionKey),
    /// A user, and so all of the user's sessions.
    User(UserKey),
}

/// What a notification invalidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These sessions and users.
    Of(Vec<Key>),
    /// Every session: many changed, or it is unknown which.
    Everything,
}

impl SessionKey {
    /// The smallest key.
    pub const FIRST: Self = Self([0; 32]);

    /// Its first bytes, for an index in which a few keys too many do no harm.
    #[must_use]
    pub fn prefix(&self) -> u64 {
        prefix(&self.0)
    }

    /// The key of what is looked up. No token is like that of a user's id: it holds no control character.
    #[must_use]
    pub fn of(key: &LookupKey) -> Self {
        match key {
            LookupKey::Session(token) => Self(token.sha256()),
            LookupKey::User(id) => {
                Self(Sha256::new().chain_update(b"\0user ").chain_update(id.as_str()).finalize().into())
            }
        }
    }
}

impl UserKey {
    /// The key of a user's id.
    #[must_use]
    pub fn of(id: &str) -> Self {
        Self(Sha256::digest(id).into())
    }

    /// Its first bytes, for an index in which a few keys too many do no harm.
    #[must_use]
    pub fn prefix(&self) -> u64 {
        prefix(&self.0)
    }
}

impl Change {
    /// Parses a payload of the triggers: items separated by commas, each a session's key in hexadecimal, or a user's
    /// after a `u`. Any other payload invalidates everything.
    #[must_use]
    pub fn read(payload: &str) -> Self {
        payload.split(',').map(Key::read).collect::<Option<_>>().map_or(Self::Everything, Self::Of)
    }
}

impl Key {
    fn read(item: &str) -> Option<Self> {
        match item.strip_prefix('u') {
            Some(user) => Some(Self::User(UserKey(digest(user)?))),
            None => Some(Self::Session(SessionKey(digest(item)?))),
        }
    }
}

fn prefix(digest: &[u8; 32]) -> u64 {
    digest.iter().take(8).fold(0, |prefix, byte| prefix << 8 | u64::from(*byte))
}

fn digest(hexadecimal: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hexadecimal.len() != 2 * bytes.len() || !hexadecimal.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hexadecimal[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_ADA: &str = "fdee430d40bd57deeac186cd9790033d0f06f909a8806e7ce6e717ab7c7d5029";

    #[test]
    fn a_payload_lists_sessions_and_users() {
        let bytes = digest(OF_ADA).expect("it is hexadecimal");
        let [session, user] = [Key::Session(SessionKey(bytes)), Key::User(UserKey(bytes))];
        assert_eq!(Change::read(OF_ADA), Change::Of(vec![session]));
        assert_eq!(Change::read(&format!("{OF_ADA},u{OF_ADA}")), Change::Of(vec![session, user]));
    }

    #[test]
    fn any_other_payload_means_everything() {
        let cut = &OF_ADA[1..];
        let trailing = format!("{OF_ADA},");
        for payload in ["everything", "", "é", "u", cut, &trailing, &"é".repeat(32), &"+1".repeat(32)] {
            assert_eq!(Change::read(payload), Change::Everything, "{payload}");
        }
    }

    #[test]
    fn keys_are_computed_as_postgresql_computes_them() {
        // SELECT encode(sha256(convert_to('ada', 'UTF8')), 'hex')
        let written = "fdee430d40bd57deeac186cd9790033d0f06f909a8806e7ce6e717ab7c7d5029";
        assert_eq!(Change::read(&format!("u{written}")), Change::Of(vec![Key::User(UserKey::of("ada"))]));
    }
}
