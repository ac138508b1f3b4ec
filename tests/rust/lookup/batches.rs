//! Who is asked for together, in which order, and what one may share with another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use auth_middleware::settings::RawSettings;
use tokio::task::JoinSet;

use super::harness::{Harness, Said, crowd, one_connection, settle};

#[tokio::test(start_paused = true)]
async fn a_lone_request_is_asked_for_at_once_and_no_timer_holds_it() {
    let harness = Harness::new(one_connection(), &["ada"]);
    harness.open_gate();
    let before = harness.seconds();
    assert_eq!(harness.find("ada").await, Said::SignedIn);
    assert!(harness.seconds() <= before, "somebody waited for the clock: {} s", harness.seconds());
    assert_eq!(harness.statements(), [["ada"]]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_a_look_up_is_under_way_is_one_statement() {
    let harness = Harness::new(one_connection(), &["ada"]);
    harness.ask("ada");
    settle().await;
    let crowd = crowd(64);
    for token in &crowd {
        harness.ask(token);
    }
    settle().await;
    assert_eq!(harness.statements(), [["ada"]], "one connection asks one statement at a time");
    harness.open_gate();
    settle().await;
    assert_eq!(harness.statements()[1..], [crowd]);
    assert_eq!(harness.told().len(), 65);
}

#[tokio::test(start_paused = true)]
async fn a_statement_asks_for_64_tokens_and_those_who_came_first_are_served_first() {
    let harness = Harness::new(one_connection(), &[]);
    harness.open_gate();
    let crowd = crowd(200);
    for token in &crowd {
        harness.ask(token);
    }
    settle().await;
    let asked: Vec<usize> = harness.statements().iter().map(Vec::len).collect();
    assert_eq!(asked, [64, 64, 64, 8]);
    assert_eq!(harness.statements().concat(), crowd);
    assert_eq!(harness.told().into_iter().map(|(token, _)| token).collect::<Vec<_>>(), crowd);
}

#[tokio::test(start_paused = true)]
async fn as_many_statements_are_under_way_as_there_are_connections() {
    for pool_size in [1, 2, 3] {
        let settings = RawSettings { pool_size: Some(pool_size), ..RawSettings::default() };
        let harness = Harness::new(settings, &[]);
        for token in crowd(5) {
            harness.ask(&token);
            settle().await;
        }
        assert_eq!(i64::try_from(harness.seen().under_way), Ok(pool_size));
        harness.open_gate();
        settle().await;
        assert_eq!(i64::try_from(harness.seen().most_under_way), Ok(pool_size));
        assert_eq!(harness.told().len(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_request_is_sent_though_more_could_gather() {
    let harness = Harness::new(one_connection(), &["ada"]);
    assert!(!harness.gather("ada"));
    settle().await;
    assert_eq!(harness.statements(), [["ada"]]);
}

#[tokio::test(start_paused = true)]
async fn those_who_gather_behind_a_look_up_are_sent_to_every_free_connection_once_nobody_else_comes() {
    let settings = RawSettings { pool_size: Some(3), ..RawSettings::default() };
    let harness = Harness::new(settings, &[]);
    harness.ask("somebody");
    settle().await;
    let crowd = crowd(100);
    assert!(crowd.iter().all(|token| harness.gather(token)));
    settle().await;
    assert_eq!(harness.statements().len(), 1, "they gather until somebody says that it is over");
    harness.lookup.send();
    settle().await;
    assert_eq!(harness.statements()[1..], [&crowd[..64], &crowd[64..]]);
    assert_eq!(harness.seen().under_way, 3);
}

#[tokio::test(start_paused = true)]
async fn those_who_gather_are_sent_when_the_look_up_before_them_ends_whatever_else_is_said() {
    let settings = RawSettings { pool_size: Some(2), ..RawSettings::default() };
    let harness = Harness::new(settings, &[]);
    harness.ask("somebody");
    settle().await;
    assert!(harness.gather("ada"));
    assert!(harness.gather("bob"));
    harness.let_through(1);
    settle().await;
    assert_eq!(harness.statements()[1..], [["ada", "bob"]]);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_one_token_share_its_place_and_are_all_told() {
    let harness = Harness::new(one_connection(), &["ada"]);
    harness.ask("somebody");
    settle().await;
    for _ in 0..10 {
        harness.ask("ada");
        harness.ask("nobody");
    }
    harness.open_gate();
    settle().await;
    assert_eq!(harness.statements()[1..], [["ada", "nobody"]]);
    let told = harness.told();
    assert_eq!(told.iter().filter(|(token, said)| token == "ada" && *said == Said::SignedIn).count(), 10);
    assert_eq!(told.iter().filter(|(token, said)| token == "nobody" && *said == Said::Nobody).count(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_was_sent_is_shared_with_nobody_who_comes_later() {
    for pool_size in [1, 2] {
        let settings = RawSettings { pool_size: Some(pool_size), ..RawSettings::default() };
        let mut harness = Harness::new(settings, &["ada"]);
        harness.ask("ada");
        settle().await;
        harness.sign_out("ada");
        harness.ask("ada");
        harness.ask("ada");
        settle().await;
        assert_eq!(harness.told(), [], "held open across the sign-out");
        harness.open_gate();
        settle().await;
        let said: Vec<Said> = harness.told().into_iter().map(|(_, said)| said).collect();
        assert_eq!(said, [Said::SignedIn, Said::Nobody, Said::Nobody]);
        assert_eq!(harness.statements(), [["ada"], ["ada"]]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_to_those_who_were_asked_for_together_and_to_no_other() {
    let harness = Harness::new(one_connection(), &["ada", "bob", "cleo"]);
    harness.ask("ada");
    settle().await;
    harness.ask("bob");
    harness.ask("cleo");
    harness.let_through(1);
    settle().await;
    harness.fail(true);
    harness.let_through(1);
    settle().await;
    harness.fail(false);
    harness.open_gate();
    assert_eq!(harness.find("bob").await, Said::SignedIn);
    let told = harness.told();
    assert_eq!(told[0], ("ada".into(), Said::SignedIn));
    assert!(told[1..].iter().all(|(_, said)| said.is_unavailable("the store failed")), "{told:?}");
    assert_eq!(told.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_which_the_store_says_nothing_is_unavailable_and_not_nobodys() {
    let harness = Harness::new(one_connection(), &["ada", "bob"]);
    harness.leave_out(1);
    harness.open_gate();
    harness.ask("ada");
    harness.ask("bob");
    settle().await;
    let told = harness.told();
    assert_eq!(told[0], ("ada".into(), Said::SignedIn));
    assert!(matches!(&told[1], (token, Said::Unavailable(_)) if token == "bob"), "{told:?}");
}

/// Everybody asks again as soon as they are told, three times as many as fit into a statement.
#[tokio::test(start_paused = true)]
async fn under_overload_nobody_is_served_again_before_those_who_wait() {
    const ROUNDS: usize = 30;
    let harness = Arc::new(Harness::taking(Duration::from_millis(1), one_connection(), &[]));
    harness.open_gate();
    let clients = crowd(200);
    let mut asking = JoinSet::new();
    for token in clients.clone() {
        let harness = Arc::clone(&harness);
        asking.spawn(async move {
            for _ in 0..ROUNDS {
                assert_eq!(harness.find(&token).await, Said::Nobody);
            }
        });
    }
    asking.join_all().await;
    let mut served: HashMap<String, usize> = clients.into_iter().map(|token| (token, 0)).collect();
    for token in harness.statements().concat() {
        let least = served.values().min().copied().unwrap_or_default();
        let times = served.entry(token).or_default();
        assert_eq!(*times, least, "somebody is served again while another waits");
        *times += 1;
    }
    assert!(served.values().all(|times| *times == ROUNDS));
}
