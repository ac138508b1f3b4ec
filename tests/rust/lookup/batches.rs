//! Which lookups share a statement, in which order they are sent, and which results are shared.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use auth_middleware::settings::RawSettings;
use tokio::task::JoinSet;

use super::harness::{Harness, Outcome, one_connection, signed, tokens, wait_until_idle};

#[tokio::test(start_paused = true)]
async fn a_single_lookup_is_sent_at_once_without_a_timer() {
    let harness = Harness::new(one_connection(), &["ada"]);
    harness.open_gate();
    let before = harness.elapsed_seconds();
    assert_eq!(harness.find("ada").await, Outcome::SignedIn);
    assert!(
        harness.elapsed_seconds() <= before,
        "something waited for a timer: {} s",
        harness.elapsed_seconds()
    );
    assert_eq!(harness.statements(), [["ada"]]);
}

#[tokio::test(start_paused = true)]
async fn several_keys_share_a_statement_and_have_their_outcomes_in_their_order() {
    let harness = Harness::new(one_connection(), &["ada", "cleo"]);
    harness.open_gate();
    let found = harness.lookup.find_all(&["cleo", "bob", "ada", "bob"].map(signed)).await;
    let outcomes: Vec<Outcome> = found.into_iter().map(Outcome::of).collect();
    assert_eq!(outcomes, [Outcome::SignedIn, Outcome::NoSession, Outcome::SignedIn, Outcome::NoSession]);
    assert_eq!(harness.statements(), [["cleo", "bob", "ada"]]);
    assert!(harness.lookup.find_all(&[]).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn lookups_that_arrive_during_a_statement_share_the_next_one() {
    let harness = Harness::new(one_connection(), &["ada"]);
    harness.start("ada");
    wait_until_idle().await;
    let tokens = tokens(64);
    for token in &tokens {
        harness.start(token);
    }
    wait_until_idle().await;
    assert_eq!(harness.statements(), [["ada"]], "one connection runs one statement at a time");
    harness.open_gate();
    wait_until_idle().await;
    assert_eq!(harness.statements()[1..], [tokens]);
    assert_eq!(harness.outcomes().len(), 65);
}

#[tokio::test(start_paused = true)]
async fn a_statement_has_at_most_64_tokens_in_order_of_arrival() {
    let harness = Harness::new(one_connection(), &[]);
    harness.open_gate();
    let tokens = tokens(200);
    for token in &tokens {
        harness.start(token);
    }
    wait_until_idle().await;
    let sizes: Vec<usize> = harness.statements().iter().map(Vec::len).collect();
    assert_eq!(sizes, [64, 64, 64, 8]);
    assert_eq!(harness.statements().concat(), tokens);
    assert_eq!(harness.outcomes().into_iter().map(|(token, _)| token).collect::<Vec<_>>(), tokens);
}

#[tokio::test(start_paused = true)]
async fn there_are_as_many_concurrent_statements_as_connections() {
    for pool_size in [1, 2, 3] {
        let settings = RawSettings { pool_size: Some(pool_size), ..RawSettings::default() };
        let harness = Harness::new(settings, &[]);
        for token in tokens(5) {
            harness.start(&token);
            wait_until_idle().await;
        }
        assert_eq!(i64::try_from(harness.store_log().in_progress), Ok(pool_size));
        harness.open_gate();
        wait_until_idle().await;
        assert_eq!(i64::try_from(harness.store_log().most_in_progress), Ok(pool_size));
        assert_eq!(harness.outcomes().len(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_gathered_lookup_is_sent_at_once() {
    let harness = Harness::new(one_connection(), &["ada"]);
    for statements in 1..=3 {
        assert!(!harness.gather("ada"));
        wait_until_idle().await;
        assert_eq!(harness.statements(), vec![["ada"]; statements]);
        harness.release(1);
        wait_until_idle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn gathered_lookups_use_every_free_connection_once_gathering_ends() {
    let settings = RawSettings { pool_size: Some(3), ..RawSettings::default() };
    let harness = Harness::new(settings, &[]);
    harness.start("first");
    wait_until_idle().await;
    let tokens = tokens(100);
    assert!(tokens.iter().all(|token| harness.gather(token)));
    wait_until_idle().await;
    assert_eq!(harness.statements().len(), 1, "they are gathered until `send` is called");
    harness.lookup.send();
    wait_until_idle().await;
    assert_eq!(harness.statements()[1..], [&tokens[..64], &tokens[64..]]);
    assert_eq!(harness.store_log().in_progress, 3);
}

#[tokio::test(start_paused = true)]
async fn gathered_lookups_are_sent_when_the_statement_before_them_ends() {
    let settings = RawSettings { pool_size: Some(2), ..RawSettings::default() };
    let harness = Harness::new(settings, &[]);
    harness.start("first");
    wait_until_idle().await;
    assert!(harness.gather("ada"));
    assert!(harness.gather("bob"));
    harness.release(1);
    wait_until_idle().await;
    assert_eq!(harness.statements()[1..], [["ada", "bob"]]);
}

#[tokio::test(start_paused = true)]
async fn lookups_of_the_same_token_share_a_slot_and_all_get_the_result() {
    let harness = Harness::new(one_connection(), &["ada"]);
    harness.start("first");
    wait_until_idle().await;
    for _ in 0..10 {
        harness.start("ada");
        harness.start("unknown");
    }
    harness.open_gate();
    wait_until_idle().await;
    assert_eq!(harness.statements()[1..], [["ada", "unknown"]]);
    let outcomes = harness.outcomes();
    assert_eq!(
        outcomes.iter().filter(|(token, outcome)| token == "ada" && *outcome == Outcome::SignedIn).count(),
        10
    );
    assert_eq!(
        outcomes
            .iter()
            .filter(|(token, outcome)| token == "unknown" && *outcome == Outcome::NoSession)
            .count(),
        10
    );
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_was_sent_is_not_shared_with_later_requests() {
    for pool_size in [1, 2] {
        let settings = RawSettings { pool_size: Some(pool_size), ..RawSettings::default() };
        let mut harness = Harness::new(settings, &["ada"]);
        harness.start("ada");
        wait_until_idle().await;
        harness.sign_out("ada");
        harness.start("ada");
        harness.start("ada");
        wait_until_idle().await;
        assert_eq!(harness.outcomes(), [], "the statement is still running after the sign-out");
        harness.open_gate();
        wait_until_idle().await;
        let outcome: Vec<Outcome> = harness.outcomes().into_iter().map(|(_, outcome)| outcome).collect();
        assert_eq!(outcome, [Outcome::SignedIn, Outcome::NoSession, Outcome::NoSession]);
        assert_eq!(harness.statements(), [["ada"], ["ada"]]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_statement_fails_its_own_lookups_only() {
    let harness = Harness::new(one_connection(), &["ada", "bob", "cleo"]);
    harness.start("ada");
    wait_until_idle().await;
    harness.start("bob");
    harness.start("cleo");
    harness.release(1);
    wait_until_idle().await;
    harness.set_failing(true);
    harness.release(1);
    wait_until_idle().await;
    harness.set_failing(false);
    harness.open_gate();
    assert_eq!(harness.find("bob").await, Outcome::SignedIn);
    let outcomes = harness.outcomes();
    assert_eq!(outcomes[0], ("ada".into(), Outcome::SignedIn));
    assert!(
        outcomes[1..].iter().all(|(_, outcome)| outcome.is_unavailable("the store failed")),
        "{outcomes:?}"
    );
    assert_eq!(outcomes.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_token_without_a_result_is_unavailable_and_not_signed_out() {
    let harness = Harness::new(one_connection(), &["ada", "bob"]);
    harness.omit_results(1);
    harness.open_gate();
    harness.start("ada");
    harness.start("bob");
    wait_until_idle().await;
    let outcomes = harness.outcomes();
    assert_eq!(outcomes[0], ("ada".into(), Outcome::SignedIn));
    assert!(matches!(&outcomes[1], (token, Outcome::Unavailable(_)) if token == "bob"), "{outcomes:?}");
}

/// 200 clients repeat their lookup as soon as it finishes, three times as many as fit into a statement.
#[tokio::test(start_paused = true)]
async fn under_overload_lookups_are_served_in_order_of_arrival() {
    const ROUNDS: usize = 30;
    let harness = Arc::new(Harness::with_latency(Duration::from_millis(1), one_connection(), &[]));
    harness.open_gate();
    let clients = tokens(200);
    let mut running = JoinSet::new();
    for token in clients.clone() {
        let harness = Arc::clone(&harness);
        running.spawn(async move {
            for _ in 0..ROUNDS {
                assert_eq!(harness.find(&token).await, Outcome::NoSession);
            }
        });
    }
    running.join_all().await;
    let mut served: HashMap<String, usize> = clients.into_iter().map(|token| (token, 0)).collect();
    for token in harness.statements().concat() {
        let least = served.values().min().copied().unwrap_or_default();
        let times = served.entry(token).or_default();
        assert_eq!(*times, least, "a client was served twice while another waited");
        *times += 1;
    }
    assert!(served.values().all(|times| *times == ROUNDS));
}
