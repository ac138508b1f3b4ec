//! What the cache tells its feed, and what it reports of the feed.

use std::pin::pin;

use tokio::time::timeout;

use super::*;
use crate::clock::Clock;
use crate::error::Error;
use crate::store::{Demand as _, Store};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn seconds_need_no_feed_and_have_no_state_of_one() {
    let live = cache("live", 100);
    assert!(live.needs_feed());
    assert!(live.feed_state(Uptime::now()).is_some());
    let seconds = cache("30", 100);
    assert!(!seconds.needs_feed());
    assert_eq!(seconds.feed_state(Uptime::now()), None);
}

#[test]
fn the_feed_is_idle_until_it_fails_or_its_first_heartbeat_and_live_until_its_lease_ends() {
    let (cache, mut writer) = cache_and_writer("live", 100);
    let now = Uptime::now();
    let state = |after| cache.feed_state(now.after(after)).map(FeedState::as_str);
    assert_eq!(state(Duration::ZERO), Some("idle"));
    let feed = writer.begin();
    assert_eq!(state(Duration::ZERO), Some("idle"));
    feed.renew(now.after(SECOND), "triggers");
    assert_eq!(state(Duration::from_nanos(999_999_999)), Some("live"));
    assert_eq!(state(SECOND), Some("idle"));
    cache.operator_log().log("no connection");
    assert_eq!(state(Duration::ZERO), Some("live"));
    assert_eq!(state(SECOND), Some("down"));
    feed.end();
    assert_eq!(state(Duration::ZERO), Some("down"));
    cache.operator_log().log_recovery("it works");
    assert_eq!(state(Duration::ZERO), Some("idle"));
}

#[test]
fn each_entry_that_a_notification_evicts_is_counted() {
    let scene = Scene::new();
    assert_eq!(scene.cache.invalidated(), 0);
    for name in ["bob", "eve", "dan", "fay"] {
        scene.look_up(name);
    }
    scene.feed.apply(&of("ada"));
    scene.feed.apply(&of("ada"));
    assert_eq!(scene.cache.invalidated(), 1);
    scene.feed.apply(&of_the_user_of("bob"));
    assert_eq!(scene.cache.invalidated(), 2);
    scene.feed.apply(&Change::Everything);
    assert_eq!(scene.cache.invalidated(), 5);
}

#[test]
fn an_operator_is_told_when_notifications_evict_what_is_requested() {
    let scene = Scene::new();
    for _ in 0..50 {
        scene.feed.apply(&of("ada"));
        assert!(!scene.knows("ada"));
        scene.look_up("ada");
    }
    let messages = scene.cache.take_messages();
    let [warning] = &messages[..] else { panic!("{messages:?}") };
    assert!(warning.contains("the cache had a hit for 0 of the last 50 requests"), "{warning}");
    assert_eq!(
        scene.cache.feed_state(scene.now.uptime),
        Some(FeedState::Live),
        "it is no problem of the feed"
    );
}

#[test]
fn of_messages_that_nobody_takes_the_latest_are_kept() {
    let cache = cache("live", 1);
    let log = cache.operator_log();
    for number in 0..20 {
        log.log(&format!("problem {number}"));
        log.log_recovery(&format!("recovery {number}"));
    }
    let messages = cache.take_messages();
    assert_eq!(messages.len(), 16);
    assert_eq!((messages[0].as_str(), messages[15].as_str()), ("problem 12", "recovery 19"));
}

#[test]
fn the_demand_is_what_was_requested_since_it_was_last_read() {
    let scene = Scene::new();
    let demand = scene.cache.demand();
    assert!(!demand.was_wanted());
    scene.cache.want();
    assert!(demand.was_wanted());
    assert!(!demand.was_wanted());
    assert!(!scene.knows("nobody"));
    assert!(demand.was_wanted(), "a request is a demand, also one without a hit");
}

#[tokio::test(start_paused = true)]
async fn the_feed_waits_for_a_request() {
    let cache = cache("live", 100);
    let demand = cache.demand();
    let mut waiting = pin!(demand.wanted());
    assert!(timeout(SECOND, waiting.as_mut()).await.is_err());
    cache.want();
    assert!(timeout(SECOND, waiting).await.is_ok());
    assert!(timeout(SECOND, demand.wanted()).await.is_ok(), "it was not read yet");
    assert!(demand.was_wanted());
    assert!(timeout(SECOND, demand.wanted()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_feed_has_reported_when_it_works_or_its_problem_is_logged() {
    let (cache, mut writer) = cache_and_writer("live", 100);
    let has_reported = async || timeout(SECOND, cache.reported()).await.is_ok();
    assert!(!has_reported().await);
    cache.operator_log().log("no connection");
    assert!(has_reported().await);
    let feed = writer.begin();
    assert!(!has_reported().await);
    feed.renew(Uptime::now().after(SECOND), "triggers");
    assert!(has_reported().await);
}

struct Down;

impl Store for Down {
    async fn find(&self, _keys: &[LookupKey]) -> Result<Vec<LookupResult>, Error> {
        Err(Error::down("connection refused"))
    }

    async fn ping(&self) -> Result<(), Error> {
        Err(Error::down("connection refused"))
    }
}

#[tokio::test]
async fn a_store_that_is_down_is_down_with_a_cache_too() {
    let store = CachingStore::new(&Arc::new(Down), &cache("30", 100), &Clock::default());
    assert!(store.ping().await.is_err_and(|error| error.is_down()));
    assert!(store.find(&[token("ada")]).await.is_err());
}
