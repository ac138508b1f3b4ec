//! Lookups while the store is down.

use std::time::Duration;

use auth_middleware::settings::RawSettings;
use tokio::time::sleep;

use super::harness::{Harness, Outcome, one_connection, tokens, wait_until_idle};

const DOWN: &str = "it is down, so nothing is sent to it until it responds again: connection refused";

#[tokio::test(start_paused = true)]
async fn lookups_are_refused_without_a_statement_until_a_probe_succeeds() {
    let harness = Harness::new(one_connection(), &["ada"]);
    harness.open_gate();
    assert_eq!(harness.find("ada").await, Outcome::SignedIn);
    harness.set_down(true);
    assert!(harness.find("ada").await.is_unavailable("connection refused"));
    wait_until_idle().await;
    let statements = harness.statements().len();
    for _ in 0..256 {
        let outcome = harness.find("ada").await;
        assert!(outcome.is_unavailable(DOWN), "{outcome:?}");
    }
    assert_eq!(harness.statements().len(), statements);
    harness.set_down(false);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(harness.find("ada").await, Outcome::SignedIn);
}

#[tokio::test(start_paused = true)]
async fn lookups_that_wait_are_refused_when_the_store_is_found_to_be_down() {
    let harness = Harness::new(one_connection(), &["ada"]);
    harness.start("ada");
    wait_until_idle().await;
    for token in tokens(100) {
        harness.start(&token);
    }
    harness.set_down(true);
    // The first statement fails. The next one, with 64 tokens, is sent before the probe has found why.
    harness.release(1);
    wait_until_idle().await;
    let outcomes = harness.outcomes();
    assert_eq!(outcomes.len(), 1 + 100 - 64);
    assert!(outcomes[1..].iter().all(|(_, outcome)| outcome.is_unavailable(DOWN)), "{outcomes:?}");
    // The store responds to the statement that was under way, before any probe.
    harness.set_down(false);
    harness.release(1);
    wait_until_idle().await;
    assert_eq!(harness.outcomes().len(), 101);
    harness.open_gate();
    assert_eq!(harness.find("ada").await, Outcome::SignedIn);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_server_to_a_statement_that_was_under_way_ends_the_outage() {
    let settings = RawSettings { pool_size: Some(2), ..RawSettings::default() };
    let harness = Harness::new(settings, &["ada"]);
    for token in ["first", "second"] {
        harness.start(token);
        wait_until_idle().await;
    }
    assert_eq!(harness.statements(), [["first"], ["second"]]);
    harness.set_down(true);
    harness.release(1);
    wait_until_idle().await;
    assert!(harness.find("ada").await.is_unavailable(DOWN));
    harness.set_down(false);
    harness.set_failing(true);
    harness.release(1);
    wait_until_idle().await;
    harness.set_failing(false);
    harness.open_gate();
    assert_eq!(harness.find("ada").await, Outcome::SignedIn);
}

#[tokio::test(start_paused = true)]
async fn errors_that_are_not_of_the_connection_are_no_outage() {
    let harness = Harness::new(one_connection(), &["ada"]);
    harness.open_gate();
    harness.set_failing(true);
    for _ in 0..10 {
        assert!(harness.find("ada").await.is_unavailable("the store failed"));
    }
    assert_eq!(harness.statements().len(), 10);
    harness.set_failing(false);
    assert_eq!(harness.find("ada").await, Outcome::SignedIn);
}

#[tokio::test(start_paused = true)]
async fn time_outs_of_statements_are_no_outage_where_the_store_responds() {
    let harness = Harness::new(one_connection(), &["ada"]);
    for _ in 0..5 {
        assert!(harness.find("ada").await.is_unavailable("no answer within 5 s"));
    }
    assert_eq!(harness.statements().len(), 5);
    harness.open_gate();
    assert_eq!(harness.find("ada").await, Outcome::SignedIn);
}
