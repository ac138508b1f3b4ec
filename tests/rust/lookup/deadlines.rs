//! Timeouts of waiters and of statements. `lookup_timeout_seconds` is 5.

use std::time::Duration;

use tokio::time::sleep;

use super::harness::{Harness, Outcome, one_connection, wait_until_idle};

const LATE: &str = "no answer within 5 s (lookup_timeout_seconds)";

#[tokio::test(start_paused = true)]
async fn each_waiter_times_out_on_its_own() {
    let harness = Harness::new(one_connection(), &["ada"]);
    let waits = async |delay: u64| {
        sleep(Duration::from_secs(delay)).await;
        let outcome = harness.find("ada").await;
        assert!(outcome.is_unavailable(LATE), "{outcome:?}");
        harness.elapsed_seconds().floor()
    };
    // The first lookup is sent; the others share the next one.
    let ended = tokio::join!(waits(0), waits(1), waits(2), waits(4));
    assert_eq!(ended, (5.0, 6.0, 7.0, 9.0));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_does_not_affect_other_waiters_of_the_same_lookup() {
    let harness = Harness::new(one_connection(), &["ada", "bob"]);
    harness.start("bob");
    sleep(Duration::from_secs(1)).await;
    harness.start("ada");
    sleep(Duration::from_secs(3)).await;
    harness.start("ada");
    // At 5 s, Bob's statement is abandoned and Ada's is sent. At 6 s, the first waiter for Ada times out.
    sleep(Duration::from_millis(2500)).await;
    assert!(
        harness.outcomes().iter().all(|(_, outcome)| outcome.is_unavailable(LATE)),
        "{:?}",
        harness.outcomes()
    );
    assert_eq!(harness.outcomes().len(), 2);
    harness.open_gate();
    wait_until_idle().await;
    assert_eq!(harness.outcomes()[2..], [("ada".into(), Outcome::SignedIn)]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_statement_is_abandoned_and_its_connection_sends_the_next_one() {
    let harness = Harness::new(one_connection(), &["ada", "bob"]);
    harness.start("ada");
    sleep(Duration::from_millis(4990)).await;
    harness.start("bob");
    wait_until_idle().await;
    assert_eq!((harness.store_log().abandoned, harness.statements().len()), (0, 1));
    sleep(Duration::from_millis(20)).await;
    assert_eq!((harness.store_log().abandoned, harness.store_log().in_progress), (1, 1));
    assert_eq!(harness.statements(), [["ada"], ["bob"]]);
    harness.open_gate();
    wait_until_idle().await;
    assert!(harness.outcomes()[0].1.is_unavailable(LATE));
    assert_eq!(harness.outcomes()[1], ("bob".into(), Outcome::SignedIn));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_joins_when_no_other_waits_has_its_own_timeout() {
    let harness = Harness::new(one_connection(), &[]);
    harness.start("ada");
    sleep(Duration::from_secs(4)).await;
    harness.start("bob");
    sleep(Duration::from_millis(5_500)).await;
    // Bob's statement was sent at 5 s and times out at 10 s. His waiter timed out at 9 s.
    assert_eq!(harness.outcomes().len(), 2);
    harness.start("cleo");
    sleep(Duration::from_millis(4_900)).await;
    assert_eq!(harness.outcomes().len(), 2);
    // Cleo's statement, sent at 10 s, times out at 15 s.
    sleep(Duration::from_millis(200)).await;
    assert_eq!(harness.outcomes().len(), 3);
    assert!(harness.outcomes().iter().all(|(_, outcome)| outcome.is_unavailable(LATE)));
}

#[tokio::test(start_paused = true)]
async fn a_result_after_the_timeout_is_ignored() {
    let harness = Harness::new(one_connection(), &["ada", "bob"]);
    harness.start("bob");
    sleep(Duration::from_secs(4)).await;
    harness.start("ada");
    // Ada's statement is sent at 5 s and times out at 10 s. Her waiter times out at 9 s.
    sleep(Duration::from_millis(5500)).await;
    harness.open_gate();
    wait_until_idle().await;
    assert_eq!(harness.store_log().abandoned, 1);
    assert_eq!(harness.outcomes().len(), 2);
    assert!(
        harness.outcomes().iter().all(|(_, outcome)| outcome.is_unavailable(LATE)),
        "{:?}",
        harness.outcomes()
    );
}

#[tokio::test(start_paused = true)]
async fn a_finished_lookup_does_not_time_out_later() {
    let harness = Harness::new(one_connection(), &["ada"]);
    harness.open_gate();
    for _ in 0..3 {
        harness.start("ada");
        sleep(Duration::from_secs(2)).await;
    }
    sleep(Duration::from_secs(60)).await;
    assert_eq!(harness.outcomes(), vec![("ada".into(), Outcome::SignedIn); 3]);
}

#[tokio::test(start_paused = true)]
async fn closing_resolves_all_waiters() {
    let harness = Harness::new(one_connection(), &["ada", "bob"]);
    harness.start("ada");
    wait_until_idle().await;
    harness.start("bob");
    let harness = harness.closed();
    assert_eq!(harness.outcomes().len(), 1, "a lookup that was not sent ends before any task runs");
    assert_eq!(harness.outcomes()[0].0, "bob");
    wait_until_idle().await;
    assert_eq!(harness.outcomes().len(), 2);
    assert!(
        harness.outcomes().iter().all(|(_, outcome)| outcome.is_unavailable("closed")),
        "{:?}",
        harness.outcomes()
    );
    assert_eq!(harness.store_log().abandoned, 1);
}
