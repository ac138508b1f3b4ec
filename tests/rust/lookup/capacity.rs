//! The limit on waiting lookups, and what happens when a waiter gives up.

use std::sync::{Arc, Weak};
use std::time::Duration;

use auth_middleware::lookup::Waiter;
use auth_middleware::settings::RawSettings;
use tokio::time::{sleep, timeout};

use super::harness::{Harness, Outcome, one_connection, signed, tokens, wait_until_idle};

const FULL: &str = "3 requests wait already (max_waiting)";

fn three_waiters() -> RawSettings {
    RawSettings { max_waiting: Some(3), ..one_connection() }
}

/// Three lookups wait, and one of them was sent.
async fn at_capacity() -> (Harness, Vec<Arc<Waiter>>) {
    let harness = Harness::new(three_waiters(), &["ada", "bob", "cleo", "dora"]);
    let mut waiters = vec![harness.start("ada")];
    wait_until_idle().await;
    waiters.extend([harness.start("bob"), harness.start("cleo")]);
    (harness, waiters)
}

#[tokio::test(start_paused = true)]
async fn a_lookup_beyond_the_limit_is_unavailable_at_once_and_never_sent() {
    let (harness, _waiters) = at_capacity().await;
    harness.start("dora");
    assert!(
        harness.only_outcome().is_some_and(|outcome| outcome.is_unavailable(FULL)),
        "{:?}",
        harness.outcomes()
    );
    harness.start("bob");
    assert_eq!(harness.outcomes().len(), 2, "a shared lookup counts as well");
    harness.open_gate();
    wait_until_idle().await;
    assert_eq!(harness.statements(), [vec!["ada"], vec!["bob", "cleo"]]);
    assert!(harness.outcomes()[2..].iter().all(|(_, outcome)| *outcome == Outcome::SignedIn));
}

#[tokio::test(start_paused = true)]
async fn capacity_is_freed_by_a_result_by_giving_up_and_by_a_timeout() {
    let (harness, waiters) = at_capacity().await;
    let is_refused = async |harness: &Harness| harness.find("dora").await.is_unavailable(FULL);
    assert!(is_refused(&harness).await);

    waiters[2].give_up();
    waiters[2].give_up();
    let _again = harness.start("cleo");
    assert!(is_refused(&harness).await, "giving up twice frees one slot only");

    harness.release(1);
    wait_until_idle().await;
    let _after_result = harness.start("ada");
    assert!(is_refused(&harness).await);

    sleep(Duration::from_secs(6)).await;
    harness.open_gate();
    assert_eq!(harness.find("dora").await, Outcome::SignedIn);
}

#[tokio::test(start_paused = true)]
async fn a_lookup_abandoned_before_it_is_sent_is_never_sent() {
    let (harness, waiters) = at_capacity().await;
    waiters[1].give_up();
    harness.open_gate();
    wait_until_idle().await;
    assert_eq!(harness.statements(), [["ada"], ["cleo"]]);
    assert_eq!(harness.outcomes().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_shared_lookup_continues_while_one_waiter_remains() {
    let harness = Harness::new(one_connection(), &["ada"]);
    harness.start("first");
    wait_until_idle().await;
    let waiters = [harness.start("ada"), harness.start("ada"), harness.start("ada")];
    waiters[0].give_up();
    waiters[1].give_up();
    harness.open_gate();
    wait_until_idle().await;
    assert_eq!(harness.outcomes()[1..], [("ada".into(), Outcome::SignedIn)]);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_counted_until_they_are_resolved_or_give_up() {
    let harness = Harness::new(one_connection(), &["ada"]);
    assert_eq!(harness.lookup.waiting(), 0);
    let waiters = [harness.start("ada"), harness.start("ada"), harness.start("bob")];
    assert_eq!(harness.lookup.waiting(), 3);
    assert_eq!(format!("{:?}", waiters[1]), "Waiter { is_waiting: true }");
    waiters[1].give_up();
    waiters[1].give_up();
    assert_eq!(harness.lookup.waiting(), 2);
    assert_eq!(format!("{:?}", waiters[1]), "Waiter { is_waiting: false }");
    harness.open_gate();
    wait_until_idle().await;
    assert_eq!(harness.lookup.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_wait_frees_its_slot() {
    let harness = Harness::new(RawSettings { max_waiting: Some(1), ..one_connection() }, &["ada"]);
    for _ in 0..3 {
        assert!(timeout(Duration::from_secs(1), harness.find("ada")).await.is_err());
    }
    harness.open_gate();
    assert_eq!(harness.find("ada").await, Outcome::SignedIn);
}

#[tokio::test(start_paused = true)]
async fn giving_up_drops_the_callback_while_the_lookup_continues() {
    let harness = Harness::new(one_connection(), &[]);
    let resource = Arc::new(());
    for token in tokens(100) {
        let held = Arc::clone(&resource);
        harness.lookup.request(&signed(&token), move |_| drop(held)).give_up();
    }
    assert_eq!(Arc::strong_count(&resource), 1);
}

/// With a store that hangs, and clients that give up, `max_waiting` must also limit the memory.
#[tokio::test(start_paused = true)]
async fn abandoned_lookups_do_not_use_more_memory_than_the_limit_allows() {
    for is_awaited in [true, false] {
        let harness = Harness::new(RawSettings { max_waiting: Some(100), ..one_connection() }, &[]);
        let sent = harness.start("hanging");
        wait_until_idle().await;
        if !is_awaited {
            sent.give_up();
        }
        let abandoned = |token: String| {
            let waiter = harness.start(&token);
            waiter.give_up();
            Arc::downgrade(&waiter)
        };
        let alive = |waiters: &[Weak<Waiter>]| waiters.iter().filter(|each| each.strong_count() > 0).count();
        let of_many_tokens: Vec<_> = tokens(10_000).into_iter().map(abandoned).collect();
        assert!(alive(&of_many_tokens) <= 100, "{} waiters are still allocated", alive(&of_many_tokens));
        let of_one_token: Vec<_> = (0..10_000).map(|_| abandoned("the same".into())).collect();
        assert!(alive(&of_one_token) <= 100, "{} waiters are still allocated", alive(&of_one_token));
        harness.open_gate();
        wait_until_idle().await;
        assert_eq!(harness.statements().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn waiters_keep_their_order_while_thousands_of_others_give_up() {
    let harness = Harness::new(RawSettings { max_waiting: Some(100), ..one_connection() }, &["ada", "bob"]);
    harness.start("hanging");
    wait_until_idle().await;
    for (number, token) in tokens(1_000).iter().enumerate() {
        match number {
            150 | 450 => drop(harness.start("ada")),
            300 => drop(harness.start("bob")),
            _ => harness.start(token).give_up(),
        }
    }
    harness.open_gate();
    wait_until_idle().await;
    assert_eq!(harness.statements()[1..], [["ada", "bob"]]);
    let of = |token: &str| (token.to_owned(), Outcome::SignedIn);
    assert_eq!(harness.outcomes()[1..], [of("ada"), of("ada"), of("bob")]);
}
