//! The roster with a clock and a store of the test's own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use proptest::prelude::*;

use super::roster::{Batch, Roster, Step};
use super::*;
use crate::clock::Moment;
use crate::identity::{Session, User};
use crate::lookup::Outcome;
use crate::settings::GuardSettings;
use crate::signature::SessionToken;
use crate::store::{Change, Key, LookupResult, SessionKey};

const INTERVAL: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(60);
const HOUR: TimeDelta = TimeDelta::hours(1);

fn token(name: &str) -> SessionToken {
    SessionToken::unsigned(name).unwrap_or_else(|| panic!("{name} is a token"))
}

fn identity(name: &str, expires_at: DateTime<Utc>) -> Identity {
    let user = User::with_name(&format!("user of {name}"), None);
    let session = Session {
        id: format!("session of {name}"),
        user_id: user.id.clone(),
        token: token(name),
        expires_at,
        ip_address: None,
        user_agent: None,
        created_at: None,
        updated_at: None,
        own: Vec::new(),
    };
    Identity { session: Some(session), user }
}

fn deliver(endings: Vec<(End, Ending)>) {
    for (end, ending) in endings {
        end.close(ending);
    }
}

/// The connections that were closed, each with its code.
#[derive(Default)]
struct Ended(Mutex<Vec<(u64, u16)>>);

impl Closer for Ended {
    fn close(&self, number: u64, ending: Ending) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((number, ending.code()));
    }
}

/// A roster, its clock, and what it did.
struct Scene {
    roster: Roster,
    now: Moment,
    ended: Arc<Ended>,
    numbers: u64,
}

impl Scene {
    fn new() -> Self {
        Self::with(INTERVAL, GRACE)
    }

    fn with(recheck: Duration, outage_grace: Duration) -> Self {
        let settings = GuardSettings { recheck, outage_grace };
        let now = Moment { wall: Utc::now(), uptime: Uptime::now() };
        Self { roster: Roster::new(settings, 10_000), now, ended: Arc::default(), numbers: 0 }
    }

    fn add(&mut self, subject: Subject) -> u64 {
        self.numbers += 1;
        let (number, ended) = (self.numbers, Arc::clone(&self.ended));
        self.roster.add(Arc::new(subject), self.now.uptime, self.now.uptime, End::new(ended, number))
    }

    fn add_session(&mut self, name: &str) -> u64 {
        self.add_expiring(name, self.now.wall + HOUR)
    }

    fn add_expiring(&mut self, name: &str, expires_at: DateTime<Utc>) -> u64 {
        let subject = Subject::of_session(&identity(name, expires_at));
        self.add(subject.unwrap_or_else(|| panic!("it has a session")))
    }

    fn pass(&mut self, time: Duration) {
        self.now.uptime = self.now.uptime.after(time);
        self.now.wall += TimeDelta::from_std(time).unwrap_or_default();
    }

    /// The statements that are due now.
    fn poll(&mut self) -> Vec<Batch> {
        let Step { batches, endings, .. } = self.roster.poll(self.now);
        deliver(endings);
        batches
    }

    fn settle(&mut self, batch: Batch, outcome: impl Fn(&LookupKey) -> Outcome) {
        let outcomes = batch.keys.iter().map(outcome).collect();
        let endings = self.roster.settle(batch, outcomes, self.now.uptime);
        deliver(endings);
    }

    /// Lets time pass second by second, with a store that answers at once. Returns the sizes of the statements.
    fn run(&mut self, time: Duration, outcome: impl Fn(&LookupKey) -> Outcome) -> Vec<usize> {
        let mut sizes = Vec::new();
        let end = self.now.uptime.after(time);
        loop {
            loop {
                let batches = self.poll();
                if batches.is_empty() {
                    break;
                }
                for batch in batches {
                    sizes.push(batch.keys.len());
                    self.settle(batch, &outcome);
                }
            }
            if self.now.uptime >= end {
                return sizes;
            }
            self.pass(Duration::from_secs(1));
        }
    }

    fn renew(&mut self, feed: u64, fingerprint: &str) {
        let until = self.now.uptime.after(Duration::from_secs(5));
        self.roster.renew(feed, until, fingerprint, self.now.uptime);
    }

    fn ended(&self) -> Vec<(u64, u16)> {
        self.ended.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn valid_until(expires_at: DateTime<Utc>) -> impl Fn(&LookupKey) -> Outcome {
    move |key| Ok(LookupResult::Found(Arc::new(identity(key.as_str(), expires_at))))
}

#[expect(clippy::unnecessary_wraps, reason = "a store's outcome")]
fn signed_out(_key: &LookupKey) -> Outcome {
    Ok(LookupResult::NoSession)
}

fn down(_key: &LookupKey) -> Outcome {
    Err(Arc::new(Error::unavailable("no connection")))
}

#[test]
fn a_session_that_expires_is_queried_once_before_it_ends() {
    for (outcome, is_kept) in [("moved", true), ("same", false), ("gone", false), ("down", false)] {
        let mut scene = Scene::new();
        let expires_at = scene.now.wall + TimeDelta::seconds(3);
        scene.add_expiring("ada", expires_at);
        scene.pass(Duration::from_secs(3));
        assert!(scene.poll().is_empty(), "at its last instant it is valid");
        scene.pass(Duration::from_secs(1));
        let [batch] = <[Batch; 1]>::try_from(scene.poll()).unwrap_or_else(|_| panic!("one statement"));
        assert!(scene.poll().is_empty(), "one query");
        let later = scene.now.wall + HOUR;
        match outcome {
            "moved" => scene.settle(batch, valid_until(later)),
            "same" => scene.settle(batch, valid_until(expires_at)),
            "gone" => scene.settle(batch, signed_out),
            _ => scene.settle(batch, down),
        }
        assert_eq!(scene.ended(), if is_kept { Vec::new() } else { vec![(1, 4001)] }, "{outcome}");
        if is_kept {
            let queries = scene.run(Duration::from_secs(3599), valid_until(later)).len();
            assert_eq!(queries, 120, "only re-checks");
            scene.run(Duration::from_secs(2), valid_until(later));
            assert_eq!(scene.ended(), [(1, 4001)]);
        }
    }
}

#[test]
fn a_result_from_before_the_expiry_does_not_end_a_session_that_was_renewed() {
    let mut scene = Scene::new();
    let expires_at = scene.now.wall + TimeDelta::seconds(31);
    scene.add_expiring("ada", expires_at);
    scene.pass(INTERVAL);
    let [recheck] = <[Batch; 1]>::try_from(scene.poll()).unwrap_or_else(|_| panic!("one statement"));
    scene.pass(Duration::from_secs(2));
    scene.settle(recheck, valid_until(expires_at));
    assert_eq!(scene.ended(), []);
    let [about_expiry] = <[Batch; 1]>::try_from(scene.poll()).unwrap_or_else(|_| panic!("one statement"));
    let later = scene.now.wall + HOUR;
    scene.settle(about_expiry, valid_until(later));
    assert_eq!(scene.ended(), []);
}

#[test]
fn a_jwt_ends_at_its_time_or_with_its_user() {
    for (is_looked_up, outcome, seconds) in [(true, "user gone", 30), (true, "fine", 91), (false, "", 91)] {
        let mut scene = Scene::new();
        let end = scene.now.wall + TimeDelta::seconds(90);
        scene.add(Subject::of_token("ada", end, is_looked_up));
        let found = move |key: &LookupKey| {
            if outcome == "user gone" {
                return Ok(LookupResult::NoUser);
            }
            let mut found = identity(key.as_str(), end);
            found.session = None;
            found.user.id = "ada".into();
            Ok(LookupResult::Found(Arc::new(found)))
        };
        scene.run(Duration::from_secs(seconds - 1), found);
        assert_eq!(scene.ended(), [], "{outcome}");
        let last = scene.run(Duration::from_secs(1), found);
        assert_eq!(scene.ended(), [(1, 4001)], "{outcome}");
        assert_eq!(last.len(), usize::from(outcome == "user gone"), "no query at exp");
    }
}

#[test]
fn a_token_of_another_user_ends_the_connection() {
    let mut scene = Scene::new();
    scene.add_session("ada");
    let expires_at = scene.now.wall + HOUR;
    scene.run(INTERVAL, |_| Ok(LookupResult::Found(Arc::new(identity("bob", expires_at)))));
    assert_eq!(scene.ended(), [(1, 4001)]);
}

#[test]
fn a_change_is_queried_at_once_for_those_it_is_about() {
    let mut scene = Scene::new();
    let [ada, _bob, eve] = ["ada", "bob", "eve"].map(|name| scene.add_session(name));
    let session = Key::Session(SessionKey::of(&LookupKey::from(token("ada"))));
    let user = Key::User(UserKey::of("user of eve"));
    scene.roster.apply(&Change::Of(vec![session, user]));
    let [batch] = <[Batch; 1]>::try_from(scene.poll()).unwrap_or_else(|_| panic!("one statement"));
    assert_eq!(batch.keys, [LookupKey::from(token("ada")), LookupKey::from(token("eve"))]);
    // While it is under way, ada's changes again.
    scene.roster.apply(&Change::Of(vec![session]));
    let [again] = <[Batch; 1]>::try_from(scene.poll()).unwrap_or_else(|_| panic!("another statement"));
    assert_eq!(again.keys, [LookupKey::from(token("ada"))]);
    let later = scene.now.wall + HOUR;
    scene.settle(batch, valid_until(later));
    assert_eq!(scene.ended(), []);
    scene.settle(again, signed_out);
    assert_eq!(scene.ended(), [(ada, 4001)]);
    scene.roster.apply(&Change::Of(vec![user]));
    scene.run(Duration::ZERO, signed_out);
    assert_eq!(scene.ended(), [(ada, 4001), (eve, 4001)]);
}

#[test]
fn all_are_rechecked_once_in_an_interval_64_in_a_statement_and_spread_over_it() {
    let mut scene = Scene::new();
    let later = scene.now.wall + TimeDelta::hours(9);
    for number in 0..640 {
        scene.add_expiring(&format!("user {number}"), later);
    }
    for _ in 0..3 {
        for _ in 0..10 {
            assert_eq!(scene.run(Duration::from_secs(3), valid_until(later)), [64]);
        }
    }
    scene.add_expiring("one more", later);
    let sizes = scene.run(INTERVAL, valid_until(later));
    assert!(sizes.len() <= 11, "{sizes:?}");
}

#[test]
fn nobody_waits_longer_because_others_left() {
    let mut scene = Scene::new();
    let later = scene.now.wall + TimeDelta::hours(9);
    let numbers: Vec<u64> =
        (0..640).map(|number| scene.add_expiring(&format!("user {number}"), later)).collect();
    scene.run(Duration::from_secs(27), valid_until(later));
    for number in &numbers[..639] {
        scene.roster.remove(*number);
    }
    assert_eq!(scene.run(Duration::from_secs(3), valid_until(later)), [1]);
}

#[test]
fn an_outage_ends_nothing_before_its_grace_and_one_query_comes_first() {
    let mut scene = Scene::new();
    let later = scene.now.wall + TimeDelta::hours(9);
    let numbers: Vec<u64> =
        (0..200).map(|number| scene.add_expiring(&format!("user {number}"), later)).collect();
    // The first failure is that of the first statement, the last one an interval later.
    scene.run(GRACE, down);
    assert_eq!(scene.ended(), []);
    // The store is back: nobody is closed.
    scene.run(4 * GRACE, valid_until(later));
    assert_eq!(scene.ended(), []);
    scene.run(GRACE + 2 * INTERVAL, down);
    let mut ended = scene.ended();
    ended.sort_unstable();
    assert_eq!(ended, numbers.into_iter().map(|number| (number, 4002)).collect::<Vec<_>>());
}

#[test]
fn a_short_outage_ends_nothing_however_seldom_sessions_are_checked() {
    let mut scene = Scene::with(Duration::from_secs(3600), GRACE);
    let later = scene.now.wall + TimeDelta::hours(9);
    scene.add_expiring("ada", later);
    assert_eq!(scene.run(Duration::from_secs(3600), down), [1]);
    assert_eq!(scene.run(2 * GRACE, valid_until(later)), [1], "the query at the end of the grace");
    assert_eq!(scene.ended(), []);
}

#[test]
fn without_a_grace_the_first_failure_ends() {
    let mut scene = Scene::with(INTERVAL, Duration::ZERO);
    scene.add_session("ada");
    scene.run(INTERVAL, down);
    assert_eq!(scene.ended(), [(1, 4002)]);
}

#[test]
fn nothing_is_rechecked_while_the_feed_is_alive_and_all_are_after_it_was_not() {
    let mut scene = Scene::new();
    let later = scene.now.wall + TimeDelta::hours(9);
    let feed = scene.roster.begin_feed(scene.now.uptime);
    scene.renew(feed, "same");
    for number in 0..130 {
        scene.add_expiring(&format!("user {number}"), later);
    }
    for _ in 0..60 {
        scene.renew(feed, "same");
        assert_eq!(scene.run(Duration::from_secs(2), valid_until(later)).len(), 0);
    }
    // No heartbeat comes back: as without a feed.
    let sizes = scene.run(Duration::from_secs(40), valid_until(later));
    assert!(sizes.iter().sum::<usize>() >= 130, "{sizes:?}");
    // It is back. What was queried before may have changed without a notification: all once more, soon, but not at once.
    let is_all_checked_again = |scene: &mut Scene, feed| {
        // The first heartbeat comes after the last query.
        scene.pass(Duration::from_millis(1));
        let mut sizes = Vec::new();
        for _ in 0..8 {
            scene.renew(feed, "same");
            let more = scene.run(Duration::from_secs(1), valid_until(later));
            assert!(more.len() <= 1, "{more:?}");
            sizes.extend(more);
        }
        for _ in 0..60 {
            scene.renew(feed, "same");
            assert_eq!(scene.run(Duration::from_secs(2), valid_until(later)).len(), 0);
        }
        sizes.iter().sum::<usize>() == 130
    };
    assert!(is_all_checked_again(&mut scene, feed));
    // Another connection: the same.
    let feed = scene.roster.begin_feed(scene.now.uptime);
    assert!(is_all_checked_again(&mut scene, feed));
}

#[test]
fn a_feed_that_has_ended_renews_nothing() {
    let mut scene = Scene::new();
    let later = scene.now.wall + TimeDelta::hours(9);
    scene.add_expiring("ada", later);
    let old = scene.roster.begin_feed(scene.now.uptime);
    let new = scene.roster.begin_feed(scene.now.uptime);
    for _ in 0..30 {
        scene.renew(old, "same");
        scene.pass(Duration::from_secs(1));
    }
    assert_eq!(scene.run(Duration::ZERO, valid_until(later)), [1]);
    scene.renew(new, "same");
    scene.roster.suspend(old, scene.now.uptime);
    scene.run(INTERVAL, valid_until(later));
    scene.roster.suspend(new, scene.now.uptime);
    assert_eq!(scene.run(INTERVAL, valid_until(later)), [1]);
}

#[test]
fn after_a_purge_all_are_checked_one_statement_after_the_other() {
    for how in ["everything", "another fingerprint"] {
        let mut scene = Scene::new();
        let later = scene.now.wall + TimeDelta::hours(9);
        let feed = scene.roster.begin_feed(scene.now.uptime);
        scene.renew(feed, "same");
        for number in 0..200 {
            scene.add_expiring(&format!("user {number}"), later);
        }
        match how {
            "everything" => scene.roster.apply(&Change::Everything),
            _ => scene.renew(feed, "triggers were disabled"),
        }
        for size in [64, 64, 64, 8] {
            let [batch] = <[Batch; 1]>::try_from(scene.poll()).unwrap_or_else(|_| panic!("one statement"));
            assert_eq!(batch.keys.len(), size);
            assert!(scene.poll().is_empty());
            scene.settle(batch, signed_out);
        }
        assert_eq!(scene.ended().len(), 200);
    }
}

#[test]
fn a_check_that_failed_is_repeated_although_the_feed_is_alive() {
    let mut scene = Scene::new();
    let feed = scene.roster.begin_feed(scene.now.uptime);
    scene.renew(feed, "same");
    let ada = scene.add_session("ada");
    scene.roster.apply(&Change::Of(vec![Key::User(UserKey::of("user of ada"))]));
    assert_eq!(scene.run(Duration::ZERO, down), [1]);
    for _ in 0..29 {
        scene.pass(Duration::from_secs(1));
        scene.renew(feed, "same");
        assert!(scene.poll().is_empty());
    }
    scene.pass(Duration::from_secs(1));
    scene.renew(feed, "same");
    assert_eq!(scene.run(Duration::ZERO, signed_out), [1]);
    assert_eq!(scene.ended(), [(ada, 4001)]);
}

#[test]
fn an_application_closes_the_connections_of_a_user_or_a_session() {
    let mut scene = Scene::new();
    for name in ["ada", "ada", "bob"] {
        scene.add_session(name);
    }
    let end = scene.now.wall + HOUR;
    scene.add(Subject::of_token("user of bob", end, true));
    scene.add(Subject::of_token("user of bob", end, false));
    assert_eq!(scene.roster.disconnect(Whose::User("ada")).len(), 0);
    assert_eq!(scene.roster.disconnect(Whose::Session("session of ada")).len(), 2);
    assert_eq!(scene.roster.disconnect(Whose::User("user of bob")).len(), 3);
    assert_eq!(scene.roster.len(), 0);
}

#[derive(Clone, Debug)]
enum Action {
    Add(u8),
    Remove(u8),
    Change(u8),
    Everything,
    Renew(bool),
    Begin,
    Suspend,
    Pass(u8),
    Fail,
    Settle(bool),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => any::<u8>().prop_map(Action::Add),
        2 => any::<u8>().prop_map(Action::Remove),
        2 => any::<u8>().prop_map(Action::Change),
        1 => Just(Action::Everything),
        3 => any::<bool>().prop_map(Action::Renew),
        1 => Just(Action::Begin),
        1 => Just(Action::Suspend),
        6 => (0..20_u8).prop_map(Action::Pass),
        1 => Just(Action::Fail),
        6 => any::<bool>().prop_map(Action::Settle),
    ]
}

proptest! {
    /// Whatever happens: a session that ends is noticed an interval after the store and the task are idle, whether a
    /// feed is alive or not.
    #[test]
    fn every_end_is_noticed_and_nobody_else_is_closed(actions in prop::collection::vec(action(), 1..120)) {
        let mut scene = Scene::new();
        let later = scene.now.wall + TimeDelta::hours(99);
        let (mut open, mut under_way, mut feed) = (Vec::new(), Vec::<Batch>::new(), None);
        for action in actions {
            match action {
                Action::Add(name) => open.push((scene.add_expiring(&format!("user {name}"), later), name)),
                Action::Remove(which) if !open.is_empty() => {
                    let (number, _) = open.swap_remove(usize::from(which) % open.len());
                    // None if its grace was over.
                    drop(scene.roster.remove(number));
                }
                Action::Change(name) => {
                    let user = UserKey::of(&format!("user of user {name}"));
                    scene.roster.apply(&Change::Of(vec![Key::User(user)]));
                }
                Action::Everything => scene.roster.apply(&Change::Everything),
                Action::Renew(is_same) => {
                    if let Some(feed) = feed {
                        scene.renew(feed, if is_same { "same" } else { "other" });
                    }
                }
                Action::Begin => feed = Some(scene.roster.begin_feed(scene.now.uptime)),
                Action::Suspend => feed.into_iter().for_each(|feed| scene.roster.suspend(feed, scene.now.uptime)),
                Action::Pass(seconds) => scene.pass(Duration::from_secs(seconds.into())),
                Action::Fail => under_way.drain(..).for_each(|batch| scene.settle(batch, down)),
                Action::Settle(is_first) if !under_way.is_empty() => {
                    let at = if is_first { 0 } else { under_way.len() - 1 };
                    let batch = under_way.remove(at);
                    scene.settle(batch, valid_until(later));
                }
                Action::Remove(_) | Action::Settle(_) => {}
            }
            let batches = scene.poll();
            prop_assert!(batches.iter().all(|batch| (1..=64).contains(&batch.keys.len())));
            under_way.extend(batches);
            prop_assert!(under_way.len() <= 4);
        }
        // Those whose grace is over are closed; nobody for another reason.
        let closed = scene.ended();
        prop_assert!(closed.iter().all(|(_, code)| *code == 4002));
        // The feed falls silent. The store works again, and all have signed out.
        for batch in under_way {
            scene.settle(batch, valid_until(later));
        }
        let lease = Duration::from_secs(5);
        scene.run(lease + INTERVAL + Duration::from_secs(1), signed_out);
        prop_assert_eq!(scene.roster.len(), 0);
        prop_assert!(scene.roster.is_clear());
    }
}
