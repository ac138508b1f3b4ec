//! How the PostgreSQL store finds the public keys.

use auth_middleware::error::Error;
use auth_middleware::settings::Table;
use auth_middleware::store::KeyStore as _;
use auth_middleware::store::postgres::PostgresStore;

use super::contract::database;
use super::rows::{Rows, postgresql_settings};

/// The ids of the keys that are found after `sql` with these settings for the three tables. `undo` reverts `sql`.
async fn keys(sql: &str, undo: &str, tables: [Table; 3]) -> Option<Result<Vec<String>, String>> {
    let mut settings = postgresql_settings()?;
    [settings.tables.user, settings.tables.session, settings.tables.jwks] = tables;
    let new = || PostgresStore::new(&settings).expect("the settings are good");
    let rows = Rows::of_postgresql(new()).await;
    rows.execute(sql).await;
    let found = new().public_keys().await;
    rows.execute(undo).await;
    let ids =
        |keys: Vec<_>| keys.into_iter().map(|key: auth_middleware::store::PublicKeyRow| key.id).collect();
    Some(found.map(ids).map_err(|error: Error| error.to_string()))
}

fn named(name: &str) -> Table {
    Table { name: Some(name.into()), ..Table::default() }
}

fn table(name: &str) -> String {
    format!(
        "CREATE TABLE {name} (id text, \"publicKey\" text); INSERT INTO {name} VALUES ('{name}', '{{}}');"
    )
}

const PREFIXED: &str =
    "ALTER TABLE \"user\" RENAME TO auth_user; ALTER TABLE session RENAME TO auth_session;";
const UNDO_PREFIXED: &str = "DROP TABLE auth_jwks; ALTER TABLE auth_user RENAME TO \"user\"; ALTER TABLE auth_session RENAME TO session";

#[tokio::test]
async fn the_usual_table_is_found() {
    let _alone = database().lock().await;
    let Some(found) = keys(&table("jwks"), "DROP TABLE jwks", Default::default()).await else { return };
    assert_eq!(found, Ok(vec!["jwks".to_owned()]));
}

#[tokio::test]
async fn a_table_with_the_user_tables_prefix_is_found() {
    let _alone = database().lock().await;
    let sql = format!("{PREFIXED} {}", table("auth_jwks"));
    let tables = [named("auth_user"), named("auth_session"), Table::default()];
    let Some(found) = keys(&sql, UNDO_PREFIXED, tables).await else { return };
    assert_eq!(found, Ok(vec!["auth_jwks".to_owned()]));
}

#[tokio::test]
async fn a_table_with_another_prefix_is_not_used() {
    let _alone = database().lock().await;
    let Some(found) = keys(&table("other_jwks"), "DROP TABLE other_jwks", Default::default()).await else {
        return;
    };
    let problem = found.expect_err("there is no such table");
    assert!(problem.contains("no table jwks or jwkss in schema \"public\""), "{problem}");
    assert!(problem.contains("AUTH_MIDDLEWARE_JWKS_TABLE"), "{problem}");
}

#[tokio::test]
async fn a_renamed_table_and_column_are_found_by_their_settings() {
    let _alone = database().lock().await;
    let sql = format!("{} ALTER TABLE keys RENAME \"publicKey\" TO jwk;", table("keys"));
    let columns = [("public_key".to_owned(), "jwk".to_owned())].into();
    let tables = [Table::default(), Table::default(), Table { columns, ..named("keys") }];
    let Some(found) = keys(&sql, "DROP TABLE keys", tables).await else { return };
    assert_eq!(found, Ok(vec!["keys".to_owned()]));
}

#[tokio::test]
async fn a_table_of_another_owner_is_refused_whatever_the_setting() {
    let _alone = database().lock().await;
    let sql = format!("{} ALTER TABLE jwks OWNER TO pg_monitor;", table("jwks"));
    for setting in [Table::default(), named("jwks")] {
        let tables = [named("user"), named("session"), setting];
        let Some(found) = keys(&sql, "DROP TABLE jwks", tables).await else { return };
        let problem = found.expect_err("it is another role's");
        assert!(problem.contains("\"public\".\"jwks\" (owner \"pg_monitor\")"), "{problem}");
        assert!(problem.contains("different owners"), "{problem}");
    }
}

#[tokio::test]
async fn an_additional_table_of_another_owner_is_reported() {
    let _alone = database().lock().await;
    let sql = format!("{} {} ALTER TABLE jwkss OWNER TO pg_monitor;", table("jwks"), table("jwkss"));
    let Some(found) = keys(&sql, "DROP TABLE jwks, jwkss", Default::default()).await else { return };
    let problem = found.expect_err("it is not decided by its name");
    assert!(problem.contains("set AUTH_MIDDLEWARE_JWKS_TABLE"), "{problem}");
}

#[tokio::test]
async fn a_table_of_another_schema_is_not_used() {
    let _alone = database().lock().await;
    let sql = format!("CREATE SCHEMA elsewhere; {}", table("elsewhere.jwks"));
    let Some(found) = keys(&sql, "DROP SCHEMA elsewhere CASCADE", Default::default()).await else { return };
    let problem = found.expect_err("it is elsewhere");
    assert!(problem.contains("no table jwks or jwkss in schema \"public\""), "{problem}");
}
