//! When the PostgreSQL store reads the catalog again, tested with a short interval.

use std::time::Duration;

use auth_middleware::identity::Ban;
use auth_middleware::store::LookupResult;
use auth_middleware::store::postgres::PostgresStore;

use super::contract::database;
use super::rows::{Rows, identity, postgresql_settings};

/// Rows of a store that reads the catalog again after `recheck`; None where there is no PostgreSQL.
async fn rows(recheck: Duration) -> Option<Rows> {
    let mut settings = postgresql_settings()?;
    settings.limits.pool_size = 1;
    let store = PostgresStore::new(&settings).expect("the settings are good").with_catalog_recheck(recheck);
    let rows = Rows::of_postgresql(store).await;
    rows.execute("ALTER TABLE \"user\" DROP COLUMN IF EXISTS banned").await;
    rows.insert(identity("token")).await;
    Some(rows)
}

async fn ban(rows: &Rows) -> Option<Ban> {
    let results = rows.find(&["token"]).await;
    let [LookupResult::Found(identity)] = &results[..] else { panic!("the session is there") };
    identity.user.ban
}

#[tokio::test]
async fn a_ban_column_that_is_added_later_is_read_after_the_next_catalog_check() {
    let _alone = database().lock().await;
    for (recheck, is_seen) in [(Duration::ZERO, true), (Duration::from_secs(3600), false)] {
        let Some(rows) = rows(recheck).await else { return };
        assert_eq!(ban(&rows).await, None);
        rows.execute("ALTER TABLE \"user\" ADD banned boolean; UPDATE \"user\" SET banned = true").await;
        assert_eq!(ban(&rows).await.is_some(), is_seen);
        rows.execute("ALTER TABLE \"user\" DROP COLUMN banned").await;
    }
}

/// Returns the number of named statements in the PostgreSQL session that looks up.
const TELLTALE: &str = "
    ALTER TABLE \"user\" RENAME TO stored_user;
    CREATE VIEW \"user\" AS
        SELECT id, (SELECT pg_catalog.count(*)::text FROM pg_catalog.pg_prepared_statements) AS name,
               email, email_verified, image, created_at, updated_at
        FROM stored_user";

#[tokio::test]
async fn an_unchanged_catalog_keeps_the_statement() {
    let _alone = database().lock().await;
    let Some(rows) = rows(Duration::ZERO).await else { return };
    rows.execute(TELLTALE).await;
    let mut named = Vec::new();
    for _ in 0..4 {
        let results = rows.find(&["token"]).await;
        let [LookupResult::Found(identity)] = &results[..] else { panic!("the session is there") };
        named.push(identity.user.name.clone().unwrap_or_default());
        // A change of other tables does not require another statement.
        rows.execute("ALTER TABLE stored_user ADD COLUMN IF NOT EXISTS hat_size int").await;
    }
    rows.execute("DROP VIEW \"user\"; ALTER TABLE stored_user RENAME TO \"user\"").await;
    assert_eq!(named, ["1", "1", "1", "1"]);
}

#[tokio::test]
async fn a_catalog_that_cannot_be_read_keeps_the_statement() {
    let _alone = database().lock().await;
    let Some(rows) = rows(Duration::ZERO).await else { return };
    assert_eq!(ban(&rows).await, None);
    // The catalog query fails for our role. The lookup does not need the function.
    rows.execute("ALTER FUNCTION pg_catalog.row_security_active(oid) RENAME TO row_security_gone").await;
    let result = ban(&rows).await;
    rows.execute("ALTER FUNCTION pg_catalog.row_security_gone(oid) RENAME TO row_security_active").await;
    assert_eq!(result, None);
}
