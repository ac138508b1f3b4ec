//! With exact times, which the public interface does not take.

use serde_json::json;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn just_before(time: Duration) -> Duration {
    time.saturating_sub(Duration::from_nanos(1))
}

/// A set of keys with these ids.
fn keys(ids: &[&str]) -> KeySet {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let jwk = |id: &&str| json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": id});
    let document = json!({"keys": ids.iter().map(jwk).collect::<Vec<_>>()});
    KeySet::of_document(document.to_string().as_bytes()).expect("it is a key set")
}

fn no_usable_key() -> KeySet {
    KeySet::of_document(br#"{"keys": [{}]}"#).expect("it is a key set")
}

fn failure() -> Error {
    Error::unavailable("no answer")
}

/// Keys, and the time at which their reading began.
struct Scene {
    jwks: Jwks,
    start: Uptime,
}

impl Scene {
    fn new() -> Self {
        Self { jwks: Jwks::default(), start: Uptime::now() }
    }

    /// Has read the key `k`.
    fn with_key() -> Self {
        let scene = Self::new();
        scene.read(keys(&["k"]), Duration::ZERO);
        scene
    }

    fn at(&self, after: Duration) -> Uptime {
        self.start.after(after)
    }

    fn read(&self, keys: KeySet, after: Duration) {
        self.jwks.settle(Ok(keys), self.at(after), self.at(after));
    }

    fn fail(&self, error: Error, after: Duration) {
        self.jwks.settle(Err(error), self.at(after), self.at(after));
    }

    fn find(&self, id: &str, after: Duration) -> &'static str {
        name(&self.jwks.find(id, self.at(after)))
    }

    fn find_as_read(&self, id: &str, after: Duration) -> &'static str {
        name(&self.jwks.find_as_read(id, self.at(after)))
    }

    fn is_wanted(&self) -> bool {
        self.jwks.lock().is_wanted
    }
}

fn name(key: &Key) -> &'static str {
    match key {
        Key::Found(_) => "found",
        Key::Unknown => "unknown",
        Key::NeedsReading => "needs reading",
        Key::Unavailable => "unavailable",
    }
}

#[test]
fn the_age_of_a_set_counts_from_when_its_reading_began() {
    let scene = Scene::new();
    scene.jwks.settle(Ok(keys(&["k"])), scene.start, scene.at(SECOND));
    assert_eq!(scene.find("k", just_before(REFRESH_AFTER)), "found");
    assert!(!scene.is_wanted());
    assert_eq!(scene.find("k", REFRESH_AFTER), "found");
    assert!(scene.is_wanted(), "it is read again in the background");
    for find in [Scene::find, Scene::find_as_read] {
        assert_eq!(find(&scene, "k", just_before(MAX_AGE)), "found");
    }
    assert_eq!(scene.find("k", MAX_AGE), "needs reading");
    assert_eq!(scene.find_as_read("k", MAX_AGE), "unavailable");
    assert_eq!(scene.find_as_read("x", just_before(MAX_AGE)), "unknown");
    assert_eq!(scene.find_as_read("x", MAX_AGE), "unavailable");
}

#[test]
fn a_set_that_is_too_old_is_read_again() {
    let scene = Scene::with_key();
    assert_eq!(scene.find("k", MAX_AGE), "needs reading");
    assert!(scene.is_wanted());
    assert_eq!(scene.jwks.lock().unknown, [""; 0], "the key is known");
    assert_eq!(scene.find("x", MAX_AGE), "needs reading");
    assert_eq!(scene.jwks.lock().unknown, ["x"]);
}

#[test]
fn a_key_that_is_not_in_the_set_is_read_for_and_then_unknown_for_a_while() {
    let scene = Scene::with_key();
    assert_eq!(scene.find("x", Duration::ZERO), "needs reading");
    assert!(scene.is_wanted());
    scene.read(keys(&["k"]), Duration::ZERO);
    assert!(!scene.is_wanted());
    assert_eq!(scene.find("x", just_before(COOL_DOWN)), "unknown");
    assert!(!scene.is_wanted());
    assert_eq!(scene.find("x", COOL_DOWN), "needs reading");
    assert!(scene.is_wanted());
}

#[test]
fn a_key_that_was_read_for_and_found_stops_no_other_from_being_read_for() {
    let scene = Scene::with_key();
    assert_eq!(scene.find("new", Duration::ZERO), "needs reading");
    scene.read(keys(&["k", "new"]), Duration::ZERO);
    assert_eq!(scene.find("new", Duration::ZERO), "found");
    assert_eq!(scene.find("newer", Duration::ZERO), "needs reading");
}

#[test]
fn a_few_unknown_keys_are_noted_and_no_more() {
    let scene = Scene::with_key();
    for number in 0..MAX_UNKNOWN + 5 {
        assert_eq!(scene.find(&number.to_string(), Duration::ZERO), "needs reading");
    }
    assert_eq!(scene.jwks.lock().unknown.len(), MAX_UNKNOWN);
    scene.read(keys(&["k"]), Duration::ZERO);
    assert_eq!(scene.jwks.lock().unknown.len(), 0);
}

#[test]
fn each_failure_doubles_the_wait_up_to_the_longest() {
    let scene = Scene::new();
    let mut now = Duration::ZERO;
    for seconds in [1, 2, 4, 8, 16, 30, 30, 30] {
        assert_eq!(scene.find("k", now), "needs reading");
        assert!(scene.is_wanted());
        scene.fail(failure(), now);
        now += Duration::from_secs(seconds);
        assert_eq!(scene.find("k", just_before(now)), "unavailable");
        assert!(!scene.is_wanted(), "{seconds} s have not passed");
    }
    scene.read(keys(&["k"]), now);
    scene.fail(failure(), now);
    assert_eq!(scene.find("x", just_before(now + SECOND)), "unavailable");
    assert_eq!(scene.find("x", now + SECOND), "needs reading");
}

#[test]
fn tables_that_do_not_exist_yet_are_tried_each_second() {
    let scene = Scene::new();
    for seconds in 0..8 {
        let now = SECOND * seconds;
        assert_eq!(scene.find("k", now), "needs reading");
        scene.fail(Error::MissingTables("no table".to_owned()), now);
        assert_eq!(scene.find("k", just_before(now + SECOND)), "unavailable");
    }
}

#[test]
fn in_an_outage_a_set_holds_for_an_hour() {
    let scene = Scene::with_key();
    scene.fail(failure(), MAX_AGE_IN_OUTAGE.saturating_sub(SECOND));
    let last = just_before(MAX_AGE_IN_OUTAGE);
    for find in [Scene::find, Scene::find_as_read] {
        assert_eq!(find(&scene, "k", last), "found");
        assert_eq!(find(&scene, "x", last), "unavailable");
    }
    assert!(!scene.is_wanted());
    assert_eq!(scene.find("k", MAX_AGE_IN_OUTAGE), "needs reading");
    assert!(scene.is_wanted());
    assert_eq!(scene.find_as_read("k", MAX_AGE_IN_OUTAGE), "unavailable");
}

#[test]
fn a_current_set_is_not_read_again_before_the_retry() {
    let scene = Scene::with_key();
    scene.fail(failure(), REFRESH_AFTER);
    assert_eq!(scene.find("k", just_before(REFRESH_AFTER + SECOND)), "found");
    assert_eq!(scene.find_as_read("x", REFRESH_AFTER), "unavailable");
    assert!(!scene.is_wanted());
    assert_eq!(scene.find("k", REFRESH_AFTER + SECOND), "found");
    assert!(scene.is_wanted());
}

#[test]
fn a_table_that_is_missing_or_wrong_is_a_problem_until_it_can_be_read() {
    let scene = Scene::new();
    assert_eq!(scene.jwks.table_problem(), None);
    scene.jwks.note_failure(Error::Schema("no column".to_owned()));
    assert_eq!(scene.jwks.table_problem().as_deref(), Some("no column"));
    scene.jwks.note_failure(Error::MissingTables("no table".to_owned()));
    assert_eq!(scene.jwks.table_problem().as_deref(), Some("no table"));
    scene.jwks.note_failure(failure());
    assert_eq!(scene.jwks.table_problem(), None);
    scene.jwks.note_failure(Error::Schema("no column".to_owned()));
    scene.read(keys(&["k"]), Duration::ZERO);
    assert_eq!(scene.jwks.table_problem(), None);
}

#[test]
fn the_keys_are_the_problem_while_they_are_first_read_and_where_none_can_be_used() {
    let scene = Scene::new();
    assert!(!scene.jwks.are_the_problem() && !scene.jwks.has_keys());
    scene.jwks.want();
    assert!(scene.jwks.are_the_problem());
    scene.read(keys(&[]), Duration::ZERO);
    assert!(!scene.jwks.are_the_problem() && !scene.jwks.has_keys(), "an empty set has no bad keys");
    scene.read(no_usable_key(), Duration::ZERO);
    assert!(scene.jwks.are_the_problem() && !scene.jwks.has_keys());
    scene.read(keys(&["k"]), Duration::ZERO);
    assert!(!scene.jwks.are_the_problem() && scene.jwks.has_keys());
    scene.jwks.want();
    assert!(!scene.jwks.are_the_problem(), "it is not the first reading");
}

#[test]
fn an_outage_and_its_end_are_logged_once() {
    let scene = Scene::new();
    scene.fail(failure(), Duration::ZERO);
    scene.fail(failure(), Duration::ZERO);
    scene.read(no_usable_key(), Duration::ZERO);
    scene.read(no_usable_key(), Duration::ZERO);
    let messages = scene.jwks.take_messages();
    let [outage, unusable, end] = &messages[..] else { panic!("{messages:?}") };
    assert!(outage.starts_with("the keys that verify JWTs cannot be read: "), "{outage}");
    assert!(unusable.contains("cannot be used"), "{unusable}");
    assert_eq!(end, "the keys that verify JWTs can be read again");
    assert_eq!(scene.jwks.take_messages(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn only_a_reading_that_was_requested_is_waited_for() {
    let scene = Scene::with_key();
    let is_over = async || timeout(SECOND, scene.jwks.read()).await.is_ok();
    assert!(is_over().await);
    scene.jwks.want();
    assert!(!is_over().await);
    scene.read(keys(&["k"]), Duration::ZERO);
    assert!(is_over().await);
}
