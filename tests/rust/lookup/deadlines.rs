//! How long one waits: each for himself, and a statement as a whole. `lookup_timeout_seconds` is 5.

use std::time::Duration;

use tokio::time::sleep;

use super::harness::{Harness, Said, one_connection, settle};

const LATE: &str = "no answer within 5 s (lookup_timeout_seconds)";

#[tokio::test(start_paused = true)]
async fn each_waiter_is_told_when_their_own_time_is_over() {
    let harness = Harness::new(one_connection(), &["ada"]);
    let waits = async |comes_after: u64| {
        sleep(Duration::from_secs(comes_after)).await;
        let said = harness.find("ada").await;
        assert!(said.is_unavailable(LATE), "{said:?}");
        harness.seconds().floor()
    };
    // The first is sent; the others share the look-up that waits behind it.
    let ended = tokio::join!(waits(0), waits(1), waits(2), waits(4));
    assert_eq!(ended, (5.0, 6.0, 7.0, 9.0));
}

#[tokio::test(start_paused = true)]
async fn who_shares_with_somebody_whose_time_is_over_goes_on_waiting() {
    let harness = Harness::new(one_connection(), &["ada", "bob"]);
    harness.ask("bob");
    sleep(Duration::from_secs(1)).await;
    harness.ask("ada");
    sleep(Duration::from_secs(3)).await;
    harness.ask("ada");
    // At 5 bob's statement is given up and ada's is sent, at 6 the first ada is told.
    sleep(Duration::from_millis(2500)).await;
    assert!(harness.told().iter().all(|(_, said)| said.is_unavailable(LATE)), "{:?}", harness.told());
    assert_eq!(harness.told().len(), 2);
    harness.open_gate();
    settle().await;
    assert_eq!(harness.told()[2..], [("ada".into(), Said::SignedIn)]);
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_takes_too_long_is_given_up_and_its_connection_asks_the_next() {
    let harness = Harness::new(one_connection(), &["ada", "bob"]);
    harness.ask("ada");
    sleep(Duration::from_millis(4990)).await;
    harness.ask("bob");
    settle().await;
    assert_eq!((harness.seen().given_up, harness.statements().len()), (0, 1));
    sleep(Duration::from_millis(20)).await;
    assert_eq!((harness.seen().given_up, harness.seen().under_way), (1, 1));
    assert_eq!(harness.statements(), [["ada"], ["bob"]]);
    harness.open_gate();
    settle().await;
    assert!(harness.told()[0].1.is_unavailable(LATE));
    assert_eq!(harness.told()[1], ("bob".into(), Said::SignedIn));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_the_time_is_over_is_told_to_nobody() {
    let harness = Harness::new(one_connection(), &["ada", "bob"]);
    harness.ask("bob");
    sleep(Duration::from_secs(4)).await;
    harness.ask("ada");
    // Ada's statement is sent at 5 and has until 10; she herself has until 9.
    sleep(Duration::from_millis(5500)).await;
    harness.open_gate();
    settle().await;
    assert_eq!(harness.seen().given_up, 1);
    assert_eq!(harness.told().len(), 2);
    assert!(harness.told().iter().all(|(_, said)| said.is_unavailable(LATE)), "{:?}", harness.told());
}

#[tokio::test(start_paused = true)]
async fn what_ended_in_time_does_not_end_again() {
    let harness = Harness::new(one_connection(), &["ada"]);
    harness.open_gate();
    for _ in 0..3 {
        harness.ask("ada");
        sleep(Duration::from_secs(2)).await;
    }
    sleep(Duration::from_secs(60)).await;
    assert_eq!(harness.told(), vec![("ada".into(), Said::SignedIn); 3]);
}

#[tokio::test(start_paused = true)]
async fn closing_leaves_nobody_waiting() {
    let harness = Harness::new(one_connection(), &["ada", "bob"]);
    harness.ask("ada");
    settle().await;
    harness.ask("bob");
    let harness = harness.closed();
    settle().await;
    assert_eq!(harness.told().len(), 2);
    assert!(harness.told().iter().all(|(_, said)| said.is_unavailable("closed")), "{:?}", harness.told());
    assert_eq!(harness.seen().given_up, 1);
}
