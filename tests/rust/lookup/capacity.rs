//! How many may wait, and what becomes of a place that is given up.

use std::sync::{Arc, Weak};
use std::time::Duration;

use auth_middleware::lookup::Waiter;
use auth_middleware::settings::RawSettings;
use tokio::time::{sleep, timeout};

use super::harness::{Harness, Said, crowd, one_connection, settle, signed};

const FULL: &str = "3 requests wait already (max_waiting)";

fn three_may_wait() -> RawSettings {
    RawSettings { max_waiting: Some(3), ..one_connection() }
}

/// Three wait: one of them is sent.
async fn full_desk() -> (Harness, Vec<Arc<Waiter>>) {
    let harness = Harness::new(three_may_wait(), &["ada", "bob", "cleo", "dora"]);
    let mut waiters = vec![harness.ask("ada")];
    settle().await;
    waiters.extend([harness.ask("bob"), harness.ask("cleo")]);
    (harness, waiters)
}

#[tokio::test(start_paused = true)]
async fn one_more_than_may_wait_is_unavailable_at_once_and_never_asked_for() {
    let (harness, _tickets) = full_desk().await;
    harness.ask("dora");
    assert!(harness.only_told().is_some_and(|said| said.is_unavailable(FULL)), "{:?}", harness.told());
    harness.ask("bob");
    assert_eq!(harness.told().len(), 2, "sharing a look-up takes a place too");
    harness.open_gate();
    settle().await;
    assert_eq!(harness.statements(), [vec!["ada"], vec!["bob", "cleo"]]);
    assert!(harness.told()[2..].iter().all(|(_, said)| *said == Said::SignedIn));
}

#[tokio::test(start_paused = true)]
async fn a_place_is_free_again_once_it_was_answered_given_up_or_overdue() {
    let (harness, waiters) = full_desk().await;
    let is_refused = async |harness: &Harness| harness.find("dora").await.is_unavailable(FULL);
    assert!(is_refused(&harness).await);

    waiters[2].give_up();
    waiters[2].give_up();
    let _again = harness.ask("cleo");
    assert!(is_refused(&harness).await, "one place was given up, not two");

    harness.let_through(1);
    settle().await;
    let _answered = harness.ask("ada");
    assert!(is_refused(&harness).await);

    sleep(Duration::from_secs(6)).await;
    harness.open_gate();
    assert_eq!(harness.find("dora").await, Said::SignedIn);
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_before_it_was_sent_is_not_asked_for() {
    let (harness, waiters) = full_desk().await;
    waiters[1].give_up();
    harness.open_gate();
    settle().await;
    assert_eq!(harness.statements(), [["ada"], ["cleo"]]);
    assert_eq!(harness.told().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_look_up_goes_on_for_as_long_as_one_of_those_who_share_it_waits() {
    let harness = Harness::new(one_connection(), &["ada"]);
    harness.ask("somebody");
    settle().await;
    let waiters = [harness.ask("ada"), harness.ask("ada"), harness.ask("ada")];
    waiters[0].give_up();
    waiters[1].give_up();
    harness.open_gate();
    settle().await;
    assert_eq!(harness.told()[1..], [("ada".into(), Said::SignedIn)]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_gives_up_its_place() {
    let harness = Harness::new(RawSettings { max_waiting: Some(1), ..one_connection() }, &["ada"]);
    for _ in 0..3 {
        assert!(timeout(Duration::from_secs(1), harness.find("ada")).await.is_err());
    }
    harness.open_gate();
    assert_eq!(harness.find("ada").await, Said::SignedIn);
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_holds_nothing_of_theirs_while_the_look_up_goes_on() {
    let harness = Harness::new(one_connection(), &[]);
    let theirs = Arc::new(());
    for token in crowd(100) {
        let held = Arc::clone(&theirs);
        harness.lookup.ask(&signed(&token), move |_| drop(held)).give_up();
    }
    assert_eq!(Arc::strong_count(&theirs), 1);
}

/// A store that is stuck, and people who come and go: the bound on those who wait is one on memory.
#[tokio::test(start_paused = true)]
async fn thousands_who_gave_up_take_no_more_memory_than_those_who_may_wait() {
    for stays in [true, false] {
        let harness = Harness::new(RawSettings { max_waiting: Some(100), ..one_connection() }, &[]);
        let sent = harness.ask("the one that is stuck");
        settle().await;
        if !stays {
            sent.give_up();
        }
        let given_up = |token: String| {
            let waiter = harness.ask(&token);
            waiter.give_up();
            Arc::downgrade(&waiter)
        };
        let kept = |waiters: &[Weak<Waiter>]| waiters.iter().filter(|each| each.strong_count() > 0).count();
        let of_many_tokens: Vec<_> = crowd(10_000).into_iter().map(given_up).collect();
        assert!(kept(&of_many_tokens) <= 100, "{} are kept", kept(&of_many_tokens));
        let of_one_token: Vec<_> = (0..10_000).map(|_| given_up("the same".into())).collect();
        assert!(kept(&of_one_token) <= 100, "{} are kept", kept(&of_one_token));
        harness.open_gate();
        settle().await;
        assert_eq!(harness.statements().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_keep_their_places_while_thousands_come_and_go() {
    let harness = Harness::new(RawSettings { max_waiting: Some(100), ..one_connection() }, &["ada", "bob"]);
    harness.ask("the one that is stuck");
    settle().await;
    for (number, token) in crowd(1_000).iter().enumerate() {
        match number {
            150 | 450 => drop(harness.ask("ada")),
            300 => drop(harness.ask("bob")),
            _ => harness.ask(token).give_up(),
        }
    }
    harness.open_gate();
    settle().await;
    assert_eq!(harness.statements()[1..], [["ada", "bob"]]);
    let of = |whose: &str| (whose.to_owned(), Said::SignedIn);
    assert_eq!(harness.told()[1..], [of("ada"), of("ada"), of("bob")]);
}
