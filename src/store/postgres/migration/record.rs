//! The table `auth_middleware_migration`: which migrations were applied to a schema, and when.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};

use super::Trouble;
use super::acceptance::{Access, accept};
use crate::store::postgres::table::quote;

const NAME: &str = "auth_middleware_migration";

/// The record of one schema, after its table was accepted.
pub(super) struct Record<'a> {
    transaction: &'a Transaction<'a>,
    table: String,
}

impl<'a> Record<'a> {
    /// The record that is there, for reading or for writing.
    ///
    /// # Errors
    /// [`crate::error::Error::Schema`] when the table is not one that may be used.
    pub(super) async fn find(
        transaction: &'a Transaction<'a>,
        schema: &str,
        access: Access,
    ) -> Result<Option<Self>, Trouble> {
        let exists = accept(transaction, schema, NAME, access).await?;
        let table = format!("{}.{}", quote(schema), quote(NAME));
        Ok(exists.then_some(Self { transaction, table }))
    }

    /// The record, made if it is not there.
    ///
    /// # Errors
    /// As [`Self::find`], and when the role may not create a table.
    pub(super) async fn find_or_create(
        transaction: &'a Transaction<'a>,
        schema: &str,
    ) -> Result<Self, Trouble> {
        if let Some(record) = Self::find(transaction, schema, Access::Write).await? {
            return Ok(record);
        }
        let table = format!("{}.{}", quote(schema), quote(NAME));
        // Without IF NOT EXISTS: a table that was created in the meantime was not checked.
        let create = format!(
            "CREATE TABLE {table} (name pg_catalog.text PRIMARY KEY, \
             applied_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now())"
        );
        transaction.batch_execute(&create).await?;
        Ok(Self { transaction, table })
    }

    pub(super) async fn all(&self) -> Result<BTreeMap<String, DateTime<Utc>>, Trouble> {
        let sql = format!("SELECT name, applied_at FROM {}", self.table);
        let rows = self.transaction.query_typed(&sql, &[]).await?;
        let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        rows.iter().map(read).collect::<Result<_, _>>().map_err(Trouble::Postgres)
    }

    pub(super) async fn contains(&self, name: &str) -> Result<bool, Trouble> {
        let sql =
            format!("SELECT name FROM {} WHERE name OPERATOR(pg_catalog.=) $1::pg_catalog.text", self.table);
        Ok(!self.transaction.query_typed(&sql, &[(&name, Type::TEXT)]).await?.is_empty())
    }

    /// Records the migration as applied now.
    pub(super) async fn add(&self, name: &str) -> Result<(), Trouble> {
        let sql = format!(
            "INSERT INTO {} (name, applied_at) VALUES ($1::pg_catalog.text, pg_catalog.now()) \
             ON CONFLICT (name) DO UPDATE SET applied_at = pg_catalog.now()",
            self.table
        );
        self.transaction.execute_typed(&sql, &[(&name, Type::TEXT)]).await?;
        Ok(())
    }

    /// Removes the migration. Returns whether it was recorded.
    pub(super) async fn remove(&self, name: &str) -> Result<bool, Trouble> {
        let sql = format!("DELETE FROM {} WHERE name OPERATOR(pg_catalog.=) $1::pg_catalog.text", self.table);
        Ok(self.transaction.execute_typed(&sql, &[(&name, Type::TEXT)]).await? > 0)
    }
}
