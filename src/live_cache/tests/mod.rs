mod bytes;
mod feed;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::identity::{Session, User};
use crate::settings::{RawSettings, Secret, Settings};
use crate::signature::{Keys, SessionToken};
use crate::store::{Change, Feed as _, Follower as _, OperatorLog as _};

const HOUR: Duration = Duration::from_secs(3600);

fn settings(freshness: &str, max_cached_sessions: i64) -> Settings {
    let raw = RawSettings {
        database_url: Some("postgresql://app@localhost/app".into()),
        secret: Some("0123456789abcdefghijklmnopqrstuv".into()),
        base_url: Some("http://localhost:3000".into()),
        freshness: Some(freshness.into()),
        max_cached_sessions: Some(max_cached_sessions),
        ..RawSettings::default()
    };
    Settings::check(raw).expect("these settings are right")
}

fn cache_and_writer(freshness: &str, max_cached_sessions: i64) -> (LiveCache, Writer) {
    let settings = settings(freshness, max_cached_sessions);
    LiveCache::new(settings.freshness.live_cache().expect("these settings use the cache"))
}

fn cache(freshness: &str, max_cached_sessions: i64) -> LiveCache {
    cache_and_writer(freshness, max_cached_sessions).0
}

fn token(name: &str) -> LookupKey {
    session_token(name).into()
}

fn session_token(name: &str) -> SessionToken {
    let keys = Keys::new(&[Secret::new("0123456789abcdefghijklmnopqrstuv")]);
    keys.verify(&keys.sign(name).unwrap_or_default()).expect("it was signed just now")
}

fn identity(name: &str, expires_at: DateTime<Utc>) -> Arc<Identity> {
    let session = Session {
        id: format!("session of {name}, 32 characters."),
        user_id: format!("user {name}, of 32 characters.."),
        token: session_token(name),
        expires_at,
        ip_address: Some("2001:db8::8a2e:370:7334".into()),
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0".into()),
        created_at: None,
        updated_at: None,
        own: Vec::new(),
    };
    let user = User {
        id: session.user_id.clone(),
        name: Some("Ada Lovelace".into()),
        email: Some("ada.lovelace@example.com".into()),
        email_verified: true,
        image: Some("https://example.com/pictures/of/ada.png".into()),
        created_at: None,
        updated_at: None,
        ban: None,
        own: Vec::new(),
    };
    Arc::new(Identity { session: Some(session), user })
}

/// A cache with a feed that is alive for an hour, and one session in it.
struct Scene {
    cache: LiveCache,
    writer: Writer,
    feed: CacheFeed,
    now: Moment,
}

impl Scene {
    fn new() -> Self {
        Self::with_room_for(100)
    }

    fn with_room_for(max_cached_sessions: i64) -> Self {
        let (cache, mut writer) = cache_and_writer("live", max_cached_sessions);
        let feed = writer.begin();
        let now = Moment::now();
        feed.renew(now.uptime.after(HOUR), "triggers");
        let scene = Self { cache, writer, feed, now };
        scene.look_up("ada");
        scene
    }

    fn look_up(&self, name: &str) {
        self.insert(self.cache.sent(self.now.uptime), name);
    }

    fn insert(&self, sent: Sent, name: &str) {
        let found = LookupResult::Found(identity(name, self.now.wall + TimeDelta::hours(1)));
        self.cache.insert(sent, &[token(name)], &[found]);
    }

    fn knows(&self, name: &str) -> bool {
        self.knows_after(name, Duration::ZERO)
    }

    fn knows_after(&self, name: &str, passed: Duration) -> bool {
        let wall = self.now.wall + passed;
        self.cache.get(&token(name), Moment { wall, uptime: self.now.uptime.after(passed) }).is_some()
    }
}

fn of(name: &str) -> Change {
    Change::Of(vec![Key::Session(SessionKey::of(&token(name)))])
}

fn of_the_user_of(name: &str) -> Change {
    Change::Of(vec![Key::User(UserKey::of(&format!("user {name}, of 32 characters..")))])
}

#[test]
fn a_result_is_cached_for_its_own_token_only() {
    let scene = Scene::new();
    assert!(scene.knows("ada"));
    assert!(!scene.knows("bob"));
}

#[test]
fn a_notification_evicts_its_session_and_no_other() {
    let scene = Scene::new();
    scene.look_up("bob");
    scene.feed.apply(&of("ada"));
    assert!(!scene.knows("ada"));
    assert!(scene.knows("bob"));
    scene.feed.apply(&Change::Everything);
    assert!(!scene.knows("bob"));
}

#[test]
fn a_notification_about_a_user_evicts_all_their_sessions() {
    let scene = Scene::new();
    let found = |name: &str| {
        let mut theirs = Arc::unwrap_or_clone(identity(name, scene.now.wall + TimeDelta::hours(1)));
        theirs.user.id = identity("ada", scene.now.wall).user.id.clone();
        LookupResult::Found(Arc::new(theirs))
    };
    let sent = scene.cache.sent(scene.now.uptime);
    scene.cache.insert(sent, &["phone", "tablet"].map(token), &["phone", "tablet"].map(found));
    scene.look_up("bob");
    assert!(scene.knows("ada") && scene.knows("phone") && scene.knows("tablet"));
    scene.feed.apply(&of_the_user_of("ada"));
    assert!(!scene.knows("ada") && !scene.knows("phone") && !scene.knows("tablet"));
    assert!(scene.knows("bob"));
    scene.feed.apply(&of("bob"));
    assert_eq!(scene.cache.size(), (0, 0));
}

#[test]
fn more_sessions_of_a_user_than_one_part_are_all_evicted() {
    let scene = Scene::with_room_for(2000);
    scene.look_up("bob");
    let theirs: Vec<_> = (0..1000).map(|number| token(&number.to_string())).collect();
    let found = LookupResult::Found(identity("ada", scene.now.wall + TimeDelta::hours(1)));
    scene.cache.insert(scene.cache.sent(scene.now.uptime), &theirs, &vec![found; theirs.len()]);
    assert_eq!(scene.cache.size().0, 1002);
    scene.feed.apply(&of_the_user_of("ada"));
    assert_eq!(scene.cache.size().0, 1);
    assert!(scene.knows("bob"));
}

#[test]
fn the_result_of_a_look_up_that_crosses_a_revocation_is_not_cached() {
    for change in [of("bob"), of_the_user_of("bob"), Change::Everything] {
        let scene = Scene::new();
        let sent = scene.cache.sent(scene.now.uptime);
        scene.feed.apply(&change);
        scene.insert(sent, "bob");
        assert!(!scene.knows("bob"), "{change:?}");
        scene.look_up("bob");
        assert!(scene.knows("bob"), "the result of a lookup that was sent afterwards is cached");
    }
}

#[test]
fn no_result_is_cached_while_its_change_is_being_applied() {
    const ROUNDS: usize = 5000;
    let scene = Scene::new();
    let everybody: Vec<_> = (0..16).map(|number| token(&number.to_string())).collect();
    let found = LookupResult::Found(identity("ada", scene.now.wall + TimeDelta::hours(1)));
    let answers = vec![found; everybody.len()];
    let change = of_the_user_of("ada");
    let start = std::sync::Barrier::new(2);
    let mut cached_too_late = 0;
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for _ in 0..ROUNDS {
                start.wait();
                scene.feed.apply(&change);
                start.wait();
            }
        });
        for _ in 0..ROUNDS {
            let sent = scene.cache.sent(scene.now.uptime);
            start.wait();
            scene.cache.insert(sent, &everybody, &answers);
            start.wait();
            cached_too_late += scene.cache.size().0;
        }
    });
    assert_eq!(cached_too_late, 0, "either it is cached and then evicted, or it is not cached");
}

#[test]
fn the_result_of_a_look_up_during_many_notifications_is_not_cached() {
    let scene = Scene::new();
    let sent = scene.cache.sent(scene.now.uptime);
    for number in 0..10_000 {
        scene.feed.apply(&of(&number.to_string()));
    }
    scene.insert(sent, "bob");
    assert!(!scene.knows("bob"));
    assert!(scene.knows("ada"), "what was cached before is still current");
}

#[test]
fn nothing_is_returned_without_a_lease_and_entries_are_returned_again_with_a_new_one() {
    let scene = Scene::new();
    let end = scene.now.uptime.after(Duration::from_secs(5));
    scene.feed.renew(end, "triggers");
    assert!(scene.knows_after("ada", Duration::from_millis(4999)));
    assert!(
        !scene.knows_after("ada", Duration::from_secs(5)),
        "a process that was paused finds its lease expired"
    );
    scene.feed.renew(scene.now.uptime.after(HOUR), "triggers");
    assert!(
        scene.knows_after("ada", Duration::from_secs(5)),
        "every notification was received in the meantime"
    );
}

#[test]
fn nothing_is_cached_before_the_first_heartbeat() {
    let (cache, mut writer) = cache_and_writer("live", 100);
    let now = Moment::now();
    let _feed = writer.begin();
    let found = LookupResult::Found(identity("ada", now.wall + TimeDelta::hours(1)));
    cache.insert(cache.sent(now.uptime), &[token("ada")], &[found]);
    assert!(cache.get(&token("ada"), now).is_none());
    assert_eq!(cache.size(), (0, 0));
}

#[test]
fn the_result_of_a_look_up_before_the_first_heartbeat_is_not_cached() {
    let mut scene = Scene::new();
    let next = scene.writer.begin();
    let sent = scene.cache.sent(scene.now.uptime);
    next.renew(scene.now.uptime.after(HOUR), "triggers");
    scene.insert(sent, "bob");
    assert!(!scene.knows("bob"), "it is not known when the connection began to receive");
}

#[test]
fn the_end_of_a_feed_evicts_everything_and_nothing_is_cached_after_it() {
    let mut scene = Scene::new();
    let sent = scene.cache.sent(scene.now.uptime);
    scene.feed.end();
    assert!(!scene.knows("ada"));
    scene.look_up("bob");
    let next = scene.writer.begin();
    scene.insert(sent, "eve");
    next.renew(scene.now.uptime.after(HOUR), "triggers");
    assert_eq!(scene.cache.size(), (0, 0), "nothing is cached from the time without a feed");
}

#[test]
fn the_feed_of_an_earlier_connection_is_ignored() {
    let mut scene = Scene::new();
    let next = scene.writer.begin();
    scene.feed.renew(scene.now.uptime.after(HOUR), "triggers");
    scene.look_up("bob");
    assert!(!scene.knows("bob"), "a heartbeat of an earlier feed renews nothing");
    next.renew(scene.now.uptime.after(HOUR), "triggers");
    scene.look_up("bob");
    scene.feed.apply(&Change::Everything);
    scene.feed.suspend();
    scene.feed.end();
    assert!(scene.knows("bob"), "what happens to the earlier feed does not affect the new one");
}

#[test]
fn a_new_fingerprint_evicts_everything() {
    let scene = Scene::new();
    let sent = scene.cache.sent(scene.now.uptime);
    scene.feed.renew(scene.now.uptime.after(HOUR), "triggers, enabled again");
    assert!(!scene.knows("ada"));
    scene.insert(sent, "bob");
    assert!(!scene.knows("bob"));
}

#[test]
fn a_suspended_feed_evicts_everything_until_the_next_heartbeat() {
    let scene = Scene::new();
    scene.feed.suspend();
    assert!(!scene.knows("ada"));
    scene.look_up("ada");
    assert!(!scene.knows("ada"));
    scene.feed.renew(scene.now.uptime.after(HOUR), "triggers");
    assert!(!scene.knows("ada"), "it was queried while changes were not notified");
}

#[test]
fn nothing_is_returned_past_its_age_or_the_end_of_its_session() {
    let scene = Scene::new();
    assert!(scene.knows_after("ada", Duration::from_millis(59_999)));
    assert!(!scene.knows_after("ada", Duration::from_secs(60)));
    let ends = scene.now.wall + TimeDelta::seconds(1);
    let found = LookupResult::Found(identity("bob", ends));
    scene.cache.insert(scene.cache.sent(scene.now.uptime), &[token("bob")], &[found]);
    let at = |wall| scene.cache.get(&token("bob"), Moment { wall, uptime: scene.now.uptime }).is_some();
    assert!(at(ends), "valid up to and including the instant");
    assert!(!at(ends + TimeDelta::microseconds(1)));
}

#[test]
fn a_result_without_a_session_evicts_the_entry() {
    for answer in [LookupResult::NoSession, LookupResult::NoUser, LookupResult::Unreadable] {
        let scene = Scene::new();
        scene.cache.insert(scene.cache.sent(scene.now.uptime), &[token("ada")], &[answer]);
        assert!(!scene.knows("ada"));
    }
}

#[test]
fn seconds_need_no_feed_and_are_counted_from_when_the_query_was_sent() {
    let cache = cache("30", 100);
    let now = Moment::now();
    let found = LookupResult::Found(identity("ada", now.wall + TimeDelta::hours(1)));
    cache.insert(cache.sent(now.uptime), &[token("ada")], &[found]);
    let after = |passed| Moment { wall: now.wall, uptime: now.uptime.after(passed) };
    assert!(cache.get(&token("ada"), after(Duration::from_millis(29_999))).is_some());
    assert!(cache.get(&token("ada"), after(Duration::from_secs(30))).is_none());
}

#[test]
fn the_least_recently_used_entry_is_evicted() {
    let cache = cache("30", 3);
    let now = Moment::now();
    let keep = |name| {
        let found = LookupResult::Found(identity(name, now.wall + TimeDelta::hours(1)));
        cache.insert(cache.sent(now.uptime), &[token(name)], &[found]);
    };
    let knows = |name| cache.get(&token(name), now).is_some();
    ["ada", "bob", "eve"].into_iter().for_each(keep);
    assert!(knows("ada"));
    keep("dan");
    assert!(!knows("bob"));
    assert!(knows("ada") && knows("eve") && knows("dan"));
    assert_eq!(cache.size().0, 3);
}

#[test]
fn small_sessions_do_not_exceed_the_maximum_number() {
    let cache = cache("30", 3);
    let now = Moment::now();
    for name in ["ada", "bob", "eve", "dan"] {
        let mut small = Arc::unwrap_or_clone(identity(name, now.wall + TimeDelta::hours(1)));
        let session = small.session.as_mut().expect("it has a session");
        (session.ip_address, session.user_agent, small.user.image) = (None, None, None);
        (session.id, small.user.email) = (String::new(), None);
        cache.insert(cache.sent(now.uptime), &[token(name)], &[LookupResult::Found(Arc::new(small))]);
    }
    let (sessions, bytes) = cache.size();
    assert_eq!(sessions, 3);
    assert!(bytes / 3 * 4 <= 3 * 1024, "there was room for another: {bytes}");
}

#[test]
fn sessions_take_a_kibibyte_each_at_most_and_large_ones_reduce_their_number() {
    let cache = cache("30", 10);
    let now = Moment::now();
    let keep = |name: &str, agent: usize| {
        let mut identity = Arc::unwrap_or_clone(identity(name, now.wall + TimeDelta::hours(1)));
        identity.session.as_mut().expect("it has a session").user_agent = Some("a".repeat(agent));
        cache.insert(cache.sent(now.uptime), &[token(name)], &[LookupResult::Found(Arc::new(identity))]);
    };
    (0..10).for_each(|number| keep(&number.to_string(), 100));
    let (sessions, bytes) = cache.size();
    assert_eq!(sessions, 10);
    assert!(bytes <= 10 * 1024, "{bytes}");
    (0..10).for_each(|number| keep(&number.to_string(), 3000));
    let (sessions, bytes) = cache.size();
    assert!((1..10).contains(&sessions), "{sessions}");
    assert!(bytes <= 10 * 1024, "{bytes}");
    let before = cache.size();
    keep("huge", 1_000_000);
    assert_eq!(cache.size(), before, "an entry that is larger than the whole cache evicts nothing");
}

#[test]
fn a_problem_and_its_end_are_logged_once() {
    let cache = cache("live", 1);
    let log = cache.operator_log();
    log.log_recovery("it works");
    assert_eq!(cache.take_messages(), [""; 0]);
    log.log("no connection");
    log.log("no connection");
    log.log_recovery("it works");
    log.log_recovery("it works");
    assert_eq!(cache.take_messages(), ["no connection", "it works"]);
    assert_eq!(cache.take_messages(), [""; 0]);
    log.log("no connection");
    assert_eq!(cache.take_messages(), ["no connection"]);
}

#[test]
fn problems_that_alternate_are_each_logged_once() {
    let cache = cache("live", 1);
    let log = cache.operator_log();
    for _ in 0..3 {
        log.log("no connection");
        log.log("no triggers");
    }
    assert_eq!(cache.take_messages(), ["no connection", "no triggers"]);
    (0..1000).for_each(|number| log.log(&number.to_string()));
    assert_eq!(cache.take_messages().len(), 6, "a thousand variations of one problem are not logged");
}
