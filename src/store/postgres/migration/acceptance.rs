//! Whether a table that was there before may be used by a migration.
//!
//! A role that may create objects in the target schema could have made `auth_middleware_migration` or `user` itself: as
//! a view whose functions run when it is read, or as a table with triggers that run when it is written to. They would
//! run with the rights of the role that migrates, which is often a superuser.

use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::Trouble;
use crate::error::Error;
use crate::store::postgres::table::quote;

/// What a migration does with the rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// Tables, besides the record, whose rows a migration uses. `None`: in the target schema.
type Uses = &'static [(Option<&'static str>, &'static str, Access)];

/// The tables whose rows the migration of this name uses.
pub(super) fn used_by(migration: &str) -> Uses {
    match migration {
        "stack_auth" => &[(None, "user", Access::Write), (Some("neon_auth"), "users_sync", Access::Read)],
        _ => &[],
    }
}

/// Locks the table, so that nobody changes it until the transaction ends, and checks it. Returns whether it exists.
///
/// # Errors
/// [`Error::Schema`] when the table may not be used.
pub(super) async fn accept(
    transaction: &Transaction<'_>,
    schema: &str,
    table: &str,
    access: Access,
) -> Result<bool, Trouble> {
    // Before the lock too: a lock on a view locks whatever the view names.
    if !check(transaction, schema, table, access).await? {
        return Ok(false);
    }
    let mode = if access == Access::Read { "ACCESS SHARE" } else { "SHARE ROW EXCLUSIVE" };
    let lock = format!("LOCK TABLE {}.{} IN {mode} MODE", quote(schema), quote(table));
    transaction.batch_execute(&lock).await?;
    check(transaction, schema, table, access).await
}

async fn check(
    transaction: &Transaction<'_>,
    schema: &str,
    table: &str,
    access: Access,
) -> Result<bool, Trouble> {
    let is_written = access == Access::Write;
    let rows = transaction
        .query_typed(
            include_str!("acceptance.sql"),
            &[(&schema, Type::TEXT), (&table, Type::TEXT), (&is_written, Type::BOOL)],
        )
        .await?;
    let Some(row) = rows.first() else { return Ok(false) };
    match row.try_get::<_, Option<String>>("problem")? {
        None => Ok(true),
        Some(problem) => Err(Trouble::Found(Error::Schema(format!(
            "the table {}.{} {problem}, so its owner could run code with the rights of this role. Drop or rename it if \
             it is not yours, or run this command as the table's owner",
            quote(schema),
            quote(table)
        )))),
    }
}
