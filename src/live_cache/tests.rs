use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::identity::{Session, User};
use crate::settings::{RawSettings, Secret, Settings};
use crate::signature::{Keys, SessionToken};

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

fn cache(freshness: &str, max_cached_sessions: i64) -> LiveCache {
    let settings = settings(freshness, max_cached_sessions);
    LiveCache::new(settings.freshness.live_cache().expect("it keeps answers"))
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
        name: "Ada Lovelace".into(),
        email: "ada.lovelace@example.com".into(),
        email_verified: true,
        image: Some("https://example.com/pictures/of/ada.png".into()),
        created_at: None,
        updated_at: None,
        ban: None,
        own: Vec::new(),
    };
    Arc::new(Identity { session: Some(session), user })
}

/// A cache with a feed that is alive for an hour, and somebody in it.
struct Scene {
    cache: LiveCache,
    feed: FeedId,
    now: Moment,
}

impl Scene {
    fn new() -> Self {
        let cache = cache("live", 100);
        let feed = cache.begin();
        let now = Moment::now();
        cache.renew(feed, now.uptime.after(HOUR), "triggers");
        let scene = Self { cache, feed, now };
        scene.look_up("ada");
        scene
    }

    fn look_up(&self, name: &str) {
        self.answer(self.cache.sent(self.now.uptime), name);
    }

    fn answer(&self, sent: Sent, name: &str) {
        let found = LookupResult::Found(identity(name, self.now.wall + TimeDelta::hours(1)));
        self.cache.keep(sent, &[token(name)], &[found]);
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
fn an_answer_is_kept_for_its_own_token_only() {
    let scene = Scene::new();
    assert!(scene.knows("ada"));
    assert!(!scene.knows("bob"));
}

#[test]
fn a_notification_forgets_its_session_and_no_other() {
    let scene = Scene::new();
    scene.look_up("bob");
    scene.cache.apply(scene.feed, &of("ada"));
    assert!(!scene.knows("ada"));
    assert!(scene.knows("bob"));
    scene.cache.apply(scene.feed, &Change::Everything);
    assert!(!scene.knows("bob"));
}

#[test]
fn a_users_notification_forgets_all_their_sessions() {
    let scene = Scene::new();
    let found = |name: &str| {
        let mut theirs = Arc::unwrap_or_clone(identity(name, scene.now.wall + TimeDelta::hours(1)));
        theirs.user.id = identity("ada", scene.now.wall).user.id.clone();
        LookupResult::Found(Arc::new(theirs))
    };
    let sent = scene.cache.sent(scene.now.uptime);
    scene.cache.keep(sent, &["phone", "tablet"].map(token), &["phone", "tablet"].map(found));
    scene.look_up("bob");
    assert!(scene.knows("ada") && scene.knows("phone") && scene.knows("tablet"));
    scene.cache.apply(scene.feed, &of_the_user_of("ada"));
    assert!(!scene.knows("ada") && !scene.knows("phone") && !scene.knows("tablet"));
    assert!(scene.knows("bob"));
    scene.cache.apply(scene.feed, &of("bob"));
    assert_eq!(scene.cache.size(), (0, 0));
}

#[test]
fn a_users_very_many_sessions_are_all_forgotten() {
    let scene = Scene { cache: cache("live", 2000), ..Scene::new() };
    scene.cache.renew(scene.cache.begin(), scene.now.uptime.after(HOUR), "triggers");
    scene.look_up("bob");
    let theirs: Vec<_> = (0..1000).map(|number| token(&number.to_string())).collect();
    let found = LookupResult::Found(identity("ada", scene.now.wall + TimeDelta::hours(1)));
    scene.cache.keep(scene.cache.sent(scene.now.uptime), &theirs, &vec![found; theirs.len()]);
    assert_eq!(scene.cache.size().0, 1001);
    scene.cache.apply(scene.feed, &of_the_user_of("ada"));
    assert_eq!(scene.cache.size().0, 1);
    assert!(scene.knows("bob"));
}

#[test]
fn a_look_up_that_crosses_a_revocation_is_not_kept() {
    for change in [of("bob"), of_the_user_of("bob"), Change::Everything] {
        let scene = Scene::new();
        let sent = scene.cache.sent(scene.now.uptime);
        scene.cache.apply(scene.feed, &change);
        scene.answer(sent, "bob");
        assert!(!scene.knows("bob"), "{change:?}");
        scene.look_up("bob");
        assert!(scene.knows("bob"), "a look-up that was sent afterwards is");
    }
}

#[test]
fn no_answer_slips_in_while_its_change_is_being_heard() {
    const ROUNDS: usize = 5000;
    let scene = Scene::new();
    let everybody: Vec<_> = (0..16).map(|number| token(&number.to_string())).collect();
    let found = LookupResult::Found(identity("ada", scene.now.wall + TimeDelta::hours(1)));
    let answers = vec![found; everybody.len()];
    let change = of_the_user_of("ada");
    let start = std::sync::Barrier::new(2);
    let mut slipped_in = 0;
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for _ in 0..ROUNDS {
                start.wait();
                scene.cache.apply(scene.feed, &change);
                start.wait();
            }
        });
        for _ in 0..ROUNDS {
            let sent = scene.cache.sent(scene.now.uptime);
            start.wait();
            scene.cache.keep(sent, &everybody, &answers);
            start.wait();
            slipped_in += scene.cache.size().0;
        }
    });
    assert_eq!(slipped_in, 0, "first it is kept and then forgotten, or it is not kept");
}

#[test]
fn a_look_up_during_a_storm_of_notifications_is_not_kept() {
    let scene = Scene::new();
    let sent = scene.cache.sent(scene.now.uptime);
    for number in 0..10_000 {
        scene.cache.apply(scene.feed, &of(&number.to_string()));
    }
    scene.answer(sent, "bob");
    assert!(!scene.knows("bob"));
    assert!(scene.knows("ada"), "what was kept before is still coherent");
}

#[test]
fn nothing_is_given_without_a_lease_and_what_is_kept_comes_back_with_it() {
    let scene = Scene::new();
    let end = scene.now.uptime.after(Duration::from_secs(5));
    scene.cache.renew(scene.feed, end, "triggers");
    assert!(scene.knows_after("ada", Duration::from_millis(4999)));
    assert!(!scene.knows_after("ada", Duration::from_secs(5)), "a process that was paused finds it over");
    scene.cache.renew(scene.feed, scene.now.uptime.after(HOUR), "triggers");
    assert!(scene.knows_after("ada", Duration::from_secs(5)), "every notification was heard meanwhile");
}

#[test]
fn a_feed_that_was_never_proven_gives_nothing() {
    let cache = cache("live", 100);
    let now = Moment::now();
    cache.begin();
    let found = LookupResult::Found(identity("ada", now.wall + TimeDelta::hours(1)));
    cache.keep(cache.sent(now.uptime), &[token("ada")], &[found]);
    assert!(cache.get(&token("ada"), now).is_none());
    assert_eq!(cache.size(), (0, 0));
}

#[test]
fn what_was_asked_before_the_first_proof_is_not_kept() {
    let scene = Scene::new();
    let next = scene.cache.begin();
    let sent = scene.cache.sent(scene.now.uptime);
    scene.cache.renew(next, scene.now.uptime.after(HOUR), "triggers");
    scene.answer(sent, "bob");
    assert!(!scene.knows("bob"), "nobody says from when on the connection hears");
}

#[test]
fn a_lost_feed_forgets_everything_and_keeps_nothing() {
    let scene = Scene::new();
    let sent = scene.cache.sent(scene.now.uptime);
    scene.cache.end(scene.feed);
    assert!(!scene.knows("ada"));
    scene.look_up("bob");
    let next = scene.cache.begin();
    scene.answer(sent, "eve");
    scene.cache.renew(next, scene.now.uptime.after(HOUR), "triggers");
    assert_eq!(scene.cache.size(), (0, 0), "nothing is left of the time without a feed");
}

#[test]
fn an_earlier_connection_is_not_heard() {
    let scene = Scene::new();
    let next = scene.cache.begin();
    scene.cache.renew(scene.feed, scene.now.uptime.after(HOUR), "triggers");
    scene.look_up("bob");
    assert!(!scene.knows("bob"), "its heartbeat proves nothing");
    scene.cache.renew(next, scene.now.uptime.after(HOUR), "triggers");
    scene.look_up("bob");
    scene.cache.apply(scene.feed, &Change::Everything);
    scene.cache.suspend(scene.feed);
    scene.cache.end(scene.feed);
    assert!(scene.knows("bob"), "what becomes of it says nothing of the new one");
}

#[test]
fn triggers_that_may_have_slept_between_two_heartbeats_cost_everything() {
    let scene = Scene::new();
    let sent = scene.cache.sent(scene.now.uptime);
    scene.cache.renew(scene.feed, scene.now.uptime.after(HOUR), "triggers, enabled again");
    assert!(!scene.knows("ada"));
    scene.answer(sent, "bob");
    assert!(!scene.knows("bob"));
}

#[test]
fn a_doubt_forgets_everything_until_the_next_proof() {
    let scene = Scene::new();
    scene.cache.suspend(scene.feed);
    assert!(!scene.knows("ada"));
    scene.look_up("ada");
    assert!(!scene.knows("ada"));
    scene.cache.renew(scene.feed, scene.now.uptime.after(HOUR), "triggers");
    assert!(!scene.knows("ada"), "it was asked while changes were not notified");
}

#[test]
fn nothing_outlives_its_session_or_its_age() {
    let scene = Scene::new();
    assert!(scene.knows_after("ada", Duration::from_millis(59_999)));
    assert!(!scene.knows_after("ada", Duration::from_secs(60)));
    let ends = scene.now.wall + TimeDelta::seconds(1);
    let found = LookupResult::Found(identity("bob", ends));
    scene.cache.keep(scene.cache.sent(scene.now.uptime), &[token("bob")], &[found]);
    let at = |wall| scene.cache.get(&token("bob"), Moment { wall, uptime: scene.now.uptime }).is_some();
    assert!(at(ends), "valid up to and including the instant");
    assert!(!at(ends + TimeDelta::microseconds(1)));
}

#[test]
fn a_store_that_knows_no_session_any_more_is_believed() {
    for answer in [LookupResult::NoSession, LookupResult::NoUser, LookupResult::Unreadable] {
        let scene = Scene::new();
        scene.cache.keep(scene.cache.sent(scene.now.uptime), &[token("ada")], &[answer]);
        assert!(!scene.knows("ada"));
    }
}

#[test]
fn seconds_need_no_feed_and_count_from_the_sending() {
    let cache = cache("30", 100);
    let now = Moment::now();
    let found = LookupResult::Found(identity("ada", now.wall + TimeDelta::hours(1)));
    cache.keep(cache.sent(now.uptime), &[token("ada")], &[found]);
    let after = |passed| Moment { wall: now.wall, uptime: now.uptime.after(passed) };
    assert!(cache.get(&token("ada"), after(Duration::from_millis(29_999))).is_some());
    assert!(cache.get(&token("ada"), after(Duration::from_secs(30))).is_none());
}

#[test]
fn the_least_lately_used_make_room() {
    let cache = cache("30", 3);
    let now = Moment::now();
    let keep = |name| {
        let found = LookupResult::Found(identity(name, now.wall + TimeDelta::hours(1)));
        cache.keep(cache.sent(now.uptime), &[token(name)], &[found]);
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
fn small_sessions_are_no_more_than_were_asked_for() {
    let cache = cache("30", 3);
    let now = Moment::now();
    for name in ["ada", "bob", "eve", "dan"] {
        let mut small = Arc::unwrap_or_clone(identity(name, now.wall + TimeDelta::hours(1)));
        let session = small.session.as_mut().expect("it has a session");
        (session.ip_address, session.user_agent, small.user.image) = (None, None, None);
        (session.id, small.user.email) = (String::new(), String::new());
        cache.keep(cache.sent(now.uptime), &[token(name)], &[LookupResult::Found(Arc::new(small))]);
    }
    let (sessions, bytes) = cache.size();
    assert_eq!(sessions, 3);
    assert!(bytes / 3 * 4 <= 3 * 1024, "there was room for another: {bytes}");
}

#[test]
fn a_session_takes_at_most_a_kibibyte_and_large_ones_leave_less_room() {
    let cache = cache("30", 10);
    let now = Moment::now();
    let keep = |name: &str, agent: usize| {
        let mut identity = Arc::unwrap_or_clone(identity(name, now.wall + TimeDelta::hours(1)));
        identity.session.as_mut().expect("it has a session").user_agent = Some("a".repeat(agent));
        cache.keep(cache.sent(now.uptime), &[token(name)], &[LookupResult::Found(Arc::new(identity))]);
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
    assert_eq!(cache.size(), before, "one that is larger than all together drives nobody out");
}

#[test]
fn news_are_told_once() {
    let cache = cache("live", 1);
    cache.log_recovery("it works");
    assert_eq!(cache.take_messages(), [""; 0]);
    cache.log("no connection");
    cache.log("no connection");
    cache.log_recovery("it works");
    cache.log_recovery("it works");
    assert_eq!(cache.take_messages(), ["no connection", "it works"]);
    assert_eq!(cache.take_messages(), [""; 0]);
    cache.log("no connection");
    assert_eq!(cache.take_messages(), ["no connection"]);
}

#[test]
fn troubles_that_take_turns_are_each_told_once() {
    let cache = cache("live", 1);
    for _ in 0..3 {
        cache.log("no connection");
        cache.log("no triggers");
    }
    assert_eq!(cache.take_messages(), ["no connection", "no triggers"]);
    (0..1000).for_each(|number| cache.log(&number.to_string()));
    assert!(cache.take_messages().len() < 10, "nobody reads a thousand variations");
}
