//! How many bytes the cached entries may take, to the byte.

use super::*;
use crate::live_cache::session_index::{Entry, OVERHEAD, SessionIndex};

/// An identity whose entry takes so many bytes.
fn taking(name: &str, bytes: usize, now: Moment) -> Arc<Identity> {
    let mut identity = Arc::unwrap_or_clone(identity(name, now.wall + TimeDelta::hours(1)));
    let session = identity.session.as_mut().expect("it has a session");
    session.user_agent = Some(String::new());
    let without = identity.bytes() + OVERHEAD;
    let session = identity.session.as_mut().expect("it has a session");
    session.user_agent = Some("a".repeat(bytes - without));
    Arc::new(identity)
}

fn insert(index: &mut SessionIndex, name: &str, bytes: usize) {
    let now = Moment::now();
    let identity = taking(name, bytes, now);
    let user = UserKey::of(&identity.user.id);
    index.insert(SessionKey::of(&token(name)), user, &identity, now.uptime);
}

#[test]
fn an_entry_takes_its_texts_its_keys_and_its_places() {
    assert!(OVERHEAD > size_of::<(SessionKey, Entry)>() + 2 * size_of::<(UserKey, SessionKey)>());
    let mut index = SessionIndex::new(10, HOUR);
    insert(&mut index, "ada", 900);
    insert(&mut index, "bob", 1000);
    assert_eq!((index.len(), index.bytes()), (2, 1900));
}

#[test]
fn entries_fill_the_room_to_the_last_byte() {
    let mut index = SessionIndex::new(3, HOUR);
    insert(&mut index, "ada", 3 * 1024);
    assert_eq!((index.len(), index.bytes()), (1, 3072));
    insert(&mut index, "bob", 1024);
    assert_eq!((index.len(), index.bytes()), (1, 1024));
    insert(&mut index, "eve", 2 * 1024);
    assert_eq!((index.len(), index.bytes()), (2, 3072));
    insert(&mut index, "dan", 3 * 1024 + 1);
    assert_eq!((index.len(), index.bytes()), (2, 3072));
}
