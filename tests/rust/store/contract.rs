//! The contract of [`Store`](auth_middleware::store::Store).

use std::sync::Arc;

use auth_middleware::identity::{Identity, UserId};
use auth_middleware::store::{LookupKey, LookupResult};
use chrono::DateTime;
use tokio::sync::Mutex;

use super::rows::{Rows, identity, signed};

/// The PostgreSQL tests share one database, so they run one after the other.
static DATABASE: Mutex<()> = Mutex::const_new(());

fn found(token: &str) -> LookupResult {
    LookupResult::Found(Arc::new(identity(token)))
}

fn found_user(token: &str) -> LookupResult {
    LookupResult::Found(Arc::new(Identity { session: None, ..identity(token) }))
}

fn user_key(token: &str) -> LookupKey {
    LookupKey::User(UserId::new(&format!("user of {token}")))
}

macro_rules! contract {
    ($($(#[$meta:meta])* async fn $name:ident($rows:ident) $body:block)+) => {$(
        $(#[$meta])*
        #[tokio::test]
        async fn $name() {
            let _alone = DATABASE.lock().await;
            for $rows in Rows::of_each_store().await $body
        }
    )+};
}

contract! {
    async fn a_session_has_every_field_of_its_rows(rows) {
        rows.insert(identity("token")).await;
        assert_eq!(rows.find(&["token"]).await, [found("token")]);
    }

    async fn null_is_none(rows) {
        let mut bare = identity("token");
        let session = bare.session.as_mut().expect("it has a session");
        (session.ip_address, session.user_agent, bare.user.image) = (None, None, None);
        rows.insert(bare.clone()).await;
        assert_eq!(rows.find(&["token"]).await, [LookupResult::Found(Arc::new(bare))]);
    }

    async fn a_token_without_a_row_has_no_session(rows) {
        rows.insert(identity("token")).await;
        assert_eq!(rows.find(&["another"]).await, [LookupResult::NoSession]);
    }

    async fn results_are_in_the_order_of_the_tokens(rows) {
        rows.insert(identity("a")).await;
        rows.insert(identity("another")).await;
        let results = rows.find(&["another", "missing", "a", "missing too"]).await;
        assert_eq!(results, [found("another"), LookupResult::NoSession, found("a"), LookupResult::NoSession]);
    }

    async fn a_token_may_be_given_twice(rows) {
        rows.insert(identity("token")).await;
        let results = rows.find(&["token", "missing", "token", "missing"]).await;
        assert_eq!(results, [found("token"), LookupResult::NoSession, found("token"), LookupResult::NoSession]);
    }

    async fn no_tokens_have_no_results(rows) {
        assert!(rows.find(&[]).await.is_empty());
    }

    async fn many_tokens_can_be_looked_up_at_once(rows) {
        let tokens: Vec<String> = (0..300).map(|number| format!("token {number}")).collect();
        for token in tokens.iter().step_by(3) {
            rows.insert(identity(token)).await;
        }
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        for (number, (token, result)) in tokens.iter().zip(rows.find(&tokens).await).enumerate() {
            let expected = if number % 3 == 0 { found(token) } else { LookupResult::NoSession };
            assert_eq!(result, expected, "{number}");
        }
    }

    async fn a_token_is_compared_exactly(rows) {
        rows.insert(identity("Token")).await;
        for other in ["token", "TOKEN", "Token ", " Token", "Toke", "Token%", "T_ken", "Tоken"] {
            assert_eq!(rows.find(&[other]).await, [LookupResult::NoSession], "{other:?}");
        }
        assert_eq!(rows.find(&["Token"]).await, [found("Token")]);
    }

    async fn a_token_may_contain_any_character(rows) {
        let tokens = ["'; DROP TABLE session; --", "{a,b}", "\"", "\\", "$1", "NULL", "✨", " ", "\u{a0}"];
        for token in tokens {
            rows.insert(identity(token)).await;
            assert_eq!(rows.find(&[token, "missing"]).await, [found(token), LookupResult::NoSession], "{token:?}");
        }
    }

    async fn an_expired_session_is_found(rows) {
        let mut expired = identity("token");
        expired.session.as_mut().expect("it has a session").expires_at = DateTime::UNIX_EPOCH;
        rows.insert(expired.clone()).await;
        assert_eq!(rows.find(&["token"]).await, [LookupResult::Found(Arc::new(expired))]);
    }

    async fn a_session_that_ends_is_not_found_again(rows) {
        rows.insert(identity("a")).await;
        rows.insert(identity("another")).await;
        rows.remove_session("a").await;
        assert_eq!(rows.find(&["a", "another"]).await, [LookupResult::NoSession, found("another")]);
    }

    async fn a_user_is_found_by_id_without_a_session(rows) {
        rows.insert(identity("a")).await;
        rows.insert(identity("another")).await;
        let results = rows.find_keys(&[user_key("a"), user_key("missing"), user_key("another"), user_key("a")]).await;
        assert_eq!(results, [found_user("a"), LookupResult::NoUser, found_user("another"), found_user("a")]);
        assert_eq!(rows.find_keys(&[user_key("a")]).await, [found_user("a")]);
        rows.remove_session("a").await;
        assert_eq!(rows.find_keys(&[user_key("a")]).await, [found_user("a")]);
        rows.remove_user("user of a").await;
        assert_eq!(rows.find_keys(&[user_key("a")]).await, [LookupResult::NoUser]);
    }

    async fn a_users_id_is_compared_exactly(rows) {
        rows.insert(identity("Token")).await;
        for other in ["token", "TOKEN", "Token ", "Toke", "Token%", "T_ken", "'; DROP TABLE session; --"] {
            assert_eq!(rows.find_keys(&[user_key(other)]).await, [LookupResult::NoUser], "{other:?}");
        }
    }

    async fn sessions_and_users_may_share_a_batch(rows) {
        rows.insert(identity("a")).await;
        rows.insert(identity("another")).await;
        // A token that reads as the id of a user is still a token.
        let like_an_id = LookupKey::from(signed("user of a"));
        let keys = [user_key("another"), signed("a").into(), like_an_id, user_key("a"), signed("missing").into()];
        let expected =
            [found_user("another"), found("a"), LookupResult::NoSession, found_user("a"), LookupResult::NoSession];
        assert_eq!(rows.find_keys(&keys).await, expected);
    }

    async fn a_session_whose_user_is_gone_has_no_user(rows) {
        rows.insert(identity("a")).await;
        rows.insert(identity("another")).await;
        rows.remove_user("user of a").await;
        assert_eq!(rows.find(&["a", "another"]).await, [LookupResult::NoUser, found("another")]);
    }
}

pub(crate) fn database() -> &'static Mutex<()> {
    &DATABASE
}
