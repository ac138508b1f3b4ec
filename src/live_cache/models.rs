//! Models of lookups that cross a change: once the change is applied, no reader gets what they read before it.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use shuttle::future::{block_on, yield_now};
use shuttle::thread;

use super::session_index::PART;
use super::*;
use crate::clock::Clock;
use crate::error::Error;
use crate::identity::{User, UserId};
use crate::settings::{RawSettings, Settings};
use crate::store::{Change, Feed as _, Follower as _, Store};
use crate::sync::explore::explore;

const ADA: &str = "ada";
const HOUR: Duration = Duration::from_secs(3600);

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let raw = RawSettings {
        database_url: Some("postgresql://app@localhost/app".into()),
        secret: Some("0123456789abcdefghijklmnopqrstuv".into()),
        base_url: Some("http://localhost:3000".into()),
        freshness: Some("live".into()),
        ..RawSettings::default()
    };
    Settings::check(raw).unwrap()
});

/// The versions of Ada's rows.
const OLD: usize = 1;
const NEW: usize = 2;
const DELETED: usize = 3;

/// A database that has only Ada.
struct Database {
    version: AtomicUsize,
}

impl Database {
    fn commit(&self, version: usize) {
        self.version.store(version, Ordering::Relaxed);
        thread::yield_now();
    }
}

impl Store for Database {
    async fn find(&self, keys: &[LookupKey]) -> Result<Vec<LookupResult>, Error> {
        yield_now().await;
        let result = match self.version.load(Ordering::Relaxed) {
            DELETED => LookupResult::NoUser,
            version => LookupResult::Found(Arc::new(row(version))),
        };
        yield_now().await;
        Ok(vec![result; keys.len()])
    }
}

fn row(version: usize) -> Identity {
    Identity { session: None, user: User::with_name(ADA, Some(&version.to_string())) }
}

fn key() -> LookupKey {
    LookupKey::User(UserId::new(ADA))
}

fn of_session() -> Change {
    Change::Of(vec![Key::Session(SessionKey::of(&key()))])
}

fn of_user() -> Change {
    Change::Of(vec![Key::User(UserKey::of(ADA))])
}

/// A cache whose feed is alive, and the database.
struct Scene {
    cache: LiveCache,
    database: Arc<Database>,
    store: CachingStore<Database>,
    now: Moment,
    /// The old row must not be returned any more.
    is_outdated: Flag,
    /// The feed is known to be lost.
    is_lost: Flag,
}

impl Scene {
    fn new() -> (Arc<Self>, Writer, CacheFeed) {
        let (cache, mut writer) = LiveCache::new(SETTINGS.freshness.live_cache().unwrap());
        let database = Arc::new(Database { version: AtomicUsize::new(OLD) });
        let store = CachingStore::new(&database, &cache, &Clock::default());
        let (is_outdated, is_lost) = (Flag::default(), Flag::default());
        let scene = Self { cache, database, store, now: Moment::now(), is_outdated, is_lost };
        let feed = writer.begin();
        scene.renew(&feed);
        (Arc::new(scene), writer, feed)
    }

    fn renew(&self, feed: &CacheFeed) {
        feed.renew(self.now.uptime.after(HOUR), "triggers");
    }

    fn look_up(&self) {
        block_on(self.store.find(&[key()])).unwrap();
    }

    /// What a request does that finds Ada in the cache.
    fn read(&self) -> Option<Arc<Identity>> {
        let (is_outdated, was_lost) = (self.is_outdated.get(), self.is_lost.get());
        let cached = self.cache.get(&key(), self.now);
        let is_new = cached.as_ref().is_none_or(|cached| cached.user.name.as_deref() == Some("2"));
        assert!(is_new || !is_outdated, "the row from before the change");
        assert!(cached.is_none() || !was_lost || !self.is_lost.get(), "a row without a feed");
        cached
    }
}

/// Whether something is so. Reading it is no step of a schedule.
#[derive(Default)]
struct Flag(AtomicBool);

impl Flag {
    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, to: bool) {
        self.0.store(to, Ordering::Relaxed);
    }
}

/// Two lookups and a reader run while `change` changes Ada's rows and makes it known.
fn explore_change(change: fn(&Scene, Writer, CacheFeed)) {
    explore(3000, move || {
        let (scene, writer, feed) = Scene::new();
        let spawn = |run: fn(&Scene)| {
            let scene = Arc::clone(&scene);
            thread::spawn(move || run(&scene))
        };
        let look_up_twice = |scene: &Scene| {
            scene.look_up();
            scene.look_up();
        };
        let threads = [
            spawn(look_up_twice),
            spawn(Scene::look_up),
            spawn(|scene| (0..4).for_each(|_| drop(scene.read()))),
        ];
        change(&scene, writer, feed);
        scene.is_outdated.set(true);
        scene.read();
        for thread in threads {
            thread.join().unwrap();
        }
        scene.read();
        scene.look_up();
        let is_deleted = scene.database.version.load(Ordering::Relaxed) == DELETED;
        assert_eq!(scene.read().is_none(), is_deleted, "what is looked up afterwards is cached");
    });
}

#[test]
fn no_old_row_is_cached_after_a_change_of_its_session() {
    explore_change(|scene, _writer, feed| {
        scene.database.commit(NEW);
        feed.apply(&of_session());
    });
}

#[test]
fn no_old_row_is_cached_after_a_change_of_its_user() {
    explore_change(|scene, _writer, feed| {
        scene.database.commit(NEW);
        feed.apply(&of_user());
    });
}

#[test]
fn no_old_row_is_cached_after_it_was_deleted() {
    explore_change(|scene, _writer, feed| {
        scene.database.commit(DELETED);
        feed.apply(&of_user());
    });
}

#[test]
fn no_old_row_is_cached_after_a_change_of_everything() {
    explore_change(|scene, _writer, feed| {
        scene.database.commit(NEW);
        feed.apply(&Change::Everything);
    });
}

/// The triggers were disabled meanwhile, so the change was not notified.
#[test]
fn no_old_row_is_cached_after_the_triggers_have_changed() {
    explore_change(|scene, _writer, feed| {
        scene.database.commit(NEW);
        feed.renew(scene.now.uptime.after(HOUR), "other triggers");
    });
}

/// The connection is lost, while its heartbeats go on, and the change was not received.
#[test]
fn no_old_row_is_cached_after_the_feed_was_lost() {
    explore_change(|scene, mut writer, feed| {
        let heartbeats = {
            let (feed, end) = (feed.clone(), scene.now.uptime.after(HOUR));
            thread::spawn(move || (0..2).for_each(|_| feed.renew(end, "triggers")))
        };
        feed.end();
        scene.is_outdated.set(true);
        scene.is_lost.set(true);
        scene.database.commit(NEW);
        let feed = writer.begin();
        scene.is_lost.set(false);
        scene.renew(&feed);
        heartbeats.join().unwrap();
    });
}

/// The change is committed after the connection was made, and before it listens.
#[test]
fn no_old_row_is_cached_if_the_change_came_before_the_feed_listened() {
    explore_change(|scene, mut writer, feed| {
        let next = writer.begin();
        scene.is_outdated.set(true);
        scene.is_lost.set(true);
        // The old connection is ended late, and must not end the new one.
        let ending = thread::spawn(move || feed.end());
        scene.database.commit(NEW);
        scene.is_lost.set(false);
        scene.renew(&next);
        ending.join().unwrap();
        assert_eq!(scene.cache.feed_state(scene.now.uptime), Some(FeedState::Live));
    });
}

#[test]
fn no_old_row_is_cached_after_a_feed_was_suspended() {
    explore_change(|scene, _writer, feed| {
        feed.suspend();
        scene.is_outdated.set(true);
        scene.is_lost.set(true);
        scene.database.commit(NEW);
        scene.is_lost.set(false);
        scene.renew(&feed);
    });
}

/// So many sessions of one user that they are evicted in two parts, between which others get the lock.
#[test]
fn no_session_of_a_user_is_cached_after_the_user_has_changed() {
    static KEYS: LazyLock<Vec<LookupKey>> = LazyLock::new(|| {
        (0..=PART).map(|number| LookupKey::User(UserId::new(&number.to_string()))).collect()
    });
    explore(400, || {
        let (scene, _writer, feed) = Scene::new();
        block_on(scene.store.find(&KEYS)).unwrap();
        assert_eq!(scene.cache.size().0, PART + 1);
        let looking_up = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || block_on(scene.store.find(&KEYS[PART / 2..])).unwrap())
        };
        scene.database.commit(DELETED);
        feed.apply(&of_user());
        assert_eq!(scene.cache.size().0, 0);
        looking_up.join().unwrap();
        assert_eq!(scene.cache.size().0, 0);
    });
}
