//! How long one waits: each for himself, and a statement as a whole. `lookup_timeout_seconds` is 5.

use std::time::Duration;

use tokio::time::sleep;

use super::desk::{Desk, Said, one_connection, settle};

const LATE: &str = "no answer within 5 s (lookup_timeout_seconds)";

#[tokio::test(start_paused = true)]
async fn each_waiter_is_told_when_their_own_time_is_over() {
    let desk = Desk::new(one_connection(), &["ada"]);
    let waits = async |comes_after: u64| {
        sleep(Duration::from_secs(comes_after)).await;
        let said = desk.find("ada").await;
        assert!(said.is_unavailable(LATE), "{said:?}");
        desk.seconds().floor()
    };
    // The first is sent; the others share the look-up that waits behind it.
    let ended = tokio::join!(waits(0), waits(1), waits(2), waits(4));
    assert_eq!(ended, (5.0, 6.0, 7.0, 9.0));
}

#[tokio::test(start_paused = true)]
async fn who_shares_with_somebody_whose_time_is_over_goes_on_waiting() {
    let desk = Desk::new(one_connection(), &["ada", "bob"]);
    desk.ask("bob");
    sleep(Duration::from_secs(1)).await;
    desk.ask("ada");
    sleep(Duration::from_secs(3)).await;
    desk.ask("ada");
    // At 5 bob's statement is given up and ada's is sent, at 6 the first ada is told.
    sleep(Duration::from_millis(2500)).await;
    assert!(desk.told().iter().all(|(_, said)| said.is_unavailable(LATE)), "{:?}", desk.told());
    assert_eq!(desk.told().len(), 2);
    desk.open_gate();
    settle().await;
    assert_eq!(desk.told()[2..], [("ada".into(), Said::SignedIn)]);
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_takes_too_long_is_given_up_and_its_connection_asks_the_next() {
    let desk = Desk::new(one_connection(), &["ada", "bob"]);
    desk.ask("ada");
    sleep(Duration::from_millis(4990)).await;
    desk.ask("bob");
    settle().await;
    assert_eq!((desk.seen().given_up, desk.statements().len()), (0, 1));
    sleep(Duration::from_millis(20)).await;
    assert_eq!((desk.seen().given_up, desk.seen().under_way), (1, 1));
    assert_eq!(desk.statements(), [["ada"], ["bob"]]);
    desk.open_gate();
    settle().await;
    assert!(desk.told()[0].1.is_unavailable(LATE));
    assert_eq!(desk.told()[1], ("bob".into(), Said::SignedIn));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_the_time_is_over_is_told_to_nobody() {
    let desk = Desk::new(one_connection(), &["ada", "bob"]);
    desk.ask("bob");
    sleep(Duration::from_secs(4)).await;
    desk.ask("ada");
    // Ada's statement is sent at 5 and has until 10; she herself has until 9.
    sleep(Duration::from_millis(5500)).await;
    desk.open_gate();
    settle().await;
    assert_eq!(desk.seen().given_up, 1);
    assert_eq!(desk.told().len(), 2);
    assert!(desk.told().iter().all(|(_, said)| said.is_unavailable(LATE)), "{:?}", desk.told());
}

#[tokio::test(start_paused = true)]
async fn what_ended_in_time_does_not_end_again() {
    let desk = Desk::new(one_connection(), &["ada"]);
    desk.open_gate();
    for _ in 0..3 {
        desk.ask("ada");
        sleep(Duration::from_secs(2)).await;
    }
    sleep(Duration::from_secs(60)).await;
    assert_eq!(desk.told(), vec![("ada".into(), Said::SignedIn); 3]);
}

#[tokio::test(start_paused = true)]
async fn closing_leaves_nobody_waiting() {
    let desk = Desk::new(one_connection(), &["ada", "bob"]);
    desk.ask("ada");
    settle().await;
    desk.ask("bob");
    let desk = desk.closed();
    settle().await;
    assert_eq!(desk.told().len(), 2);
    assert!(desk.told().iter().all(|(_, said)| said.is_unavailable("closed")), "{:?}", desk.told());
    assert_eq!(desk.seen().given_up, 1);
}
